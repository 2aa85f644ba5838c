"""Localize: a movie in, a table of localizations out, frame block by frame block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import __version__
from ..errors import InputError
from ..io.movies import Movie, open_movie
from ..io.tables import open_table_writer
from .pipeline import Pipeline

__all__ = ["LocalizeSummary", "Selection", "check_movie", "localize_movie", "select"]

# Pixels in a block of frames: enough to keep two cores busy, little enough for a laptop's memory.
_BLOCK_PIXELS = 2**18
# With the fit a frame takes seconds where it is dense: smaller blocks, so that Ctrl-C and the progress keep up.
_FITTED_BLOCK_PIXELS = 2**16
# Relative difference of pixel sizes that is taken for rounding in a file's header.
_PIXEL_TOLERANCE = 0.02

Roi = tuple[int, int, int, int]


@dataclass(frozen=True)
class Selection:
    """Part of a movie: frames first … last−1, and the region x0, y0, x1, y1 in pixels (half open)."""

    first: int
    last: int
    roi: Roi

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the region, px."""
        x0, y0, x1, y1 = self.roi
        return y1 - y0, x1 - x0

    def read(self, movie: Movie, start: int, stop: int) -> NDArray[Any]:
        """Frames start … stop−1 of the region: (n, h, w)."""
        x0, y0, x1, y1 = self.roi
        return movie.read(start, stop)[:, y0:y1, x0:x1]


@dataclass
class LocalizeSummary:
    """What a run did. complete: whether it reached the last frame (else it can be resumed)."""

    frames: int = 0
    localizations: int = 0
    saturated_frames: int = 0
    complete: bool = True
    warnings: list[str] = field(default_factory=list)

    @property
    def per_frame(self) -> float:
        """Mean localizations in a frame."""
        return self.localizations / self.frames if self.frames else 0.0


def select(movie: Movie, frames: tuple[int | None, int | None], roi: Roi | None) -> Selection:
    """Check a choice of frames and region against a movie; raises InputError with the movie's limits."""
    count, height, width = movie.shape
    first = 0 if frames[0] is None else frames[0]
    last = count if frames[1] is None else frames[1]
    if not 0 <= first < last <= count:
        raise InputError(f"frames {first}:{last} are not in the movie, which has frames 0:{count}")
    box = (0, 0, width, height) if roi is None else roi
    if not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
        raise InputError(f"the region {box} (x0, y0, x1, y1) is not inside the frame of {width} x {height} px")
    return Selection(first, last, box)


def check_movie(movie: Movie, selection: Selection, pipeline: Pipeline) -> None:
    """Refuse a movie that the model was not trained for: other pixels, or frames smaller than its PSF."""
    pixel_um = pipeline.experiment.microscope.pixel_um
    if movie.pixel_um is not None and abs(movie.pixel_um / pixel_um - 1) > _PIXEL_TOLERANCE:
        raise InputError(
            f"{movie.path} says its pixels are {1000 * movie.pixel_um:.1f} nm, the model "
            f"'{pipeline.experiment.name}' was trained for {1000 * pixel_um:.1f} nm: train a model for this "
            "pixel size, or correct the file's header if it is wrong"
        )
    height, width = selection.size
    if min(height, width) < pipeline.extent_px:
        raise InputError(
            f"the frames are {width} x {height} px, but the PSF of the model '{pipeline.experiment.name}' "
            f"extends over {pipeline.extent_px} px: give larger frames or a larger region"
        )


def localize_movie(
    movie: Path,
    pipeline: Pipeline,
    out: Path,
    *,
    frames: tuple[int | None, int | None] = (None, None),
    roi: Roi | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> LocalizeSummary:
    """Localize every molecule of a movie; memory does not grow with the number of frames.

    Positions refer to the whole frame also where a region is chosen; frames keep their numbers.
    pipeline: from `load_pipeline`;  out: .hdf5 or .csv; grows as ``OUT.part.*``, from which `resume` goes
    on, and takes its name when complete.  on_progress: called with frames done and frames in all;
    should_stop: asked after each block.  Raises InputError where movie, model or output do not fit.
    """
    pixel_um = pipeline.experiment.microscope.pixel_um
    summary = LocalizeSummary()
    with open_movie(movie) as source:
        selection = select(source, frames, roi)
        check_movie(source, selection, pipeline)
        pipeline = pipeline.cut(selection.roi)
        count, height, width = source.shape
        writer = open_table_writer(
            out,
            pixel_um=pixel_um,
            frames=count,
            shape=(height, width),
            provenance=_provenance(pipeline, movie, selection),
            overwrite=overwrite,
            resume=resume,
        )
        start = max(selection.first, writer.next_frame)
        pixels = _BLOCK_PIXELS if pipeline.fit is None else _FITTED_BLOCK_PIXELS
        step = max(1, pixels // (selection.size[0] * selection.size[1]))
        while start < selection.last:
            stop = min(start + step, selection.last)
            counts = selection.read(source, start, stop)
            summary.saturated_frames += _saturated(counts, pipeline.camera.saturation)
            photons = pipeline.to_photons(torch.from_numpy(counts.astype(np.float32)))
            shift = (selection.roi[0] * pixel_um, selection.roi[1] * pixel_um, 0.0)
            found = pipeline.localize(photons).shift(xyz=shift, frames=start).to("cpu")
            writer.append(found, frames_done=stop)
            summary.frames += stop - start
            summary.localizations += len(found)
            start = stop
            on_progress(stop - selection.first, selection.last - selection.first)
            if start < selection.last and should_stop():
                summary.complete = False
                return summary
        writer.finish()
    summary.warnings += _warnings(summary)
    return summary


def _saturated(counts: NDArray[Any], saturation: float) -> int:
    """Frames with at least one pixel at the camera's (or the file type's) greatest value."""
    limit = saturation
    if np.issubdtype(counts.dtype, np.integer):
        limit = min(limit, float(np.iinfo(counts.dtype).max))
    return int((counts >= limit).any(axis=(1, 2)).sum())


def _warnings(summary: LocalizeSummary) -> list[str]:
    warnings = []
    if summary.saturated_frames:
        warnings.append(
            f"{summary.saturated_frames} of {summary.frames} frames have saturated pixels: photons and "
            "positions of the brightest molecules are wrong there; lower the exposure or the gain"
        )
    if summary.frames and not summary.localizations:
        warnings.append(
            "no molecule was found: check the camera's baseline and gain (--camera), and look with --preview 3"
        )
    return warnings


def _provenance(pipeline: Pipeline, movie: Path, selection: Selection) -> dict[str, object]:
    """How the rows were made, for the table's header."""
    return {
        "program": f"deepstorm3d {__version__}",
        "movie": movie.name,
        "frames": [selection.first, selection.last],
        "roi": list(selection.roi),
        "threshold": pipeline.localizer.threshold,
        "method": pipeline.method,
        "refined": pipeline.fit is not None,
        "camera": pipeline.camera.to_mapping(),
        "experiment": pipeline.experiment.to_mapping(),
    }
