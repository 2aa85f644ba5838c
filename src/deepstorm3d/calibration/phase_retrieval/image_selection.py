"""Selection of the images of beads for a fit: the brightest beads, and slices evenly spread."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..beads.images import BeadImages

__all__ = ["by_brightness", "evenly", "within_reach"]


def by_brightness(images: BeadImages) -> list[int]:
    """Numbers of the beads, the brightest first."""
    light = images.likelihood.frames.flatten(1)
    bright = (light - light.median(1).values[:, None]).clamp(min=0).sum(1)
    total = torch.zeros(images.beads).index_add_(0, images.bead, bright)
    return torch.argsort(total, descending=True, stable=True).tolist()


def evenly(images: BeadImages, beads: list[int], most: int) -> Tensor:
    """Rows of about `most` images of the given beads, evenly spread over the slices."""
    rows = torch.cat([(images.bead == bead).nonzero()[:, 0] for bead in beads])
    step = max(1, math.ceil(len(rows) / most))
    planes = images.plane[rows]
    chosen = rows[planes % step == (planes.max() % step) // 2]
    return chosen if len(chosen) else rows


def within_reach(images: BeadImages, bad: Tensor, most: int) -> Tensor:
    """Images for the fit, (N,) bool: none of the bad ones, (N,) bool; of very many only the brightest beads."""
    used = ~bad
    kept = torch.zeros_like(used)
    for bead in by_brightness(images):
        mine = used & (images.bead == bead)
        if not bool(kept.any()) or int(kept.sum()) + int(mine.sum()) <= most:
            kept |= mine
    return kept
