"""Corrections to the mask by the microscope: Zernike polynomials, a smooth phase grid, and uneven light."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...optics.computed import ComputedPSFSpec, build_psf
from ...optics.exact import ExactPSF
from ...optics.masks import PhaseMask
from ...optics.microscope import Microscope
from ...optics.pupil import fit_to_pupil, mask_coordinates
from ...optics.zernike import zernike_basis
from .bead_model import AdjustedPSF

__all__ = ["CorrectedMask", "CorrectedPSF", "Correction", "binned_microscope", "binned_phase"]


class Correction(nn.Module):
    """A smooth phase over the aperture, independent of the pixels on which it is evaluated.

    It is a sum of Zernike polynomials over the usable aperture and a uniform cubic B-spline (Unser 1999) with a
    knot every `spacing` µm of the mask plane. Light in a patch of w camera pixels resolves structures of the
    mask down to λf/(w p_c), so closer knots would only fit noise.

    microscope: gives the aperture;  indices: Noll's, ascending;
    transmission: (T,) coefficients of the amplitude (`transmission_factor`), of the Noll indices LIGHT.
    """

    # Noll indices to radial order 3, and 11 (spherical): decentred, Gaussian and clipped beams.
    LIGHT = (2, 3, 4, 5, 6, 7, 8, 11)
    transmission: Tensor

    def __init__(self, microscope: Microscope, indices: list[int], spacing: float) -> None:
        super().__init__()
        self.indices, self.spacing = indices, spacing
        self.radius = microscope.aperture_radius
        knots = 2 * math.ceil(self.radius / spacing) + 3
        self.coefficients = nn.Parameter(torch.zeros(len(indices), dtype=torch.float64))
        self.register_buffer("transmission", torch.zeros(len(self.LIGHT), dtype=torch.float64))
        self.knots = nn.Parameter(torch.zeros(knots, knots, dtype=torch.float64))

    @property
    def shapes(self) -> Tensor:
        """The coefficients except piston and tilts (degenerate with positions): a view, to change in place."""
        return self.coefficients.detach()[sum(index <= 3 for index in self.indices) :]

    @property
    def light(self) -> dict[int, float]:
        """The transmission in the form of a PSF's spec, without zeros."""
        return {j: v for j, v in zip(self.LIGHT, self.transmission.tolist(), strict=True) if v}

    def splines(self, axis: Tensor) -> Tensor:
        """The B-splines along one axis at coordinates (K,) µm: (K, knots)."""
        count = self.knots.shape[0]
        distance = axis[:, None] / self.spacing - (torch.arange(count) - (count - 1) / 2)
        d = distance.abs()
        return torch.where(d < 1, 2 / 3 - d * d + d**3 / 2, (2 - d).clamp(min=0) ** 3 / 6)

    def roughness(self) -> Tensor:
        """Sum of the squared second differences of neighbouring knots, rad²."""
        down, across = self.knots.diff(n=2, dim=0), self.knots.diff(n=2, dim=1)
        return down.square().sum() + across.square().sum()


class CorrectedMask(PhaseMask):
    """A mask plus a correction, on its own pixels; outside the aperture it is the mask alone.

    base: (K, K) rad;  pitch: of its pixels, µm;  correction: shared by masks of several pitches.
    """

    base: Tensor
    _zernikes: Tensor
    _splines: Tensor
    _inside: Tensor

    def __init__(self, base: Tensor, pitch: float, correction: Correction) -> None:
        super().__init__()
        self.correction = correction
        axis = mask_coordinates(base.shape[1], pitch)
        inside = (axis.square()[:, None] + axis.square()).sqrt() <= correction.radius + pitch
        self.register_buffer("base", base.double())
        self.register_buffer("_zernikes", zernike_basis(correction.indices, axis, correction.radius))
        self.register_buffer("_splines", correction.splines(axis))
        self.register_buffer("_inside", inside)

    @property
    def pixels(self) -> int:
        return self.base.shape[1]

    def added(self) -> Tensor:
        """The correction alone, (K, K) rad, 0 outside the aperture."""
        free = self._splines @ self.correction.knots @ self._splines.mT
        polynomials = torch.einsum("k,khw->hw", self.correction.coefficients, self._zernikes)
        return free * self._inside + polynomials

    def forward(self) -> Tensor:
        return self.base + self.added()


class CorrectedPSF(AdjustedPSF):
    """The PSF of a corrected mask, built again whenever the transmission of the correction has changed.

    spec, microscope, patch_px: as for `build_psf`, the spec without a transmission;  mask: the corrected mask.
    """

    def __init__(
        self, spec: ComputedPSFSpec, microscope: Microscope, mask: CorrectedMask, patch_px: int
    ) -> None:
        self._spec, self._microscope, self._mask, self._patch_px = spec, microscope, mask, patch_px
        self._light: dict[int, float] = {}
        self._psf = build_psf(spec, microscope, mask, patch_px=patch_px)

    def current(self) -> ExactPSF:
        """The PSF with the present transmission."""
        light = self._mask.correction.light
        if light != self._light:
            spec = self._spec.with_(transmission=light)
            self._psf = build_psf(spec, self._microscope, self._mask, patch_px=self._patch_px)
            self._light = light
        return self._psf


def binned_microscope(microscope: Microscope, factor: float) -> Microscope:
    """The same microscope with mask pixels wider by `factor`, for a fast first fit."""
    return microscope.with_(mask_pitch=microscope.mask_pitch * factor)


def binned_phase(phase: Tensor, microscope: Microscope, factor: float) -> Tensor:
    """The phase of the mean field over the wider pixels of `binned_microscope`.

    phase: (h, w) rad on the microscope's mask pixels, h = w;  returns (K, K) rad, −π to π.
    Raises InputError where the mask does not cover the aperture.
    """
    if factor == 1:
        return phase.double()
    fine = fit_to_pupil(phase.double(), microscope)
    pixels = binned_microscope(microscope, factor).mask_px
    wide = mask_coordinates(pixels, factor)[:, None]
    narrow = mask_coordinates(len(fine), 1.0)
    # Length of the overlap of a narrow pixel and a wide one.
    ends = torch.minimum(wide + factor / 2, narrow + 0.5) - torch.maximum(wide - factor / 2, narrow - 0.5)
    share = ends.clamp(min=0).to(torch.complex128)
    return torch.angle(share @ torch.polar(torch.ones_like(fine), fine) @ share.mT)
