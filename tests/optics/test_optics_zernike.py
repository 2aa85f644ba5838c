"""Zernike polynomials: Noll's order, orthonormality, orientation on the grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from deepstorm3d.errors import InputError
from deepstorm3d.optics.pupil import mask_coordinates
from deepstorm3d.optics.zernike import noll_to_nm, zernike, zernike_basis

# Noll 1976, table I: (n, m), even index cosine (m > 0), odd index sine (m < 0).
NOLL = [
    (0, 0), (1, 1), (1, -1), (2, 0), (2, -2), (2, 2), (3, -1), (3, 1),
    (3, -3), (3, 3), (4, 0), (4, 2), (4, -2), (4, 4), (4, -4),
]  # fmt: skip


@pytest.mark.parametrize(("index", "expected"), list(enumerate(NOLL, 1)))
def test_the_first_fifteen_follow_nolls_table(index: int, expected: tuple[int, int]) -> None:
    assert noll_to_nm(index) == expected


def test_nolls_order_names_every_polynomial_once() -> None:
    pairs = [noll_to_nm(index) for index in range(1, 232)]
    assert len(set(pairs)) == 231
    assert all(abs(m) <= n and (n - m) % 2 == 0 for n, m in pairs)
    assert [n for n, _ in pairs] == sorted(n for n, _ in pairs)


def test_nolls_index_zero_is_refused() -> None:
    with pytest.raises(InputError, match="starts at 1"):
        noll_to_nm(0)


def test_the_polynomials_have_their_closed_forms() -> None:
    rho = torch.linspace(0, 1, 7, dtype=torch.float64)
    theta = torch.linspace(-3, 3, 7, dtype=torch.float64)
    closed = {
        1: torch.ones_like(rho),
        2: 2 * rho * torch.cos(theta),
        3: 2 * rho * torch.sin(theta),
        4: math.sqrt(3) * (2 * rho**2 - 1),
        5: math.sqrt(6) * rho**2 * torch.sin(2 * theta),
        6: math.sqrt(6) * rho**2 * torch.cos(2 * theta),
        7: math.sqrt(8) * (3 * rho**3 - 2 * rho) * torch.sin(theta),
        11: math.sqrt(5) * (6 * rho**4 - 6 * rho**2 + 1),
        12: math.sqrt(10) * (4 * rho**4 - 3 * rho**2) * torch.cos(2 * theta),
    }
    for index, value in closed.items():
        torch.testing.assert_close(zernike(index, rho, theta), value)


def test_the_polynomials_are_orthonormal_on_the_disc() -> None:
    # Exact quadrature: Gauss-Legendre in ρ² and equal steps in θ.
    node, weight = np.polynomial.legendre.leggauss(12)
    rho = torch.sqrt(torch.tensor((node + 1) / 2))[:, None].expand(12, 32)
    theta = (torch.arange(32, dtype=torch.float64) * 2 * math.pi / 32).expand(12, 32)
    share = torch.tensor(weight / 2)[:, None] / 32
    modes = torch.stack([zernike(index, rho, theta) for index in range(1, 37)]).flatten(1)
    gram = (modes * share.expand(12, 32).flatten()) @ modes.mT
    torch.testing.assert_close(gram, torch.eye(36, dtype=torch.float64), atol=1e-11, rtol=0)


def test_on_the_grid_tilt_rises_to_the_right_and_downwards() -> None:
    axis = mask_coordinates(41, 1.0)
    right, down, outside = zernike_basis([2, 3, 4], axis, 20.0)
    torch.testing.assert_close(right[20], 2 * axis / 20)
    torch.testing.assert_close(down[:, 20], 2 * axis / 20)
    assert outside[0, 0] == 0  # the corner lies beyond the disc
    assert zernike_basis([], axis, 20.0).shape == (0, 41, 41)
