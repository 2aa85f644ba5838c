"""Simulate: an experiment becomes a movie of camera counts, one a channel, and the list of what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..analysis.drift import DriftCurve
from ..channels import ChannelBackground, ChannelView
from ..channels.camera_halves import Side
from ..chip import check_size
from ..devices import free_bytes
from ..emitters import Emitters
from ..errors import InputError
from ..experiment.channel_views import channel_views
from ..experiment.dyes import dye_optics, dye_stack, dyes_table, patch_for_dyes
from ..experiment.experiment import Experiment
from ..experiment.light_patch import ENCIRCLED_ENERGY, patch_for_light
from ..experiment.lost_light import why_light_is_lost
from ..experiment.optics import psf_source
from ..field import Field
from ..frames.companions import shown_field
from ..io.movies import MovieWriter
from ..io.movies.preparation import Prepared
from ..io.parts import beside, claim_name, refuse_same_names, write_text
from ..io.tables import TableHeader, TableWriter, open_truth_writer
from ..simulation.dyes import DyesOfMolecules
from ..simulation.simulator import Simulator
from ..simulation.specimen import Specimen
from ..streams import stream
from ..watch import SILENT, Watcher

__all__ = [
    "MovieSimulation",
    "SimulatedBlock",
    "SimulationSummary",
    "channel_file",
    "simulate_movie",
]

BLOCK_PIXELS = 2**22
"""Pixels computed at a time, the borders for overhanging patches included: 16 MB in single precision.

Measured on two cores: blocks of 47 MB take 1.3 times as long, since an allocator hands memory above 32 MB
back to the system and gets it again page by page.
"""

# Memory for one frame, bytes per pixel: measured as 13 to 32 with frames of 4000 x 4000 px.
_BYTES_PER_PIXEL = 24


@dataclass(frozen=True)
class SimulationSummary:
    """What was simulated.

    emitters: rows of truth inside the frames;  labelled: of these, at least as bright as the scene's
    `min_photons`;  patch_px, encircled_energy: side of the patch, and the least fraction of a molecule's
    light on it over the depths, both of the channel with the least;  lost_light: why light is missing there,
    and what helps (`why_light_is_lost`), "" where none is;  clipped: pixels beyond 16 bits;
    saturated_frames: with a pixel at the camera's saturation, in any channel;  movies: files that were written.
    """

    frames: int
    emitters: int
    labelled: int
    patch_px: int
    encircled_energy: float
    lost_light: str
    clipped: int
    saturated_frames: int
    movies: tuple[Path, ...]


def simulate_movie(
    simulation: MovieSimulation,
    out: Path,
    *,
    truth: Path | None = None,
    split: Side | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> SimulationSummary:
    """Write a simulated movie as 16-bit TIFF, one a channel, and the true emitters as ThunderSTORM CSV.

    The first channel's movie is `out`, that of another one is named after it (`channel_file`).
    split: write both channels as halves of one camera, to `out` alone;
    truth: gets every emitter inside the first channel's frame, the dim ones too, with the light of all
    channels; a drift is written next to it, to ``NAME.drift.csv``;  watch: told the frames done.
    Raises InputError for what does not fit; nothing then stands under the final names.
    """
    experiment, frames = simulation.experiment, simulation.frames
    pixel_um, shape = experiment.microscope.pixel_um, experiment.frame_px
    paths = _movie_files(simulation.views, out, split)
    rows = labelled = saturated = 0
    curve_file = beside(truth, ".drift.csv") if truth is not None and simulation.drifts else None
    refuse_same_names([*(path for path, *_ in paths), truth, curve_file])
    if curve_file is not None:
        claim_name(curve_file, overwrite=overwrite)
    with ExitStack() as files:
        header = TableHeader(pixel_um, frames, shape)
        table = _truth_file(truth, header, simulation.no_truth, overwrite)
        if table is not None:
            files.enter_context(table)
        movies = [
            files.enter_context(
                MovieWriter(path, frames=frames, shape=size, pixel_um=pixel, overwrite=overwrite)
            )
            for path, size, pixel in paths
        ]
        for block in simulation.blocks():
            seen = (block.counts, *block.further)
            saturated += int(simulation.saturated(seen).sum())
            if split is not None:
                seen = (torch.cat(seen, dim=_along(split)),)
            for movie, counts in zip(movies, seen, strict=True):
                movie.append(counts.numpy())
            if table is not None:
                table.append(block.truth, frames_done=block.stop)
            rows += len(block.truth)
            labelled += int(simulation.scene.emitters.labelled(block.truth).sum())
            watch.progress(block.stop, frames)
        clipped = sum(movie.clipped for movie in movies)
    if simulation.drift is not None and curve_file is not None:
        drift = simulation.drift.double()
        curve = DriftCurve(np.arange(frames), drift.numpy(), np.zeros((frames, 3)))
        write_text(curve_file, curve.to_csv())
    return SimulationSummary(
        frames,
        rows,
        labelled,
        simulation.patch_px,
        simulation.encircled_energy,
        simulation.lost_light(),
        clipped,
        saturated,
        tuple(path for path, _, _ in paths),
    )


def channel_file(out: Path, name: str) -> Path:
    """The file of a further channel beside that of the first: ``movie.NAME.tif`` beside ``movie.tif``."""
    return beside(out, f".{name}{out.suffix}")


def _movie_files(
    views: tuple[ChannelView, ...], out: Path, split: Side | None
) -> list[tuple[Path, tuple[int, int], float]]:
    """Path, height and width (px), and pixel (µm) of each movie.

    Raises InputError where the channels cannot be halves of one camera.
    """
    fields = [view.field for view in views]
    if split is None:
        paths = [out, *(channel_file(out, view.name) for view in views[1:])]
        return [(path, field.size, field.pixel_um) for path, field in zip(paths, fields, strict=True)]
    if len(fields) != 2 or fields[0] != fields[1]:
        sizes = [f"{each.width} x {each.height} px of {1000 * each.pixel_um:g} nm" for each in fields]
        raise InputError(
            f"halves of one camera are two channels of the same size, the experiment has {' and '.join(sizes)}",
            "leave `split` out",
        )
    height, width = fields[0].size
    size = (height, 2 * width) if split == "left-right" else (2 * height, width)
    return [(out, size, fields[0].pixel_um)]


def _along(split: Side) -> int:
    """Dimension of frames (n, H, W) along which the halves follow each other."""
    return 2 if split == "left-right" else 1


class SimulatedBlock(NamedTuple):
    """Frames start … stop−1: camera counts (n, H, W), and the emitters inside the frames.

    further: counts of the other channels, in the order of the experiment.
    """

    start: int
    stop: int
    counts: Tensor
    truth: Emitters
    further: tuple[Tensor, ...] = ()


class MovieSimulation:
    """A movie of an experiment, drawn a block of frames at a time.

    The PSF is tabulated on a patch that holds 95 % of the light at every depth where the sampling of the mask
    or the measured planes permit (`patch_for_light`), at least as large as the experiment's own; what lies
    beyond is lost.

    specimen: what is seen; the scene's own emitters where left out;  scene: one of the experiment's, the first
    else;  seed: of all random numbers, the experiment's else.
    All channels see the same molecules, each with its share of their light and of the background. Of an
    experiment with dyes each molecule is of one of them, in all its frames, and the truth says of which.
    Attributes: `scene`, `views` of the channels, `patch_px`, `encircled_energy` (least share of a molecule's
    light on the patch, of the channel with the least) and, once `blocks` has begun, `drift` ((frames, 3) µm,
    None where nothing drifts).
    Raises InputError for what does not fit.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        frames: int,
        specimen: Specimen | None = None,
        scene: str | None = None,
        seed: int | None = None,
    ) -> None:
        if frames < 1:
            raise InputError(f"a movie needs at least one frame, {frames} were asked for")
        _refuse_too_large(experiment)
        self.experiment, self.frames = experiment, frames
        self.scene = experiment.scene(scene)
        self.drift: Tensor | None = None
        self._specimen = specimen or Specimen()
        seed = experiment.seed if seed is None else seed
        self._generator = stream(seed, "movie")
        self.views = channel_views(experiment)
        self._channels = [
            _seen_by(experiment.of_channel(number)) for number in range(len(experiment.channel_names))
        ]
        self._dyes: DyesOfMolecules | None = None
        if experiment.dyes:
            stack = dye_stack(experiment, self._channels[0].simulator.psf)
            self._dyes = DyesOfMolecules(stack, stream(seed, "dyes"))
        self._backgrounds = [ChannelBackground(view, self.views[0].field) for view in self.views]
        self._field = self._channels[0].simulator.field
        # Channels beside the first have noise of their own, so its movie does not depend on theirs.
        further = range(1, len(self._channels))
        self._noise = [stream(seed, "further channel", process=number) for number in further]
        least = min(self._channels, key=lambda each: each.encircled_energy)
        self.patch_px, self.encircled_energy = least.patch_px, least.encircled_energy

    def lost_light(self) -> str:
        """Why light of a molecule is missing in the movie, and what helps; "" where none is."""
        return next(filter(None, (_lost_by(self.experiment, number) for number in self._short_of_light())), "")

    def _short_of_light(self) -> list[int]:
        """Numbers of the channels whose patch holds too little light, that with the least first."""
        light = [each.encircled_energy for each in self._channels]
        short = [number for number, held in enumerate(light) if held < ENCIRCLED_ENERGY]
        return sorted(short, key=light.__getitem__)

    @property
    def drifts(self) -> bool:
        """Whether what is seen drifts."""
        return self._specimen.drift_um is not None

    def blocks(self) -> Iterator[SimulatedBlock]:
        """The frames in order, as many at a time as the memory takes; the random numbers go on from block to
        block, so a movie is drawn once."""
        field, generator, frames = self._field, self._generator, self.frames
        self.drift = self._specimen.drift(frames, generator)
        draw = self._specimen.draw_of(self.scene, field, self.drift, frames, generator)
        step = max(1, BLOCK_PIXELS // max(each.pixels for each in self._channels))
        for start in range(0, frames, step):
            count = min(step, frames - start)
            here, background = draw(start, count)
            here = here if self._dyes is None else self._dyes.given_to(here)
            molecules = here.shift(frames=-start)
            molecules = molecules if self._dyes is None else self._dyes.stack.seen(molecules)
            counts = [
                channel.simulator(
                    view.to_channel_emitters(molecules),
                    share_of(background),
                    noise,
                )
                for channel, view, share_of, noise in zip(
                    self._channels, self.views, self._backgrounds, (generator, *self._noise), strict=True
                )
            ]
            truth = here.select(field.inside(here.xyz))
            yield SimulatedBlock(start, start + count, counts[0], truth, tuple(counts[1:]))

    @property
    def no_truth(self) -> Emitters:
        """A truth without rows, with the columns that it has."""
        nothing = Emitters.empty()
        return nothing if self._dyes is None else replace(nothing, dye=nothing.id)

    def saturated(self, counts: Sequence[Tensor]) -> Tensor:
        """Which frames have a pixel at the saturation of their camera; counts: (n, H, W) of each channel."""
        full = [
            (each >= channel.simulator.camera.saturation).flatten(1).any(1)
            for each, channel in zip(counts, self._channels, strict=True)
        ]
        return torch.stack(full).any(0)


@dataclass(frozen=True)
class _Seen:
    """How one channel makes frames of molecules, and how much of their light its patch holds."""

    simulator: Simulator
    patch_px: int
    encircled_energy: float

    @property
    def pixels(self) -> int:
        """Of a frame with the borders for overhanging patches."""
        height, width = (length + 2 * self.patch_px for length in self.simulator.field.size)
        return height * width


def _seen_by(experiment: Experiment) -> _Seen:
    """The simulator of a one-channel experiment, its PSF (of all dyes) on the patch that holds the light."""
    check_size(experiment.camera.load_maps(), experiment.frame_px, "the simulated frames (frame_px)")
    frame = Field(*experiment.frame_px, experiment.microscope.pixel_um)
    field = shown_field(frame, experiment.psf.across, experiment.camera, Prepared())
    if experiment.dyes:
        patch_px, light = patch_for_dyes(experiment)
        psf = dyes_table(experiment, patch_px)
    else:
        source = psf_source(experiment)
        patch_px, light = patch_for_light(experiment, source)
        spec = experiment.psf.with_(patch_px=patch_px)
        psf = spec.tabulate(experiment.microscope, source, experiment.z_um, experiment.blur_px)
    return _Seen(Simulator(psf, experiment.camera, field), patch_px, light)


def _refuse_too_large(experiment: Experiment) -> None:
    """Raise InputError where not even one frame fits into the free memory, before anything is computed."""
    sizes = [
        experiment.frame_px,
        *(each.frame_px or experiment.frame_px for each in experiment.channels.values()),
    ]
    needed = _BYTES_PER_PIXEL * sum(height * width for height, width in sizes)
    free = free_bytes(torch.device("cpu"))
    if free is not None and needed > free:
        height, width = max(sizes)
        raise InputError(
            f"a frame of {height} x {width} px (frame_px) takes {needed / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} GiB are free",
            "make frame_px smaller; it is in camera pixels, not nm",
        )


def _lost_by(experiment: Experiment, number: int) -> str:
    """`why_light_is_lost` of a channel, or of its first dye that loses light."""
    alone = experiment.of_channel(number)
    if alone.dyes:
        optics = [(f"dyes.{each.name}", each.experiment, each.source) for each in dye_optics(alone)]
    else:
        name = experiment.channel_names[number]
        own = number and experiment.channels[name].focus is not None
        optics = [(f"channels.{name}" if own else "", alone, psf_source(alone))]
    found = (
        why_light_is_lost(each, source, patch_for_light(each, source)[1], where)
        for where, each, source in optics
    )
    return next(filter(None, found), "")


def _truth_file(
    path: Path | None, header: TableHeader, like: Emitters, overwrite: bool
) -> TableWriter[Emitters] | None:
    """The growing list, named after the movie is complete;  like: a table with the columns of the list."""
    if path is None:
        return None
    return open_truth_writer(
        path,
        pixel_um=header.pixel_um,
        frames=header.frames,
        shape=header.shape,
        like=like,
        overwrite=overwrite,
    )
