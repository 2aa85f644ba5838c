"""Checks whether the slices of a stack are in the order of their positions."""

from __future__ import annotations

import torch
from torch import Tensor

from ...fitting.likelihood import Likelihood

__all__ = ["distance_of_slices", "jumps", "order_ratio"]


def distance_of_slices(likelihood: Likelihood) -> Tensor:
    """1 − correlation of each pair of images of one bead, corrected for noise: (S, S).

    Noise is independent between images: products of two images do not contain it, and that of an image
    with itself contains its variance, which is subtracted.
    """
    images = likelihood.frames - likelihood.frames.flatten(1).median(1).values[:, None, None]
    if likelihood.weight is not None:
        images = images * likelihood.weight
    variance = likelihood.noise.variance(likelihood.frames).flatten(1).sum(1)
    flat = images.flatten(1).double()
    products = flat @ flat.mT
    own = products.diagonal()
    power = torch.maximum(own - variance.double(), 0.05 * own).clamp(min=1e-9).sqrt()
    return 1 - (products / (power[:, None] * power)).clamp(-1, 1)


def order_ratio(distance: Tensor, position_um: Tensor) -> float:
    """Mean distance of slices adjacent in position, over that of all pairs: near 1 if they are shuffled."""
    order = torch.argsort(position_um, stable=True)
    ordered = distance[order][:, order]
    off = ~torch.eye(len(distance), dtype=torch.bool)
    return float(ordered.diagonal(1).mean() / ordered[off].mean().clamp(min=1e-6))


def jumps(distance: Tensor, position_um: Tensor) -> list[int]:
    """Slices that differ from both their neighbours, while these agree: stage jumps, or swapped slices."""
    order = torch.argsort(position_um, stable=True)
    ordered = distance[order][:, order].clamp(min=0)
    before, after, across = ordered.diagonal(1)[:-1], ordered.diagonal(1)[1:], ordered.diagonal(2)
    typical = ordered.diagonal(1).median().clamp(min=0.02)
    odd = (torch.minimum(before, after) > 3 * typical) & (across < torch.minimum(before, after) / 2)
    return order[1:-1][odd].tolist()
