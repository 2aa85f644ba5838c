"""Polynomials of two variables up to the third degree: their terms, and the derivatives of the terms."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["HIGHEST_DEGREE", "POWERS", "degree_of", "gradients", "terms", "terms_of_degree"]

HIGHEST_DEGREE = 3

POWERS = tuple((total - j, j) for total in range(HIGHEST_DEGREE + 1) for j in range(total + 1))
"""Powers of u and v of each term, by degree: 1; u, v; u², uv, v²; u³, u²v, uv², v³."""


def terms_of_degree(degree: int) -> int:
    """Number of terms of a polynomial: 3, 6, 10."""
    return (degree + 1) * (degree + 2) // 2


def degree_of(count: int) -> int:
    """The degree that has this number of terms.  Raises ValueError where none has."""
    for degree in range(1, HIGHEST_DEGREE + 1):
        if terms_of_degree(degree) == count:
            return degree
    known = ", ".join(str(terms_of_degree(degree)) for degree in range(1, HIGHEST_DEGREE + 1))
    raise ValueError(f"{count} coefficients are no polynomial of two variables; there are {known}")


def terms(uv: Tensor, degree: int) -> Tensor:
    """Each term at each place: uv (N, 2), returns (N, K)."""
    u, v = uv.unbind(-1)
    return torch.stack([u**i * v**j for i, j in POWERS[: terms_of_degree(degree)]], dim=-1)


def gradients(uv: Tensor, degree: int) -> Tensor:
    """Derivatives of each term by u and by v: uv (N, 2), returns (N, K, 2)."""
    u, v = uv.unbind(-1)
    zero = torch.zeros_like(u)
    powers = POWERS[: terms_of_degree(degree)]
    by_u = [i * u ** (i - 1) * v**j if i else zero for i, j in powers]
    by_v = [j * u**i * v ** (j - 1) if j else zero for i, j in powers]
    return torch.stack([torch.stack(by_u, dim=-1), torch.stack(by_v, dim=-1)], dim=-1)
