"""Camera maps: dark and evenly lit movies become files with baseline, gain and read noise of every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration.camera_maps.figure import camera_maps as draw_maps
from ..calibration.camera_maps.photon_transfer import (
    DarkCheck,
    LightLevel,
    PhotonTransfer,
    check_dark,
    photon_transfer,
)
from ..calibration.camera_maps.pixel_moments import PixelMoments, Top
from ..calibration.camera_maps.warnings import refuse_level, warnings_of
from ..camera import ScmosCamera
from ..errors import InputError
from ..experiment.experiment import Experiment
from ..experiment.files import write_experiment
from ..io.movies import Movie, open_movie, readable_ranges
from ..io.parts import (
    claim_name,
    make_folder,
    refuse_same_names,
    refuse_unwritable,
    whole_file,
    write_text,
)
from ..pixels.counts import whole_counts
from ..plot.panels import save_figure
from ..spec import to_yaml
from ..watch import SILENT, Watcher, advance

__all__ = ["CameraMaps", "Recordings", "measure_camera"]

_FEWEST = 20
_BLOCK_PIXELS = 2**22
_NAMES = ("baseline", "gain", "read_noise")


@dataclass(frozen=True)
class Recordings:
    """What was recorded of a camera.

    dark: frames without light;  bright: one movie for each level of even light;  fresh: more dark frames, to
    check the maps with (None: the halves of the dark movie are compared);  gain: ADU/e-, instead of light.
    """

    dark: Path
    bright: Sequence[Path] = ()
    fresh: Path | None = None
    gain: float | None = None


@dataclass(frozen=True)
class CameraMaps:
    """What was found and written.

    transfer: the maps;  check: on other dark frames;  tried_on: which, in words;  camera: that names the files;
    files: written;  warnings: sentences.
    """

    transfer: PhotonTransfer
    check: DarkCheck
    tried_on: str
    camera: ScmosCamera
    files: tuple[Path, ...]
    warnings: tuple[str, ...]

    def lines(self) -> list[str]:
        """The figures, in sentences."""
        found, check = self.transfer, self.check
        height, width = found.gain.shape
        told = [
            f"{width} x {height} pixels: baseline {np.median(found.baseline):.2f} ADU (median; from pixel to "
            f"pixel {found.baseline.std():.2f} rms), read noise {np.median(found.read_noise):.2f} e- (median; "
            f"rms {np.sqrt(np.mean(found.read_noise**2)):.2f})"
        ]
        if found.by_level:
            told.append(
                f"gain {found.mean_gain:.4g} ADU/e-; pixels differ by {found.spread:.1%} rms beyond the "
                f"{found.chance:.1%} to which one is measured, and were drawn towards the mean accordingly"
            )
        if found.defects.any():
            told.append(f"defective pixels (defects.npy): {int(found.defects.sum())}")
        told.append(
            f"{self.tried_on}: baseline {check.bias:+.3f} ADU off, pixels scatter {check.scatter:.2f} x as "
            f"much as chance has them, variance {check.variance_ratio:.3f} x"
        )
        return told


def measure_camera(
    recordings: Recordings,
    out: Path,
    *,
    experiment: Experiment | None = None,
    experiment_out: Path | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> CameraMaps:
    """Measure every pixel; write maps (.npy), camera.yaml and maps.png into a folder.

    The maps are baseline, gain and read_noise, and defects: not 0 where no gain could be told, or a
    pixel gives one count in all dark frames.

    out: folder, made where it is missing;  experiment, experiment_out: an experiment to be written with this
    camera. Movies are read once, a block at a time; memory does not grow with their length.
    Raises InputError for movies that are too short, of different sizes, saturated, or not brighter than the
    dark one, and where neither bright movies nor a gain are given.
    """
    files = {name: out / f"{name}.npy" for name in _NAMES} | {
        "defects": out / "defects.npy",
        "yaml": out / "camera.yaml",
        "png": out / "maps.png",
    }
    _claim_names(out, list(files.values()), experiment_out, overwrite=overwrite)
    if not recordings.bright and recordings.gain is None:
        raise InputError(
            "a gain map needs the gain, and there are neither bright movies nor a gain",
            "give bright movies (`bright`), or a gain from a data sheet (`gain`)",
        )
    if recordings.bright and recordings.gain is not None:
        raise InputError(
            f"a gain of {recordings.gain:g} and bright movies are given, which measure the gain",
            "give `bright` or `gain`, not both",
        )
    read = _Reader(recordings, watch)
    first, second, whole = read.dark()
    dark = first.joined(second)
    levels = tuple(read.light(path, dark) for path in recordings.bright)
    transfer = photon_transfer(dark, [level for level, _ in levels], whole=whole, gain=recordings.gain)
    fresh = None if recordings.fresh is None else read.fresh()
    check = check_dark(first, second) if fresh is None else check_dark(dark, fresh)
    # Counts of dark frames pile up where their noise is small: only light tells where they end.
    ends = [end for _, end in levels if np.isfinite(end)]
    make_folder(out)
    camera = _write(transfer, files, min(ends, default=65535.0))
    names = [path.name for path in recordings.bright]
    title = f"{recordings.dark.name}: {dark.count} dark frames; {len(levels)} levels of light"
    save_figure(draw_maps(transfer, names=names, title=title), files["png"])
    if experiment is not None and experiment_out is not None:
        placed = {name: str(files[name]) for name in _NAMES}
        write_experiment(experiment.with_(camera=camera.with_(**placed)), experiment_out)
        files["experiment"] = experiment_out
    lit = tuple(level for level, _ in levels)
    told = warnings_of(transfer, dark, lit, check, names)
    tried_on = "second half of the dark movie against the first"
    if recordings.fresh is not None:
        tried_on = f"fresh dark frames ({recordings.fresh.name}) against the maps"
    return CameraMaps(transfer, check, tried_on, camera, tuple(files.values()), tuple(told))


def _claim_names(out: Path, files: Sequence[Path], experiment_out: Path | None, *, overwrite: bool) -> None:
    """Check, before any work is done, that all may be written, also where `out` is still to be made."""
    refuse_same_names([out, *files, experiment_out])
    if out.exists():
        for path in files:
            claim_name(path, overwrite=overwrite)
    else:
        missing = out
        while not missing.parent.exists():
            missing = missing.parent
        refuse_unwritable(missing)
    if experiment_out is None:
        return
    folder = experiment_out.resolve().parent
    if folder.exists() or folder not in (out.resolve(), *out.resolve().parents):
        claim_name(experiment_out, overwrite=overwrite)


def _write(transfer: PhotonTransfer, files: dict[str, Path], saturation: float) -> ScmosCamera:
    for name in _NAMES:
        with whole_file(files[name]) as temporary:
            np.save(temporary, getattr(transfer, name).astype(np.float32))
    with whole_file(files["defects"]) as temporary:
        np.save(temporary, transfer.defects)
    here = ScmosCamera.model_validate({name: str(files[name]) for name in _NAMES} | {"saturation": saturation})
    beside = here.with_(**{name: files[name].name for name in _NAMES})
    header = (
        "The camera as measured: its part of an experiment file in this folder (elsewhere name the files with\n"
        "their folder). Maps are of the frames as the camera stores them."
    )
    body = "\n".join(f"  {line}" for line in to_yaml(beside).splitlines())
    comments = "\n".join(f"# {line}" for line in header.splitlines())
    write_text(files["yaml"], f"{comments}\ncamera:\n{body}\n")
    return here


class _Reader:
    """Goes through the movies, and says how far it is."""

    def __init__(self, recordings: Recordings, watch: Watcher) -> None:
        self._watch, self._done = watch, 0
        self._recordings = recordings
        every = [recordings.dark, *recordings.bright, *([recordings.fresh] if recordings.fresh else [])]
        lengths = []
        self._size: tuple[int, int] | None = None
        for path in every:
            with open_movie(path) as movie:
                self._check(movie)
                lengths.append(movie.shape[0])
        self._total = sum(lengths)

    def _check(self, movie: Movie) -> None:
        frames, height, width = movie.shape
        if frames < _FEWEST:
            raise InputError(
                f"{movie.path} has {frames} frames: at least {_FEWEST} are needed, and 1,000 or more are good "
                "(of N frames a pixel's gain is known to √(2/N))"
            )
        self._size = self._size or (height, width)
        if (height, width) != self._size:
            raise InputError(
                f"{movie.path} has frames of {width} x {height} px, {self._recordings.dark} of "
                f"{self._size[1]} x {self._size[0]} px",
                "record all with one region of the chip",
            )

    def dark(self) -> tuple[PixelMoments, PixelMoments, bool]:
        """Moments of the first and the second half, and whether counts are whole numbers."""
        with open_movie(self._recordings.dark) as movie:
            middle = movie.shape[0] // 2
            halves, whole = [PixelMoments(movie.shape[1:]) for _ in range(2)], True
            for begin, end, half in ((0, middle, halves[0]), (middle, movie.shape[0], halves[1])):
                for counts in self._blocks(movie, begin, end):
                    half.add(counts.astype(np.float64))
                    whole = whole and whole_counts(counts)
            return halves[0], halves[1], whole

    def fresh(self) -> PixelMoments:
        """Moments of the dark frames that check the maps."""
        assert self._recordings.fresh is not None
        with open_movie(self._recordings.fresh) as movie:
            moments = PixelMoments(movie.shape[1:])
            for counts in self._blocks(movie, 0, movie.shape[0]):
                moments.add(counts.astype(np.float64))
            return moments

    def light(self, path: Path, dark: PixelMoments) -> tuple[LightLevel, float]:
        """A bright movie, its common light taken out, and where its counts end."""
        with open_movie(path) as movie:
            top, moments = Top(movie.shape[1:], movie.dtype), PixelMoments(movie.shape[1:])
            light: list[float] = []
            for counts in self._blocks(movie, 0, movie.shape[0]):
                top.add(counts)
                frames = counts.astype(np.float64) - dark.mean
                common = frames.mean((1, 2))
                refuse_level(path, common, dark)
                light += common.tolist()
                moments.add(frames * (light[0] / common)[:, None, None])
            level = LightLevel(moments, np.array(light) / light[0], top.full)
            refuse_level(path, np.array(light), dark, level.full, top.end)
            return level, top.end

    def _blocks(self, movie: Movie, begin: int, end: int) -> Any:
        step = max(1, _BLOCK_PIXELS // (movie.shape[1] * movie.shape[2]))
        for start, stop in readable_ranges(movie.gaps, begin, end, step):
            counts: NDArray[Any] = movie.read(start, stop)
            yield counts
            self._done += stop - start
            advance(self._watch, self._done, self._total)
