"""Uneven amplitude over the pupil: the exponential of a sum of Zernike polynomials."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .microscope import Microscope
from .zernike import zernike_basis

__all__ = ["transmission_factor"]


def transmission_factor(table: Mapping[int, float], microscope: Microscope, axis: Tensor) -> Tensor:
    """Factor exp(Σ a_j Z_j) of the amplitude in the usable aperture, 1 outside: (K, K), double precision.

    The exponential keeps the factor above 0, and a small a_j has the same size of effect as a phase of a_j rad
    (both change the field by a_j Z_j). The total transmission does not matter, because photons are those
    detected.

    table: Noll index and a_j, rms;  axis: (K,) µm of the pupil's samples.
    """
    radius = microscope.aperture_radius
    basis = zernike_basis(list(table), axis.double(), radius)
    values = torch.tensor(list(table.values()), dtype=torch.float64)
    return torch.einsum("k,khw->hw", values, basis).exp()
