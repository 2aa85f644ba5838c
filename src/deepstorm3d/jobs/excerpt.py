"""Excerpt: which movie, and which part of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import InputError
from ..io.movies import Movie, open_movie
from .pipeline import Pipeline

__all__ = ["Excerpt", "OpenExcerpt", "Roi"]

# Relative difference of pixel sizes that is taken for rounding in a file's header.
_PIXEL_TOLERANCE = 0.02

Roi = tuple[int, int, int, int]


@dataclass(frozen=True)
class Excerpt:
    """Part of a movie, still to be opened: what another process needs to read the same frames.

    movie: file or folder;  frames: first and last + 1, None for the movie's own ends;  roi: x0, y0, x1, y1 in
    pixels (half open), None for the whole frame.
    """

    movie: Path
    frames: tuple[int | None, int | None] = (None, None)
    roi: Roi | None = None

    @contextmanager
    def open(self) -> Iterator[OpenExcerpt]:
        """The movie, opened, and the part of it; raises InputError with the movie's limits."""
        with open_movie(self.movie) as movie:
            yield OpenExcerpt(movie, *self._checked(movie))

    def _checked(self, movie: Movie) -> tuple[int, int, Roi]:
        count, height, width = movie.shape
        first = 0 if self.frames[0] is None else self.frames[0]
        last = count if self.frames[1] is None else self.frames[1]
        if not 0 <= first < last <= count:
            raise InputError(f"frames {first}:{last} are not in the movie, which has frames 0:{count}")
        box = (0, 0, width, height) if self.roi is None else self.roi
        if not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
            raise InputError(
                f"the region {box} (x0, y0, x1, y1) is not inside the frame of {width} x {height} px"
            )
        return first, last, box


@dataclass(frozen=True)
class OpenExcerpt:
    """An opened movie, frames first … last−1 of it, and the region x0, y0, x1, y1 in pixels (half open)."""

    movie: Movie
    first: int
    last: int
    roi: Roi

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the region, px."""
        x0, y0, x1, y1 = self.roi
        return y1 - y0, x1 - x0

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Frames start … stop−1 of the region: (n, h, w)."""
        x0, y0, x1, y1 = self.roi
        return self.movie.read(start, stop)[:, y0:y1, x0:x1]

    def check_against(self, pipeline: Pipeline) -> None:
        """Refuse a movie that the model was not trained for: other pixels, or frames smaller than its PSF."""
        pixel_um = pipeline.experiment.microscope.pixel_um
        name = pipeline.experiment.name
        said = self.movie.pixel_um
        if said is not None and abs(said / pixel_um - 1) > _PIXEL_TOLERANCE:
            raise InputError(
                f"{self.movie.path} says its pixels are {1000 * said:.1f} nm, the model '{name}' was trained "
                f"for {1000 * pixel_um:.1f} nm: train a model for this pixel size, or correct the file's "
                "header if it is wrong"
            )
        height, width = self.size
        if min(height, width) < pipeline.extent_px:
            raise InputError(
                f"the frames are {width} x {height} px, but the PSF of the model '{name}' extends over "
                f"{pipeline.extent_px} px: give larger frames or a larger region"
            )
