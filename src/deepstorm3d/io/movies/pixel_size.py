"""Pixel sizes as movies state them, taken only where they can be a microscope's."""

from __future__ import annotations

import math
import re

from ...errors import InputError
from .movie_source import Movie

__all__ = ["believable_um", "check_pixel", "stated_pixel"]

UNIT_UM = {
    **dict.fromkeys(
        ("micron", "microns", "um", "µm", "μm", "\\u00b5m", "micrometer", "micrometers", "micrometre"), 1.0
    ),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter"), 1e3),
    **dict.fromkeys(("cm", "centimeter"), 1e4),
    **dict.fromkeys(("inch", "in"), 25400.0),
    **dict.fromkeys(("m", "meter"), 1e6),
}

PIXEL_UM_RANGE = (1e-3, 10.0)
"""An object pixel outside it is a screen resolution (72 dpi is 353 µm) or a wrong unit: say nothing."""


_TOLERANCE = 0.02
"""Relative difference of pixel sizes that is taken for rounding in a file's header."""


def believable_um(size: float, unit: str) -> float | None:
    """A pixel of `size` in `unit` (any spelling that files use) in µm; None where it is no microscope's."""
    factor = UNIT_UM.get(re.sub(r"\s", "", unit.lower()))
    if factor is None or not math.isfinite(size):
        return None
    pixel = size * factor
    return pixel if PIXEL_UM_RANGE[0] <= pixel <= PIXEL_UM_RANGE[1] else None


def stated_pixel(movie: Movie) -> str:
    """The pixel that a movie states, in words: "160.0 nm", or with both sides where they differ; else empty."""
    width, height = movie.pixel_um, movie.pixel_height_um
    sides = [side for side in (width, height) if side is not None]
    if not sides:
        return ""
    if len(sides) == 1 or abs(sides[1] / sides[0] - 1) <= _TOLERANCE:
        return f"{1000 * sides[0]:.1f} nm"
    return f"{1000 * sides[0]:.1f} nm wide and {1000 * sides[1]:.1f} nm high"


def check_pixel(
    movie: Movie,
    pixel_um: float,
    whose: str,
    remedy: str,
    *,
    given_um: float | None = None,
    argument: str = "`pixel_um`",
) -> None:
    """Raises InputError for a movie whose pixels, along either axis, are not those that it is looked at with.

    pixel_um: those, whose they are in words, and what to do where they are not the movie's;  given_um: by the
    user, who knows better than the file, with this argument.
    """
    if given_um is not None:
        if not math.isfinite(given_um) or given_um <= 0:
            raise InputError(f"{argument} of {1000 * given_um:g} nm: a pixel is larger than 0 nm")
        if given_um < PIXEL_UM_RANGE[0]:
            raise InputError(
                f"{argument} of {1000 * given_um:g} nm is no pixel of a camera",
                f"if {1000 * given_um:g} µm are meant, that is {1e6 * given_um:g} nm",
            )
        if abs(given_um / pixel_um - 1) > _TOLERANCE:
            raise InputError(
                f"the movie's pixels are given as {1000 * given_um:.1f} nm ({argument}), {whose} "
                f"{1000 * pixel_um:.1f} nm",
                remedy,
            )
        return
    sides = [side for side in (movie.pixel_um, movie.pixel_height_um) if side is not None]
    if any(abs(side / pixel_um - 1) > _TOLERANCE for side in sides):
        raise InputError(
            f"{movie.path} says its pixels are {stated_pixel(movie)}, {whose} {1000 * pixel_um:.1f} nm",
            f"{remedy}; where the file is wrong, give the true size ({argument})",
        )
