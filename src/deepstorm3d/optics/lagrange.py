"""Polynomials through a few values, Lagrange's way: weights of the values at any place between them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["lagrange", "local_cubic"]


def lagrange(place: Tensor, nodes: Sequence[float]) -> Tensor:
    """Weights (N, K) of the values at K nodes, for the polynomial through them at places (N,)."""
    weights = []
    for here in nodes:
        factors = [(place - other) / (here - other) for other in nodes if other != here]
        weights.append(torch.stack(factors).prod(0) if factors else torch.ones_like(place))
    return torch.stack(weights, 1)


def local_cubic(place: Tensor, nodes: Sequence[float]) -> Tensor:
    """Weights (N, K) of the values at K evenly spaced nodes: the cubic through the four around each place (N,).

    Of values that are not smooth a polynomial through all of many nodes swings between them; this does not.
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
