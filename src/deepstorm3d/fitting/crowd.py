"""The number of molecules in a frame: the largest one, the expected one, and lists that exceed it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..emitters import Localizations

__all__ = ["crowded_frames", "expected_molecules", "most_molecules", "most_probable", "of_usable_frames"]

_BEYOND = 0.25  # distance from the frame's edge to which molecules outside it are found, in PSF patch sides


def most_molecules(per_um2: float, size: tuple[int, int], pixel_um: float, patch_px: int) -> int:
    """The largest number of molecules in a frame, including those slightly outside its edge.

    per_um2: highest density, molecules/µm²;  size: height and width, px;  patch_px: side of the PSF's patch.
    """
    height, width = (side + 2 * _BEYOND * patch_px for side in size)
    return math.ceil(per_um2 * height * width * pixel_um**2)


def crowded_frames(found: Localizations, frames: int, most: int) -> Tensor:
    """Whether each of `frames` frames has more than `most` rows: (B,) bool."""
    return torch.bincount(found.frame, minlength=frames) > most


def expected_molecules(found: Localizations, frames: int) -> Tensor:
    """The number of molecules in each of `frames` frames by the rows' probabilities, their sum: (B,)."""
    none = torch.zeros(frames, device=found.frame.device)
    return none.index_add(0, found.frame, found.probability.to(none))


def of_usable_frames(found: Localizations, frames: int, most: int) -> Localizations:
    """The rows of those of `frames` frames that are not crowded (`crowded_frames`)."""
    crowded = crowded_frames(found, frames, most)
    return found.select(~crowded[found.frame]) if bool(crowded.any()) else found


def most_probable(found: Localizations, frames: int, most: int) -> Localizations:
    """The `most` rows of highest probability in each of `frames` frames, in their original order."""
    if not bool(crowded_frames(found, frames, most).any()):
        return found
    by_rank = found.probability.argsort(descending=True, stable=True)
    by_rank = by_rank[found.frame[by_rank].argsort(stable=True)]
    counts = torch.bincount(found.frame, minlength=frames)
    begin = counts.cumsum(0) - counts
    rank = torch.empty_like(by_rank)
    rank[by_rank] = torch.arange(len(found), device=by_rank.device) - begin[found.frame[by_rank]]
    return found.select(rank < most)
