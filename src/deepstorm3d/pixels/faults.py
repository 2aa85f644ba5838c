"""What is wrong with the pixels of one movie, found once before it is worked on, and told to the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .noise_law import NoiseLaw
from .prediction import FinestSpot

__all__ = ["PixelFaults"]

# Defects are named up to so many; a column or row with so many of them is named as a whole.
_TOLD, _LINE = 4, 8


@dataclass(frozen=True)
class PixelFaults:
    """Pixels that say nothing, the count that says no more than "at least this", and what is no outlier.

    size: height and width of the region, px;  begin: column and row of its first pixel in the frame;
    defective: row and column of each, in the region;  spot, law, sigmas: by which a pixel of a single frame is
    judged (`find_outliers`; sigmas inf: none is);  full: count from which on a pixel is full, of which `said`
    was known before;  share: of pixels that look defective where they are too many for a camera, else 0.
    """

    size: tuple[int, int]
    begin: tuple[int, int]
    defective: tuple[tuple[int, int], ...]
    spot: FinestSpot
    law: NoiseLaw
    sigmas: float
    full: float
    said: float
    share: float = 0.0

    @property
    def bad(self) -> Tensor:
        """Whether a pixel is defective: (H, W) bool."""
        bad = torch.zeros(self.size, dtype=torch.bool)
        if self.defective:
            row, column = torch.tensor(self.defective).unbind(1)
            bad[row, column] = True
        return bad

    def to_mapping(self) -> dict[str, Any]:
        """For the record of a run: defective pixels as column and row in the frame, and the full count."""
        places = [[column + self.begin[0], row + self.begin[1]] for row, column in self.defective]
        return {"defective_px": places, "full_count": self.full, "outlier_sigmas": self.sigmas}

    def in_words(self) -> list[str]:
        """Sentences for the user; none where nothing is wrong."""
        return [*self.about_defects(), *self.about_full()]

    def about_defects(self) -> list[str]:
        """How many pixels are defective, and where the first of them are."""
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
        """Where the counts end, if nobody said so."""
        if self.full >= self.said:
            return []
        return [
            f"the counts end at {self.full:.0f}, not at {self.said:.0f}: many pixels have just this count, and "
            "are left out as saturated (set camera.saturation)"
        ]

    def _places(self) -> str:
        """The first few: whole columns and rows by themselves."""
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
        rest = len(named) - _TOLD
        return "; ".join(named[:_TOLD]) + (f"; and {rest:,} more" if rest > 0 else "")
