"""The PSF that an experiment asks for: exact, or tabulated for speed."""

from __future__ import annotations

from typing import Literal

import torch

from ..spec import Spec, quantity
from .exact import ExactPSF
from .masks import PhaseMask, ZernikePhase
from .microscope import Microscope
from .psf import PSF
from .scalar import ScalarPSF
from .tabulated import TabulatedPSF
from .vectorial import VectorialPSF, VectorialSpec

__all__ = ["PSFSpec", "build_psf", "extent_px", "tabulate"]


class PSFSpec(Spec):
    """How the image of one molecule is computed."""

    model: Literal["scalar", "vectorial"] = quantity(
        "scalar", "", "scalar, or vectorial: polarization, refraction at the coverslip, supercritical light"
    )
    patch_px: int = quantity(95, "px", "side of the patch that is computed, odd", ge=11, le=501, multiple_of=1)
    blur_px: float = quantity(1.0, "px", "Gaussian σ for emitters that bring none of their own", ge=0, le=10)
    pupil_oversampling: int = quantity(1, "", "samples of the pupil for each mask pixel and axis", ge=1, le=8)
    apodized: bool = quantity(
        False, "", "aplanatic amplitude cosθ^-1/2 instead of 1 in the scalar model; the vectorial always has it"
    )
    aberrations: dict[int, float] = quantity(
        {}, "rad rms", "Zernike aberrations on top of the mask, Noll index: value"
    )
    transmission: dict[int, float] = quantity(
        {},
        "ln rms",
        "logarithm of the amplitude in the pupil: Zernike polynomials, Noll index: value",
    )
    vectorial: VectorialSpec = quantity(VectorialSpec(), "", "for the vectorial model only")


def build_psf(
    spec: PSFSpec, microscope: Microscope, mask: PhaseMask, *, patch_px: int | None = None
) -> ExactPSF:
    """The exact PSF, scalar or vectorial.

    patch_px: another patch than the spec's.  Raises InputError where mask or patch do not fit.
    """
    if spec.aberrations:
        values = torch.tensor(list(spec.aberrations.values()), dtype=torch.float64)
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
        )
    return ScalarPSF(
        microscope,
        mask,
        patch_px=side,
        blur_px=blur,
        oversampling=finer,
        apodized=spec.apodized,
        transmission=spec.transmission,
    )


def tabulate(
    spec: PSFSpec,
    microscope: Microscope,
    mask: PhaseMask,
    z_um: tuple[float, float],
    blur_px: tuple[float, float],
) -> TabulatedPSF:
    """The same PSF as a table over a depth range and a blur range, with the spec's patch.

    Two table samples per pixel where an image may be sharper than 0.9 px: one would err by more than
    1 % of the peak there (figures in `TabulatedPSF`).
    """
    source = build_psf(spec, microscope, mask, patch_px=spec.patch_px + 2 * TabulatedPSF.margin_px)
    with torch.no_grad():
        return TabulatedPSF(source, z_um, blur_range=blur_px, oversampling=1 if blur_px[0] >= 0.9 else 2)


def extent_px(psf: PSF, z_um: tuple[float, float], fraction: float = 0.75) -> int:
    """Side of the smallest centred square that holds this fraction of the light at every depth, px.

    At most the side of the PSF's own patch.
    """
    z = torch.linspace(z_um[0], z_um[1], 21)
    xyz = torch.stack([torch.zeros_like(z), torch.zeros_like(z), z], 1)
    with torch.no_grad():
        values = psf(xyz).values
    middle = psf.patch_px // 2
    for half in range(middle):
        inner = values[:, middle - half : middle + half + 1, middle - half : middle + half + 1]
        if float(inner.sum((1, 2)).min()) >= fraction:
            return 2 * half + 1
    return psf.patch_px
