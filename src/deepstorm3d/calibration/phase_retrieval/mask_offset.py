"""Axial distance of the mask from the pupil plane, fitted to beads over a field."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...optics.computed import ComputedPSFSpec, build_psf
from ...optics.exact import ExactPSF
from ...optics.field_aberrations import FieldSpec
from ...optics.mask_shift import change_of_phase, footprint_um
from ...optics.masks import PixelMask
from ...optics.microscope import Microscope
from ..beads.images import BeadImages, BeadState
from .bead_model import AdjustedPSF
from .field_aberrations import FEWEST_BEADS
from .position_fit import Unknowns, fit_positions, sigma_of_polynomials

__all__ = ["MaskOffset", "fit_mask_offset"]

# Most images of a bead that are fitted.
_IMAGES = 15
# Iterations of the fit.
_STEPS = 5
# Margin around an image for a bead that drifts, px.
_DRIFT_PX = 4
# Least change of the phase over the field, rad rms, for which an offset is put into the experiment.
_LEAST_RAD = 0.05
# Least offset that is put into the experiment, in σ.
_SURE = 5.0
# Offset at which a mask must change the phase noticeably; otherwise its offset cannot be measured, mm.
_FARTHEST_MM = 100.0


@dataclass(frozen=True)
class MaskOffset:
    """Axial position of the mask.

    mm, sigma_mm: distance behind the pupil plane along the light, and σ;  change_rad: rms over the field of the
    phase difference from the middle, without tilts, which only move images;  size_px: height and width of the
    field.
    """

    mm: float
    sigma_mm: float
    change_rad: float
    size_px: tuple[int, int]

    def as_spec(self) -> FieldSpec:
        """The offset where it is significant and not negligible, else none."""
        sure = self.change_rad > _LEAST_RAD and abs(self.mm) > _SURE * self.sigma_mm
        return FieldSpec(size_px=self.size_px, mask_offset=round(self.mm, 3) if sure else 0.0)


class _MovablePSF(AdjustedPSF):
    """The PSF of a mask with a fitted offset: coefficient · mm_per_unit."""

    def __init__(
        self,
        spec: ComputedPSFSpec,
        microscope: Microscope,
        phase: Tensor,
        across: FieldSpec,
        patch_px: int,
        unit_mm: float,
    ) -> None:
        self.coefficient = torch.zeros(1, dtype=torch.float64)
        self._across, self._unit_mm = across, unit_mm
        self._psf = build_psf(spec, microscope, PixelMask(phase), patch_px=patch_px)

    def current(self) -> ExactPSF:
        """The PSF at the present offset."""
        self._psf.across = self._across.with_(mask_offset=float(self.coefficient) * self._unit_mm)
        return self._psf


@torch.no_grad()
def fit_mask_offset(
    spec: ComputedPSFSpec,
    microscope: Microscope,
    phase: Tensor,
    images: BeadImages,
    state: BeadState,
    size_px: tuple[int, int],
) -> MaskOffset | None:
    """Fit the offset to all beads together with their positions, depths and light (Fisher scoring).

    spec, microscope: of the PSF, without aberrations that change over the field;  phase: (K, K) rad, as
    retrieved, the mean over the beads;  images, state: the images and their fit, each image with the position
    of its bead in the field;
    size_px: height and width of the frames.
    None for fewer than 4 beads with 10 images, and for a mask that shows no offset (`change_of_phase`).
    An offset changes the phase in nearly the same way as field-dependent aberrations (`mask_shift`): with the
    offset in the PSF, `field_aberrations` finds the remaining ones.
    """
    assert images.place is not None
    count = torch.bincount(images.bead)
    across = FieldSpec(size_px=size_px)
    change = _change(across.with_(mask_offset=1.0), microscope, phase)
    if int((count >= 10).sum()) < FEWEST_BEADS or change * _FARTHEST_MM < _LEAST_RAD:
        return None
    rows = torch.cat([_some(images, bead) for bead in (count >= 10).nonzero()[:, 0].tolist()])
    mine, own = images.select(rows), state.select(rows)
    unit_mm = 1 / change
    psf = _MovablePSF(spec, microscope, phase, across, images.side + 2 * _DRIFT_PX, unit_mm)
    unknowns = Unknowns(mean_depth=True, blur=False, polynomials=(psf.coefficient,))
    for _ in range(_STEPS):
        own = fit_positions(psf, mine, own, unknowns)
        psf.coefficient.clamp_(-_FARTHEST_MM / unit_mm, _FARTHEST_MM / unit_mm)
    sigma = float(sigma_of_polynomials(psf, mine, own, unknowns)[0])
    mm = float(psf.coefficient) * unit_mm
    return MaskOffset(mm, sigma * unit_mm, abs(mm) * change, size_px)


def _some(images: BeadImages, bead: int) -> Tensor:
    """Rows of a bead's images, evenly chosen if there are many."""
    rows = (images.bead == bead).nonzero()[:, 0]
    return rows[:: -(-len(rows) // _IMAGES)]


def _change(field: FieldSpec, microscope: Microscope, phase: Tensor) -> float:
    """rms over the field of the phase difference from the middle, without tilts, rad."""
    ends = footprint_um(field, microscope, torch.tensor([[1.0, 1.0]], dtype=torch.float64))[0].abs()
    slopes = torch.tensor(change_of_phase(phase, microscope, tilts=False), dtype=torch.float64)
    # A gradient of 1 over the field is 1/√12 rms.
    return float(((ends * slopes).square().sum() / 12).sqrt())
