"""A PSF that changes across its field, for frames that are parts of the field: tiles, regions, crops."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .psf import PSF, Images, Patches
from .tabulated import TabulatedPSF

__all__ = ["MovedPSF", "part_of", "patches_in_part"]


def patches_in_part(
    psf: Images, xyz: Tensor, blur_px: Tensor | None = None, begin_px: Tensor | None = None
) -> Patches:
    """Patches of emitters whose positions are measured from some pixel of a PSF's field.

    xyz: (N, 3) µm;  blur_px: (N,) px or None;  begin_px: (N, 2) int64, column and row of this pixel for each
    (None: the first pixel of the field);  returns N patches, with corners measured from the same pixels.
    """
    if begin_px is None:
        return psf(xyz, blur_px)
    patches = psf(xyz + torch.nn.functional.pad(begin_px * psf.pixel_um, (0, 1)).to(xyz), blur_px)
    return patches._replace(corner=patches.corner - begin_px)


def part_of(psf: PSF, begin_px: tuple[int, int]) -> PSF:
    """The PSF for frames whose first pixel is at `begin_px` (column, row) of its field."""
    same = isinstance(psf, TabulatedPSF) and psf.field is None
    return psf if same or begin_px == (0, 0) else MovedPSF(psf, begin_px)


class MovedPSF(nn.Module):
    """A PSF for frames that all show the same part of its field.

    psf: for positions in the whole field;  begin_px: column and row of the frames' first pixel in the field.
    """

    _begin_px: Tensor

    def __init__(self, psf: PSF, begin_px: tuple[int, int]) -> None:
        super().__init__()
        self.psf = psf
        self.register_buffer("_begin_px", torch.tensor(begin_px), persistent=False)

    @property
    def pixel_um(self) -> float:
        """Camera pixel in the sample, µm."""
        return self.psf.pixel_um

    @property
    def patch_px(self) -> int:
        """Side of the patches, camera pixels."""
        return self.psf.patch_px

    def forward(self, xyz: Tensor, blur_px: Tensor | None = None) -> Patches:
        """xyz: (N, 3) µm from the first pixel of the part;  blur_px: (N,) px or None;  returns N patches."""
        return patches_in_part(self.psf, xyz, blur_px, self._begin_px.expand(len(xyz), 2))

    def derivatives(
        self, xyz: Tensor, blur_px: Tensor | None = None, *, in_blur: bool = False
    ) -> tuple[Patches, Tensor]:
        """The patches and their derivatives; see `PSF.derivatives`."""
        begin_um = torch.nn.functional.pad(self._begin_px * self.pixel_um, (0, 1)).to(xyz)
        patches, slopes = self.psf.derivatives(xyz + begin_um, blur_px, in_blur=in_blur)
        return patches._replace(corner=patches.corner - self._begin_px), slopes
