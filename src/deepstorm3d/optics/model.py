"""The PSF that an experiment asks for: exact, tabulated for speed, or the spline through measured planes."""

from __future__ import annotations

import math
from typing import Literal

import torch

from ..errors import InputError
from ..psf_volume import PSFVolume
from ..spec import Spec, quantity
from .exact import ExactPSF
from .field_aberrations import FieldGrid, FieldSpec
from .mask_shift import change_of_phase, footprint_um
from .masks import MovedMask, PhaseMask, ZernikePhase
from .microscope import Microscope
from .psf import PSF, device_of, on_axis
from .scalar import ScalarPSF
from .tabulated import TabulatedPSF
from .vectorial import VectorialPSF, VectorialSpec
from .volume import MeasuredSpec, spline_psf

__all__ = ["PSFSource", "PSFSpec", "build_psf", "depths_of", "extent_px", "tabulate"]

PSFSource = PhaseMask | PSFVolume
"""What a PSF is made from: the phase mask that it is computed with, or the planes that were measured."""


class PSFSpec(Spec):
    """How the image of one molecule is computed."""

    model: Literal["scalar", "vectorial", "measured"] = quantity(
        "scalar",
        "",
        "scalar; vectorial: polarization, refraction at the coverslip, supercritical light; or measured: "
        "planes from beads, the mask is not used",
    )
    patch_px: int = quantity(95, "px", "side of the patch that is computed, odd", ge=11, le=501, multiple_of=1)
    blur_px: float = quantity(
        1.0,
        "px",
        "Gaussian σ for emitters without one of their own; of a measured PSF, what it holds",
        ge=0,
        le=10,
    )
    pupil_oversampling: int = quantity(1, "", "samples of the pupil for each mask pixel and axis", ge=1, le=8)
    apodized: bool = quantity(
        False, "", "aplanatic amplitude cosθ^-1/2 instead of 1 in the scalar model; the vectorial always has it"
    )
    aberrations: dict[int, float] = quantity(
        {}, "rad rms", "Zernike aberrations on top of the mask, Noll index: value"
    )
    field: FieldSpec = quantity(FieldSpec(), "", "aberrations that change across the field of view")
    transmission: dict[int, float] = quantity(
        {},
        "ln rms",
        "logarithm of the amplitude in the pupil: Zernike polynomials, Noll index: value",
    )
    vectorial: VectorialSpec = quantity(VectorialSpec(), "", "for the vectorial model only")
    measured: MeasuredSpec = quantity(MeasuredSpec(), "", "for the measured model only")

    def at(self, across: float, down: float) -> PSFSpec:
        """The same for one place of the field, from its middle: −½ and ½ at its edges."""
        there = self.field.at(across, down)
        total = {j: self.aberrations.get(j, 0.0) + there.get(j, 0.0) for j in {**self.aberrations, **there}}
        return self.with_(aberrations=total, field=FieldSpec())

    @property
    def unaberrated(self) -> PSFSpec:
        """The same without aberrations, for a mask that holds them."""
        return self.with_(aberrations={}, field=FieldSpec())


def build_psf(
    spec: PSFSpec, microscope: Microscope, mask: PhaseMask, *, patch_px: int | None = None
) -> ExactPSF:
    """The exact PSF, scalar or vectorial; of one that changes across the field, that of the middle if not told.

    It computes where the mask lies.
    patch_px: another patch than the spec's.  Raises InputError where mask or patch do not fit, and for a
    measured PSF, which is not computed.
    """
    if spec.model == "measured":
        raise InputError(
            "psf.model is measured: such a PSF consists of planes and has no phase mask that could be changed, "
            "retrieved or exported; for that set psf.model to scalar or vectorial (`psf.model=scalar`)"
        )
    if spec.aberrations:
        values = torch.tensor(list(spec.aberrations.values()), dtype=torch.float64, device=device_of(mask))
        mask = ZernikePhase(microscope, list(spec.aberrations), values, base=mask)
    side, blur, finer = spec.patch_px if patch_px is None else patch_px, spec.blur_px, spec.pupil_oversampling
    if spec.model == "vectorial":
        return VectorialPSF(
            microscope,
            mask,
            spec.vectorial,
            patch_px=side,
            blur_px=blur,
            oversampling=finer,
            transmission=spec.transmission,
            field=spec.field,
        )
    return ScalarPSF(
        microscope,
        mask,
        patch_px=side,
        blur_px=blur,
        oversampling=finer,
        apodized=spec.apodized,
        transmission=spec.transmission,
        field=spec.field,
    )


def tabulate(
    spec: PSFSpec,
    microscope: Microscope,
    source: PSFSource,
    z_um: tuple[float, float],
    blur_px: tuple[float, float],
    *,
    finer: bool = False,
) -> TabulatedPSF:
    """The same PSF as a table over a depth range and a blur range, with the spec's patch, for the whole field.

    Two table samples per pixel where an image may be sharper than 0.9 px (one would err by more than
    1 % of the peak there, figures in `TabulatedPSF`), and wherever that is asked for (finer).
    Measured planes are one sample per pixel and stay so; their table covers all their depths, and their blur is
    the spec's at the least.
    Raises InputError where mask, planes or patch do not fit.
    """
    if isinstance(source, PSFVolume):
        return spline_psf(source, spec.blur_px, blur_range=blur_px, patch_px=spec.patch_px)
    grid = FieldGrid(spec.field, microscope.pixel_um, _moved_rad(spec.field, microscope, source))
    side = spec.patch_px + 2 * TabulatedPSF.margin_px
    exact = [
        build_psf(spec.at(*place), microscope, _mask_at(place, spec.field, microscope, source), patch_px=side)
        for place in grid.places
    ]
    with torch.no_grad():
        oversampling = 2 if finer or blur_px[0] < 0.9 else 1
        field = grid if len(exact) > 1 else None
        return TabulatedPSF(exact, z_um, blur_range=blur_px, oversampling=oversampling, field=field)


def _mask_at(
    place: tuple[float, float], field: FieldSpec, microscope: Microscope, mask: PhaseMask
) -> PhaseMask:
    """The mask as light from a place of the field meets it."""
    if field.mask_offset == 0:
        return mask
    x, y = footprint_um(field, microscope, torch.tensor([place], dtype=torch.float64))[0].tolist()
    return MovedMask(mask, (x, y), microscope)


def _moved_rad(field: FieldSpec, microscope: Microscope, mask: PhaseMask) -> tuple[float, float]:
    """How much the phase of a mask off the pupil plane changes from edge to edge, across and down, rad rms."""
    if field.mask_offset == 0:
        return 0.0, 0.0
    ends = footprint_um(field, microscope, torch.tensor([[1.0, 1.0]], dtype=torch.float64))[0].abs().tolist()
    slopes = change_of_phase(mask().detach(), microscope)
    return ends[0] * slopes[0], ends[1] * slopes[1]


def depths_of(source: PSFSource) -> tuple[float, float]:
    """Depths (lowest, highest), µm, at which a source says how a molecule looks; a mask does at all."""
    return source.range_um if isinstance(source, PSFVolume) else (-math.inf, math.inf)


def extent_px(psf: PSF, z_um: tuple[float, float], fraction: float = 0.75) -> int:
    """Side of the smallest centred square that holds this fraction of the light at every depth, px.

    At most the side of the PSF's own patch.
    """
    z = torch.linspace(z_um[0], z_um[1], 21, device=device_of(psf))
    xyz = on_axis(z)
    with torch.no_grad():
        values = psf(xyz).values
    middle = psf.patch_px // 2
    for half in range(middle):
        inner = values[:, middle - half : middle + half + 1, middle - half : middle + half + 1]
        if float(inner.sum((1, 2)).min()) >= fraction:
            return 2 * half + 1
    return psf.patch_px
