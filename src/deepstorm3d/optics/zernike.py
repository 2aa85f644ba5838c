"""Zernike polynomials on the disc, in Noll's order."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InputError

__all__ = ["NAMES", "noll_to_nm", "zernike", "zernike_basis"]

NAMES = {
    1: "piston",
    2: "horizontal tilt",
    3: "vertical tilt",
    4: "defocus",
    5: "oblique astigmatism",
    6: "vertical astigmatism",
    7: "vertical coma",
    8: "horizontal coma",
    9: "vertical trefoil",
    10: "oblique trefoil",
    11: "spherical aberration",
    12: "secondary vertical astigmatism",
    13: "secondary oblique astigmatism",
    14: "vertical quadrafoil",
    15: "oblique quadrafoil",
}
"""Names of the polynomials of radial orders 0 to 4, by Noll's index."""


def noll_to_nm(index: int) -> tuple[int, int]:
    """Radial order n and signed azimuthal order m of Noll's index j ≥ 1 (m < 0: sine). Noll 1976, table I.

    Raises InputError if j < 1.
    """
    if index < 1:
        raise InputError(f"Zernike index {index}: Noll's index starts at 1 (piston); defocus is 4")
    n = int((math.sqrt(8 * index - 7) - 1) / 2)
    place = index - n * (n + 1) // 2 - 1
    m = 2 * ((place + 1) // 2) if n % 2 == 0 else 2 * (place // 2) + 1
    return n, m if index % 2 == 0 else -m


def zernike(index: int, rho: Tensor, theta: Tensor) -> Tensor:
    """Zernike polynomial of Noll's index, with rms 1 over the unit disc (Noll 1976, eq. 1–3).

    rho: radius, 1 at the edge;  theta: angle, rad;  both of the same shape as the result.
    """
    n, m = noll_to_nm(index)
    order = abs(m)
    radial = torch.zeros_like(rho)
    for k in range((n - order) // 2 + 1):
        factor = (-1) ** k * math.factorial(n - k) / math.factorial(k)
        factor /= math.factorial((n + order) // 2 - k) * math.factorial((n - order) // 2 - k)
        radial = radial + factor * rho ** (n - 2 * k)
    if m == 0:
        return math.sqrt(n + 1) * radial
    angular = torch.cos(order * theta) if m > 0 else torch.sin(order * theta)
    return math.sqrt(2 * (n + 1)) * radial * angular


def zernike_basis(indices: list[int], axis: Tensor, radius: float) -> Tensor:
    """Polynomials of several Noll indices on a square grid, 0 outside the disc.

    axis: (K,) coordinates of rows and of columns;  radius: of the disc, in the same unit;
    returns (len(indices), K, K). θ runs from x (columns, right) to y (rows, down).
    """
    x, y = axis[None, :] / radius, axis[:, None] / radius
    rho, theta = torch.sqrt(x**2 + y**2), torch.atan2(y.expand(len(axis), -1), x.expand(len(axis), -1))
    inside = rho <= 1
    if not indices:
        return rho.new_zeros(0, *rho.shape)
    return torch.stack([zernike(index, rho, theta) * inside for index in indices])
