"""The shift between two images: the peak of their normalized cross-correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

__all__ = ["Registration", "register"]

Floats = NDArray[np.float64]

# Least fraction of each axis that must overlap; with less, a correlation depends on few pixels.
_OVERLAP = 0.5
# Least correlation of a peak.
_LEAST_CORRELATION = 0.3
# Largest correlation at any other shift, as a fraction of the peak.
_RIVAL = 0.8


@dataclass(frozen=True)
class Registration:
    """Position of an image relative to a reference.

    shift_px: rows and columns to add to the pixels of the image;  correlation: Pearson correlation of the
    overlap at this shift;  rival: the highest correlation at any other shift.
    """

    shift_px: tuple[float, float]
    correlation: float
    rival: float


def register(image: Floats, reference: Floats, *, peak_px: float) -> Registration:
    """Find the shift that brings an image onto a reference, to a fraction of a pixel.

    image, reference: (h, w) each, with the same pixel size;  peak_px: shifts nearer than this to the best one
    belong to its peak (about the width of the finest detail).  Padfield, IEEE Trans. Image Process. 21:2706
    (2012), with whole masks; the maximum is refined by a parabola along each axis.
    Raises ValueError for images of different shapes, and InputError where there is no distinct peak: a
    correlation below 0.3, or another shift with more than 80 % of it.
    """
    if image.ndim != 2 or image.shape != reference.shape:
        raise ValueError(f"need two images of one shape, got {image.shape} and {reference.shape}")
    correlations = _correlations(image, reference)
    best = np.unravel_index(int(np.argmax(correlations)), correlations.shape)
    peak = float(correlations[best])
    rows, columns = np.ogrid[: correlations.shape[0], : correlations.shape[1]]
    rival = float(correlations.max(initial=-1.0, where=np.hypot(rows - best[0], columns - best[1]) > peak_px))
    if not (peak >= _LEAST_CORRELATION and rival <= _RIVAL * peak):
        raise InputError(
            f"the two images cannot be registered: at the best shift their correlation is {peak:.2f} (at "
            f"least {_LEAST_CORRELATION:g} is needed), at another one {rival:.2f} (at most {_RIVAL:.0%} of the "
            "best is allowed)",
            "do they show the same field and structure, and is the pixel size right?",
        )
    row, column = int(best[0]), int(best[1])
    # The middle of the array is a shift of 0.
    down = row - correlations.shape[0] // 2 + _top(correlations[:, column], row)
    right = column - correlations.shape[1] // 2 + _top(correlations[row], column)
    return Registration((down, right), peak, rival)


def _correlations(image: Floats, reference: Floats) -> Floats:
    """Pearson correlation of the overlap at every shift up to half the image; a shift of 0 is in the middle."""
    reach = [int((1 - _OVERLAP) * size) for size in image.shape]
    padded = [size + most for size, most in zip(image.shape, reach, strict=True)]
    # Images of zero mean and unit standard deviation keep rounding errors of the sums small.
    first, second = ((each - each.mean()) / (each.std() or 1.0) for each in (reference, image))

    def correlated(one: Floats, other: Floats) -> Floats:
        """Sum of one(i) · other(i − shift) at every shift."""
        whole = np.fft.irfft2(np.fft.rfft2(one, padded) * np.fft.rfft2(other, padded).conj(), padded)
        rows, columns = (np.arange(-most, most + 1) for most in reach)
        return whole[np.ix_(rows, columns)]

    ones = np.ones(image.shape)
    pixels = np.rint(correlated(ones, ones))
    sums = correlated(first, ones), correlated(ones, second)
    squares = correlated(first**2, ones), correlated(ones, second**2)
    spreads = [square - total**2 / pixels for square, total in zip(squares, sums, strict=True)]
    shared = correlated(first, second) - sums[0] * sums[1] / pixels
    # There is no correlation where either image is constant in the overlap.
    some = np.minimum(*spreads) > 1e-6 * pixels
    return np.where(some, shared / np.sqrt(np.where(some, spreads[0] * spreads[1], 1.0)), 0.0)


def _top(line: Floats, middle: int) -> float:
    """Position of the maximum of the parabola through a highest value and its neighbours, pixels."""
    if not 0 < middle < len(line) - 1:
        return 0.0
    below, here, above = line[middle - 1 : middle + 2]
    return float(0.5 * (below - above) / min(below - 2 * here + above, -1e-12))
