"""Faults of the pixels of one movie, found once before it is processed, and their description for the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .noise_law import NoiseLaw
from .prediction import FinestSpot

__all__ = ["PixelFaults"]

_LISTED = 4  # largest number of defects whose positions a message lists
_LINE = 8  # smallest number of defects in a column or row that is listed as a whole


@dataclass(frozen=True)
class PixelFaults:
    """Defective pixels, the saturation level, and the criteria for outliers of a movie.

    size: height and width of the region, px;  begin: column and row of its first pixel in the frame;
    defective: row and column of each defective pixel in the region;  spot, law, sigmas: criteria for outliers
    in single frames (`find_outliers`; sigmas inf: none);  full: counts at which a pixel is saturated;
    stated_full: the same according to the camera's description;  share: fraction of pixels that seem defective
    if it is too large for a camera, else 0.
    """

    size: tuple[int, int]
    begin: tuple[int, int]
    defective: tuple[tuple[int, int], ...]
    spot: FinestSpot
    law: NoiseLaw
    sigmas: float
    full: float
    stated_full: float
    share: float = 0.0

    @property
    def bad(self) -> Tensor:
        """Whether each pixel is defective: (H, W) bool."""
        bad = torch.zeros(self.size, dtype=torch.bool)
        if self.defective:
            row, column = torch.tensor(self.defective).unbind(1)
            bad[row, column] = True
        return bad

    def to_mapping(self) -> dict[str, Any]:
        """Values for the record of a run: defective pixels (column, row in the frame), saturation, outliers."""
        places = [[column + self.begin[0], row + self.begin[1]] for row, column in self.defective]
        return {"defective_px": places, "full_count": self.full, "outlier_sigmas": self.sigmas}

    def in_words(self) -> list[str]:
        """Sentences for the user; an empty list if nothing is wrong."""
        return [*self.about_defects(), *self.about_full()]

    def about_defects(self) -> list[str]:
        """Sentences about the number of defective pixels and the positions of the first ones."""
        told = []
        if self.defective:
            number = len(self.defective)
            pixels = "1 defective pixel" if number == 1 else f"{number:,} defective pixels"
            told.append(
                f"{pixels} (hot, dead, stuck or flickering): {self._places()}; given no weight (`defects=none` "
                "takes all pixels as they are)"
            )
        if self.share:
            told.append(
                f"{self.share:.1%} of the pixels differ from their neighbours as no light through this "
                f"objective can (wavelength {self.spot.wavelength:g} µm, NA {self.spot.na:g}, pixels of "
                f"{1000 * self.spot.pixel_um:.4g} nm): too many for defects, so none was left out. Are these "
                "values right, and the frames the camera's own, neither filtered nor rescaled?"
            )
        return told

    def about_full(self) -> list[str]:
        """A sentence about the saturation level, if it is below the camera's description."""
        if self.full >= self.stated_full:
            return []
        return [
            f"the counts end at {self.full:.0f}, not at {self.stated_full:.0f}: many pixels have just this "
            "count, and are left out as saturated (set camera.saturation)"
        ]

    def _places(self) -> str:
        """Positions of the first defects in words; columns and rows with many of them are named as a whole."""
        bad, named = self.bad, []
        for axis, name, other in ((0, "column", "rows"), (1, "row", "columns")):
            count = bad.sum(axis)
            lines = ((count >= _LINE) & (count >= 0.1 * bad.shape[axis])).nonzero()[:, 0].tolist()
            for line in lines:
                along = (bad[:, line] if axis == 0 else bad[line]).nonzero()[:, 0]
                first, last = int(along[0]) + self.begin[1 - axis], int(along[-1]) + self.begin[1 - axis]
                named.append(f"{name} {line + self.begin[axis]} ({other} {first} to {last})")
            if axis == 0:
                bad[:, lines] = False
            else:
                bad[lines] = False
        named += [
            f"column {column + self.begin[0]}, row {row + self.begin[1]}"
            for row, column in bad.nonzero().tolist()
        ]
        rest = len(named) - _LISTED
        return "; ".join(named[:_LISTED]) + (f"; and {rest:,} more" if rest > 0 else "")
