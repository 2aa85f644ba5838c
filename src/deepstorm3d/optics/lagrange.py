"""Lagrange interpolation: weights of a few values for a position between them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["lagrange", "local_cubic"]


def lagrange(place: Tensor, nodes: Sequence[float]) -> Tensor:
    """Weights (N, K) of the values at K nodes, for the polynomial through them at positions (N,)."""
    weights = []
    for here in nodes:
        factors = [(place - other) / (here - other) for other in nodes if other != here]
        weights.append(torch.stack(factors).prod(0) if factors else torch.ones_like(place))
    return torch.stack(weights, 1)


def local_cubic(place: Tensor, nodes: Sequence[float]) -> Tensor:
    """Weights (N, K) of values at K evenly spaced nodes, for cubics through the four nearest to positions (N,).

    It does not oscillate between the nodes, as a polynomial through many values that are not smooth does.
    """
    if len(nodes) <= 4:
        return lagrange(place, nodes)
    step, windows = nodes[1] - nodes[0], len(nodes) - 3
    first = ((place.detach() - nodes[0]) / step).floor().long().sub(1).clamp(0, windows - 1)
    weights = place.new_zeros(len(place), len(nodes))
    for begin in range(windows):
        here = first == begin
        weights[here, begin : begin + 4] = lagrange(place[here], nodes[begin : begin + 4])
    return weights
