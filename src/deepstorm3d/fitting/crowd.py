"""How many molecules a frame can hold, and what is left of a list that has more."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..emitters import Localizations

__all__ = ["crowded_frames", "most_molecules", "most_probable"]

# Molecules beyond the edge are found as far out as this share of the PSF's patch.
_BEYOND = 0.25


def most_molecules(per_um2: float, size: tuple[int, int], pixel_um: float, patch_px: int) -> int:
    """Molecules at most in a frame, those a little beyond its edge included.

    per_um2: greatest density;  size: height and width, px;  patch_px: side of the PSF's patch.
    """
    height, width = (side + 2 * _BEYOND * patch_px for side in size)
    return math.ceil(per_um2 * height * width * pixel_um**2)


def crowded_frames(found: Localizations, frames: int, most: int) -> Tensor:
    """Which of `frames` frames have more than `most` rows: (B,) bool."""
    return torch.bincount(found.frame, minlength=frames) > most


def most_probable(found: Localizations, frames: int, most: int) -> Localizations:
    """The rows of the greatest probability, at most so many of each of `frames` frames; their order is kept."""
    if not bool(crowded_frames(found, frames, most).any()):
        return found
    by_rank = found.probability.argsort(descending=True, stable=True)
    by_rank = by_rank[found.frame[by_rank].argsort(stable=True)]
    counts = torch.bincount(found.frame, minlength=frames)
    begin = counts.cumsum(0) - counts
    rank = torch.empty_like(by_rank)
    rank[by_rank] = torch.arange(len(found), device=by_rank.device) - begin[found.frame[by_rank]]
    return found.select(rank < most)
