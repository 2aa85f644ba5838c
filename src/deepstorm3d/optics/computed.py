"""PSFs that are computed through a phase mask: the common part of the scalar and the vectorial model."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Self

import torch

from ..errors import InputError
from ..spec import quantity
from .exact import ExactPSF
from .field_aberrations import Aberrations, FieldGrid, FieldSpec
from .mask_shift import change_of_phase, footprint_um
from .masks import MovedMask, PhaseMask, ZernikePhase
from .microscope import Microscope
from .psf import device_of
from .psf_spec import PSFFiles, PSFSpec
from .tabulated import TabulatedPSF

__all__ = ["ComputedPSFSpec", "build_psf", "computed_psf"]


class ComputedPSFSpec(PSFSpec):
    """A PSF from fields in the pupil, with aberrations in addition to its mask.

    Each kind defines these fields by `exact`.
    """

    needs_mask: ClassVar[bool] = True
    patch_limit: ClassVar[str] = "the sampling of the mask (psf.pupil_oversampling)"

    pupil_oversampling: int = quantity(1, "", "samples of the pupil for each mask pixel and axis", ge=1, le=8)
    aberrations: dict[int, float] = quantity(
        {}, "rad rms", "Zernike aberrations on top of the mask, Noll index: value"
    )
    field: FieldSpec = quantity(
        FieldSpec(), "", "aberrations that change across the field of view", label="Change across the field"
    )
    transmission: dict[int, float] = quantity(
        {},
        "ln rms",
        "logarithm of the amplitude in the pupil: Zernike polynomials, Noll index: value",
        label="Pupil transmission",
    )

    @abstractmethod
    def exact(self, microscope: Microscope, mask: PhaseMask, patch_px: int) -> ExactPSF:
        """The PSF through a mask that already includes the aberrations of the middle of the field.

        Raises InputError if mask or patch do not fit.
        """

    def build(self, microscope: Microscope, mask: PhaseMask, *, patch_px: int | None = None) -> ExactPSF:
        """The exact PSF; if it changes across the field, its default position is the middle.

        The device is that of the mask.
        patch_px: another patch than the record's.  Raises InputError if mask or patch do not fit.
        """
        return self.exact(
            microscope, self.with_aberrations(microscope, mask), self.patch_px if patch_px is None else patch_px
        )

    def with_aberrations(self, microscope: Microscope, mask: PhaseMask) -> PhaseMask:
        """The mask with the aberrations of the middle of the field added, as one phase."""
        if not self.aberrations:
            return mask
        values = torch.tensor(list(self.aberrations.values()), dtype=torch.float64, device=device_of(mask))
        return ZernikePhase(microscope, list(self.aberrations), values, base=mask)

    def images(
        self,
        microscope: Microscope,
        source: PhaseMask,
        *,
        patch_px: int | None = None,
        blur_px: tuple[float, float] | None = None,
    ) -> ExactPSF:
        """The exact PSF (`build`), for any blur."""
        return self.build(microscope, source, patch_px=patch_px)

    def tabulate(
        self,
        microscope: Microscope,
        source: PhaseMask,
        z_um: tuple[float, float],
        blur_px: tuple[float, float],
        *,
        finer: bool = False,
    ) -> TabulatedPSF:
        """A table as of `PSFSpec.tabulate`, for several field positions if the PSF changes across the field."""
        grid = FieldGrid(self.field, microscope.pixel_um, _shifted_phase_change(self.field, microscope, source))
        side = self.patch_px + 2 * TabulatedPSF.margin_px
        exact = [
            self.at(*place).build(microscope, _mask_at(place, self.field, microscope, source), patch_px=side)
            for place in grid.places
        ]
        with torch.no_grad():
            return TabulatedPSF(
                exact,
                z_um,
                blur_range=blur_px,
                oversampling=self._samples_per_pixel(blur_px, finer),
                field=grid if len(exact) > 1 else None,
            )

    def source(self, files: PSFFiles, microscope: Microscope, z_um: tuple[float, float]) -> PhaseMask:
        """The experiment's phase mask."""
        return files.mask()

    def widest_patch_px(self, microscope: Microscope, source: PhaseMask) -> int:
        """Half of the image period of the sampled mask, without the margin of the table's spline, px, odd."""
        fits = int(microscope.image_period_px * self.pupil_oversampling / 2) - 2 * TabulatedPSF.margin_px
        return fits - 1 + fits % 2

    def at(self, across: float, down: float) -> Self:
        """The record for one field position, measured from the middle: −½ and ½ at the edges."""
        there = self.field.at(across, down)
        total = {j: self.aberrations.get(j, 0.0) + there.get(j, 0.0) for j in {**self.aberrations, **there}}
        return self.with_(aberrations=total, field=FieldSpec())

    @property
    def beside_the_mask(self) -> Aberrations:
        """Aberrations that `exact` must apply, since the phase of its mask does not contain them."""
        return Aberrations(self.transmission, self.field)

    @property
    def across(self) -> FieldSpec:
        """Aberrations that change across the field of view."""
        return self.field

    @property
    def unaberrated(self) -> Self:
        """The record without aberrations, for a mask that includes them."""
        return self.with_(aberrations={}, field=FieldSpec())


def computed_psf(spec: PSFSpec) -> ComputedPSFSpec:
    """Return the record if its PSF is computed through a phase mask; raises InputError for any other."""
    if not isinstance(spec, ComputedPSFSpec):
        raise InputError(
            f"psf.kind is {spec.kind}: such a PSF has no phase mask that could be changed, retrieved or "
            "exported; for that set psf.kind to scalar or vectorial (`psf.kind=scalar`)"
        )
    return spec


def build_psf(
    spec: PSFSpec, microscope: Microscope, mask: PhaseMask, *, patch_px: int | None = None
) -> ExactPSF:
    """The exact PSF through a mask (`ComputedPSFSpec.build`); raises InputError for a PSF without a mask."""
    return computed_psf(spec).build(microscope, mask, patch_px=patch_px)


def _mask_at(
    place: tuple[float, float], field: FieldSpec, microscope: Microscope, mask: PhaseMask
) -> PhaseMask:
    """The mask for light from one field position."""
    if field.mask_offset == 0:
        return mask
    x, y = footprint_um(field, microscope, torch.tensor([place], dtype=torch.float64))[0].tolist()
    return MovedMask(mask, (x, y), microscope)


def _shifted_phase_change(field: FieldSpec, microscope: Microscope, mask: PhaseMask) -> tuple[float, float]:
    """Change of the phase of a mask off the pupil plane from edge to edge, across and down, rad rms."""
    if field.mask_offset == 0:
        return 0.0, 0.0
    ends = footprint_um(field, microscope, torch.tensor([[1.0, 1.0]], dtype=torch.float64))[0].abs().tolist()
    slopes = change_of_phase(mask().detach(), microscope)
    return ends[0] * slopes[0], ends[1] * slopes[1]
