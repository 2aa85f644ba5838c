"""Polynomials through a few values, Lagrange's way: weights of the values at any place between them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["lagrange"]


def lagrange(place: Tensor, nodes: Sequence[float]) -> Tensor:
    """Weights (N, K) of the values at K nodes, for the polynomial through them at places (N,)."""
    weights = []
    for here in nodes:
        factors = [(place - other) / (here - other) for other in nodes if other != here]
        weights.append(torch.stack(factors).prod(0) if factors else torch.ones_like(place))
    return torch.stack(weights, 1)
