"""Aberrations across the field of view: the polynomials of each bead, and planes through them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...brief import Brief
from ...optics.computed import ComputedPSFSpec, build_psf
from ...optics.field_aberrations import FieldSpec
from ...optics.microscope import Microscope
from ..beads.images import BeadImages, BeadState
from .phase_correction import CorrectedMask, Correction
from .position_fit import Unknowns, fit_positions, sigma_of_polynomials

__all__ = ["FEWEST_BEADS", "FieldAberrations", "field_aberrations"]

# Fewest beads: a plane has three unknowns, and with fewer beads its fit cannot be tested.
FEWEST_BEADS = 4
# Noll indices of radial orders 2 to 4, without defocus, because the height of a bead is not known.
_INDICES = tuple(range(5, 16))
# Least total gradient for the experiment, rad rms over the field: with an error of 0.1 rad molecules scatter by
# twice the bound in z.
_LEAST_RAD = 0.05
# Least gradient of one polynomial, rad over the field.
_LEAST_RISE = 0.03
# Least gradient of one polynomial, in σ.
_SURE = 3.0
# Most images of a bead that are fitted.
_IMAGES = 25
# Iterations of the fit.
_STEPS = 4
# Margin around an image for a bead that drifts, px.
_DRIFT_PX = 4


@dataclass(frozen=True, repr=False)
class FieldAberrations(Brief):
    """Differences of the phase between beads, in addition to their common phase.

    indices: (P,) Noll's;  beads: (B,) numbers of the beads that were used;  place_px: (B, 2) column and row;
    values, sigma: (B, P) rad rms and σ;  plane: (3, P) rad: value in the middle of the field, gradient from its
    left to its right edge, gradient from its upper to its lower edge, by weighted least squares;
    plane_sigma: (3, P);  size_px: (2,) width and height of the field.
    """

    indices: tuple[int, ...]
    beads: Tensor
    place_px: Tensor
    values: Tensor
    sigma: Tensor
    plane: Tensor
    plane_sigma: Tensor
    size_px: Tensor

    @property
    def away(self) -> Tensor:
        """Differences of each bead's values from the weighted mean of all, (B, P) rad."""
        weight = self.sigma.square().reciprocal()
        return self.values - (self.values * weight).sum(0) / weight.sum(0)

    @property
    def scatter_rad(self) -> float:
        """rms over beads of the phase difference from their mean, with the noise subtracted, rad."""
        degrees = len(self.beads) - 1
        noise = self.sigma.square().mean(0).sum()
        return float((self.away.square().sum() / degrees - noise).clamp(min=0).sqrt())

    @property
    def excess(self) -> float:
        """χ² per degree of freedom for "the same everywhere": 1 where the beads differ only by noise."""
        degrees = (len(self.beads) - 1) * len(self.indices)
        return float((self.away / self.sigma).square().sum()) / degrees

    @property
    def left_rad(self) -> float:
        """rms over beads of the phase difference from the planes, with the noise subtracted, rad."""
        at = self.place_px / self.size_px - 0.5
        terms = torch.cat([torch.ones(len(at), 1, dtype=at.dtype), at], 1)
        left = self.values - terms @ self.plane
        degrees = max(len(self.beads) - 3, 1)
        noise = self.sigma.square().mean(0).sum()
        return float((left.square().sum() / degrees - noise).clamp(min=0).sqrt())

    @property
    def planes_rad(self) -> float:
        """rms over the whole field of the phase of the planes minus their middle, with the noise subtracted."""
        # A gradient of 1 over the field is 1/√12 rms.
        power = (self.plane[1:].square() - self.plane_sigma[1:].square()).sum() / 12
        return float(power.clamp(min=0).sqrt())

    def as_spec(self) -> FieldSpec:
        """The gradients that exceed their noise; none where their sum is negligible."""
        size = int(self.size_px[1]), int(self.size_px[0])
        if self.planes_rad < _LEAST_RAD:
            return FieldSpec(size_px=size)
        least = (_SURE * self.plane_sigma[1:]).clamp(min=_LEAST_RISE)
        sure = (self.plane[1:].abs() > least).any(0).tolist()
        rises = {
            noll: (round(across, 4), round(down, 4))
            for noll, (across, down), kept in zip(self.indices, self.plane[1:].T.tolist(), sure, strict=True)
            if kept
        }
        return FieldSpec(size_px=size, rises=rises)


def field_aberrations(
    spec: ComputedPSFSpec,
    microscope: Microscope,
    phase: Tensor,
    images: BeadImages,
    state: BeadState,
    place_px: Tensor,
    size_px: tuple[int, int],
) -> FieldAberrations | None:
    """Fit each bead's own polynomials in addition to the common phase (Fisher scoring).

    spec, microscope: of the PSF;  phase: (K, K) rad, as retrieved;  images, state: the images and their fit;
    place_px: (B, 2) column and row of each bead;  size_px: height and width of the frames.
    None for fewer than 4 beads with 10 images, or beads that do not span a tenth of the field both ways.
    """
    count = torch.bincount(images.bead, minlength=len(place_px))
    beads = (count >= 10).nonzero()[:, 0]
    size = torch.tensor([size_px[1], size_px[0]], dtype=torch.float64)
    if len(beads) < FEWEST_BEADS:
        return None
    at = place_px[beads].double()
    span = (at.max(0).values - at.min(0).values) / size
    if float(span.min()) < 0.1:
        return None
    values, sigma = [], []
    for bead in beads.tolist():
        own, error = _one_bead(spec, microscope, phase, images, state, bead)
        values.append(own)
        sigma.append(error)
    table, errors = torch.stack(values), torch.stack(sigma)
    plane, plane_sigma = _planes(at / size - 0.5, table, errors)
    return FieldAberrations(_INDICES, beads, at, table, errors, plane, plane_sigma, size)


@torch.no_grad()
def _one_bead(
    spec: ComputedPSFSpec,
    microscope: Microscope,
    phase: Tensor,
    images: BeadImages,
    state: BeadState,
    bead: int,
) -> tuple[Tensor, Tensor]:
    """Coefficients and σ, (P,) rad each; its depth is free, because the common phase is known."""
    rows = (images.bead == bead).nonzero()[:, 0]
    rows = rows[:: -(-len(rows) // _IMAGES)]
    mine, own = images.select(rows), state.select(rows)
    correction = Correction(microscope, list(_INDICES), microscope.pupil_diameter)
    mask = CorrectedMask(phase, microscope.mask_pitch, correction)
    psf = build_psf(spec, microscope, mask, patch_px=images.side + 2 * _DRIFT_PX)
    unknowns = Unknowns(mean_depth=True, blur=False, polynomials=(correction.shapes,))
    for _ in range(_STEPS):
        own = fit_positions(psf, mine, own, unknowns)
    return correction.shapes.clone(), sigma_of_polynomials(psf, mine, own, unknowns)


def _planes(place: Tensor, values: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted least squares of 1, x, y for each polynomial; σ are scaled up where the values scatter more."""
    terms = torch.cat([torch.ones(len(place), 1, dtype=torch.float64), place], 1)
    weight = sigma.square().reciprocal()
    normal = torch.einsum("bi,bp,bj->pij", terms, weight, terms)
    inverse = torch.linalg.inv(normal)
    plane = torch.einsum("pij,bj,bp->ip", inverse, terms, weight * values)
    rest = ((values - terms @ plane).square() * weight).sum(0) / max(len(place) - 3, 1)
    return plane, (inverse.diagonal(dim1=1, dim2=2).mT * rest.clamp(min=1.0)).sqrt()
