"""Phases of the classical masks, and of a learned one."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib import resources

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from .microscope import Microscope
from .pupil import mask_coordinates
from .zernike import noll_to_nm, zernike_basis

__all__ = ["double_helix_phase", "learned_phase", "random_phase", "tetrapod_coefficients", "vortex_phase"]


@cache
def tetrapod_coefficients() -> dict[int, float]:
    """Coefficients of the built-in Tetrapod: Noll index → rad rms (from benchmarks/design_tetrapod.py)."""
    text = resources.files("deepstorm3d.optics").joinpath("tetrapod.json").read_text(encoding="utf-8")
    return {int(index): float(value) for index, value in json.loads(text)["coefficients"].items()}


def double_helix_phase(microscope: Microscope, waist: float = 0.35) -> Tensor:
    """Phase of the Gauss-Laguerre modes (m, n) = (1,1), (3,5), (5,9), (7,13), (9,17) in equal parts.

    The azimuthal orders m differ by 2, which gives two lobes; the axial orders n differ by 4, so that the lobes
    rotate with depth.
    waist: as a fraction of the usable aperture;  returns (K, K) rad (Pavani & Piestun 2008).
    """
    axis = mask_coordinates(microscope.mask_px, microscope.mask_pitch)
    axis = axis / (waist * microscope.aperture_radius)
    x, y = axis[None, :], axis[:, None]
    rho2, theta = x**2 + y**2, torch.atan2(y.expand(len(axis), -1), x.expand(len(axis), -1))
    field = torch.zeros_like(rho2, dtype=torch.complex128)
    for m, n in ((1, 1), (3, 5), (5, 9), (7, 13), (9, 17)):
        p = (n - m) // 2
        norm = math.sqrt(2 * math.factorial(p) / (math.pi * math.factorial(p + m)))
        radial = norm * (2 * rho2) ** (m / 2) * _laguerre(p, m, 2 * rho2) * torch.exp(-rho2)
        field = field + torch.polar(radial, m * theta)
    return torch.angle(field)


def _laguerre(p: int, m: int, x: Tensor) -> Tensor:
    """Generalised Laguerre polynomial L_p^m(x)."""
    terms = ((-1) ** k * math.comb(p + m, p - k) / math.factorial(k) * x**k for k in range(p + 1))
    return sum(terms, torch.zeros_like(x))


def vortex_phase(microscope: Microscope, charge: int = 1) -> Tensor:
    """A spiral phase charge·θ, (K, K) rad; θ is measured from the x axis towards y."""
    axis = mask_coordinates(microscope.mask_px, microscope.mask_pitch)
    return charge * torch.atan2(axis[:, None].expand(-1, len(axis)), axis[None, :].expand(len(axis), -1))


def random_phase(microscope: Microscope, rms: float, order: int, seed: int) -> Tensor:
    """A smooth random phase (K, K): Zernike polynomials of orders 2 to `order`, `rms` rad in all.

    Coefficients are normally distributed with σ proportional to 1/(radial order).
    """
    count = (order + 1) * (order + 2) // 2
    indices = list(range(4, count + 1))
    weight = torch.tensor([1.0 / noll_to_nm(noll)[0] for noll in indices], dtype=torch.float64)
    values = weight * torch.randn(len(indices), generator=torch.Generator().manual_seed(seed)).double()
    values *= rms / values.square().sum().sqrt()
    axis = mask_coordinates(microscope.mask_px, microscope.mask_pitch)
    basis = zernike_basis(indices, axis, microscope.aperture_radius)
    return torch.einsum("k,khw->hw", values, basis)


def learned_phase(microscope: Microscope) -> Tensor:
    """Phase of the mask that was learned for dense molecules over 4 µm (benchmarks/second_mask.py), (K, K) rad.

    Under another microscope than the one it was learned for it is scaled to the aperture: its light, not its
    phase, is interpolated, because the phase jumps by 2π.
    """
    phase, radius_px = _learned()
    across = len(phase)
    # Odd or even like the mask, so that on its own pixels it is exact.
    axis = mask_coordinates(
        microscope.mask_px + (microscope.mask_px - across) % 2,
        2 * microscope.mask_pitch * radius_px / (microscope.aperture_radius * (across - 1)),
    )
    there = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)[None]
    light = torch.stack([phase.cos(), phase.sin()])[None]
    real, imaginary = grid_sample(light, there, padding_mode="border", align_corners=True)[0]
    return torch.atan2(imaginary, real)


@cache
def _learned() -> tuple[Tensor, float]:
    """The learned mask as it is kept: phase, (K, K) rad, and the radius of its aperture, pixels."""
    with (
        resources.files("deepstorm3d.optics").joinpath("learned.npz").open("rb") as file,
        np.load(file) as kept,
    ):
        return torch.from_numpy(kept["phase"]).double(), float(kept["radius_px"])
