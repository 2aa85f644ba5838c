"""A PSF as a stack of planes, the form in which programs hand it on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .brief import Brief
from .errors import InputError

__all__ = ["PSFVolume"]


@dataclass(frozen=True, repr=False)
class PSFVolume(Brief):
    """Images of a molecule that sits on the centre of the middle pixel, at depths in equal steps.

    values: (Z, h, w), h = w odd, fraction of the molecule's photons in each pixel;  pixel_um: camera pixel in
    the sample;  z_um: depth of the first plane;  step_um: from plane to plane, above 0.
    Raises InputError for another shape, fewer than 4 planes, or values that are not finite.
    """

    values: Tensor
    pixel_um: float
    z_um: float
    step_um: float

    def __post_init__(self) -> None:
        shape = tuple(self.values.shape)
        if len(shape) != 3 or shape[1] != shape[2] or shape[1] % 2 == 0 or shape[0] < 4 or shape[1] < 5:
            raise InputError(
                f"a PSF of {' × '.join(map(str, shape))} values: give at least 4 planes of a square with an "
                "odd side of 5 px or more, the molecule on its middle pixel"
            )
        if not self.pixel_um > 0 or not self.step_um > 0:
            raise InputError(f"pixel and step must be above 0 µm, got {self.pixel_um:g} and {self.step_um:g}")
        if not bool(torch.isfinite(self.values).all()):
            raise InputError("a PSF must hold finite values only: some are NaN or infinite")

    @property
    def range_um(self) -> tuple[float, float]:
        """Depth of the first and of the last plane."""
        return self.z_um, self.z_um + self.step_um * (len(self.values) - 1)

    @property
    def sha256(self) -> str:
        """The planes' fingerprint: SHA-256 of shape, depths (to a picometre) and little-endian float32 values.

        The pixel is left out: files keep it as a ratio, or not at all.
        """
        values = np.ascontiguousarray(self.values.cpu().numpy(), dtype="<f4") + np.float32(
            0
        )  # −0 and 0 are one
        shape = "x".join(map(str, values.shape))
        depths = f"{1000 * self.z_um:.3f}+{1000 * self.step_um:.3f}"
        return hashlib.sha256(f"{shape}:{depths}:".encode() + values.tobytes()).hexdigest()
