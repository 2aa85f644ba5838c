"""The interface of point spread functions: image patches of molecules, and their derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..field import Field

__all__ = [
    "PSF",
    "Images",
    "Patches",
    "VaryingPSF",
    "device_of",
    "extent_px",
    "on_axis",
    "patch_corner",
    "psf_in_field",
]


class Patches(NamedTuple):
    """Images of N molecules, each on its own small patch of camera pixels.

    values: (N, h, w) fraction of the molecule's photons in each pixel;
    corner: (N, 2) int64, column and row of the patch's first pixel (may lie outside the frame);
    encircled_energy: (N,) fraction of the molecule's light inside the patch.
    """

    values: Tensor
    corner: Tensor
    encircled_energy: Tensor


class Images(Protocol):
    """Computes images of molecules; this is sufficient for tabulating a PSF."""

    @property
    def pixel_um(self) -> float:
        """Size of a camera pixel in the sample, µm."""
        ...

    @property
    def patch_px(self) -> int:
        """Side of the patches, camera pixels."""
        ...

    def __call__(self, xyz: Tensor, blur_px: Tensor | None = None) -> Patches:
        """xyz: (N, 3) µm;  blur_px: (N,) Gaussian σ in camera pixels, or None for the PSF's own."""
        ...


class PSF(Images, Protocol):
    """A differentiable model of the image of one molecule on the camera."""

    def derivatives(
        self, xyz: Tensor, blur_px: Tensor | None = None, *, in_blur: bool = False
    ) -> tuple[Patches, Tensor]:
        """The patches and d values / d (x, y, z): (N, 3, h, w), per µm.

        in_blur: add the derivative with respect to the blur, per px: (N, 4, h, w).
        """
        ...


@runtime_checkable
class VaryingPSF(PSF, Protocol):
    """A PSF that may vary over the field of view."""

    def in_field(self, field: Field | Sequence[Field]) -> PSF:
        """The PSF for positions that are measured from the first pixel of a part of the whole field.

        field: the part that the frames show, or one part for each of the molecules to be computed.
        """
        ...


def psf_in_field(psf: PSF, field: Field | Sequence[Field]) -> PSF:
    """`VaryingPSF.in_field` of a PSF that has it; any other PSF is the same everywhere."""
    return psf.in_field(field) if isinstance(psf, VaryingPSF) else psf


def device_of(source: object) -> torch.device:
    """The device of a PSF or mask, on which its input positions must be too.

    It is that of its parameters and buffers, or the CPU if it has none.
    """
    if isinstance(source, nn.Module):
        for held in chain(source.parameters(), source.buffers()):
            return held.device
    return torch.device("cpu")


def on_axis(z: Tensor) -> Tensor:
    """Positions (N, 3) at x = y = 0 and these depths; z: (N,) µm."""
    return torch.nn.functional.pad(z[:, None], (2, 0))


def patch_corner(xyz: Tensor, pixel_um: float, patch_px: int) -> tuple[Tensor, Tensor]:
    """Position of each emitter's patch, and of the emitter within the patch's centre pixel.

    xyz: (N, 3) µm;  returns corner (N, 2) int64 (column, row) and offset (N, 2) px, within ±½,
    of the emitter from the centre of pixel ``patch_px // 2`` of the patch.
    """
    position = xyz[:, :2] / pixel_um
    centre = position.detach().round()
    return centre.long() - patch_px // 2, position - centre


def extent_px(psf: Images, z_um: tuple[float, float], fraction: float = 0.75) -> int:
    """Side of the smallest centred square with this encircled energy (`fraction`) at every depth, px.

    It is at most the side of the PSF's own patch.
    """
    z = torch.linspace(z_um[0], z_um[1], 21, device=device_of(psf))
    with torch.no_grad():
        values = psf(on_axis(z)).values
    middle = psf.patch_px // 2
    for half in range(middle):
        inner = values[:, middle - half : middle + half + 1, middle - half : middle + half + 1]
        if float(inner.sum((1, 2)).min()) >= fraction:
            return 2 * half + 1
    return psf.patch_px
