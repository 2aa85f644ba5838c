"""A camera that counts every photon."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..chip import Maps
from ..noise import Noise
from ..spec import quantity
from .camera_spec import CameraSpec, ReadOut
from .counting import as_real, poisson
from .scmos import ScmosCamera

__all__ = ["IdealCamera"]


class IdealCamera(CameraSpec):
    """A camera that counts every photon: Poisson noise and nothing else; one count is one photon."""

    kind: Literal["ideal"] = "ideal"
    saturation: float = quantity(65535.0, "counts", "largest count a pixel can give", gt=0)

    counts_photons: ClassVar[bool] = True

    def expose(self, expected: Tensor, generator: torch.Generator, maps: Maps | None = None) -> Tensor:
        """Counts for expected photons; both (B, H, W)."""
        return poisson(expected, generator).clamp(max=self.saturation)

    def to_photons(self, counts: Tensor, maps: Maps | None = None) -> Tensor:
        """Photons that the counts stand for; both (B, H, W)."""
        return as_real(counts)

    def pixel_noise(self, maps: Maps | None = None) -> Noise:
        """Shot noise alone."""
        return Noise()

    def with_read_out(self, measured: ReadOut) -> CameraSpec:
        """An sCMOS camera: this kind has no gain."""
        return ScmosCamera.model_validate(measured._asdict())
