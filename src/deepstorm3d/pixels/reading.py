"""Conversion of counts to photons and pixel weights, with the faults of the pixels taken into account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .faults import PixelFaults
from .outliers import find_outliers
from .prediction import PixelPredictor

__all__ = ["Light", "PixelReader", "all_good"]


@dataclass(frozen=True)
class Light:
    """Frames as the localization uses them.

    photons: (B, H, W); defective pixels and outliers are replaced by predictions from their neighbours;
    weight: (B, H, W), 0 at these and at saturated pixels, else 1; None if all pixels are used;
    full: (B,) bool, frames with saturated pixels;  outliers: (B,) number in each frame.
    """

    photons: Tensor
    weight: Tensor | None
    full: Tensor
    outliers: Tensor


def all_good(photons: Tensor) -> Light:
    """Frames (B, H, W) of photons in which all pixels are used."""
    return Light(
        photons,
        None,
        torch.zeros(len(photons), dtype=torch.bool, device=photons.device),
        torch.zeros(len(photons), dtype=torch.int64, device=photons.device),
    )


class PixelReader:
    """Converts counts to photons and weights, using the faults of the movie's pixels.

    faults: of the movie, the same for all blocks;  to_photons: converts counts (B, H, W) to photons, on the
    device that processes them.
    """

    def __init__(self, faults: PixelFaults, to_photons: Callable[[Tensor], Tensor]) -> None:
        self.faults, self.to_photons = faults, to_photons
        self._predictor: PixelPredictor | None = None

    def mended(self, counts: Tensor) -> Tensor:
        """Counts (B, H, W) in which predictions from the neighbours replace defective pixels and outliers."""
        photons = self.to_photons(counts)
        change = self(counts).photons - photons
        # Photons are a linear function of the counts, which may differ between pixels.
        nothing = torch.zeros_like(counts[:1])
        slope = self.to_photons(nothing + 1) - self.to_photons(nothing)
        return torch.where(change == 0, counts, counts + change / slope)

    def __call__(self, counts: Tensor) -> Light:
        """Convert counts (B, H, W) of the region."""
        faults, photons = self.faults, self.to_photons(counts)
        full = (counts >= faults.full).to(photons.device)
        left_out, outliers = full, torch.zeros(len(counts), dtype=torch.int64, device=photons.device)
        if faults.defective or faults.sigmas < float("inf"):
            if self._predictor is None:
                self._predictor = PixelPredictor(faults.spot, ~faults.bad.to(photons.device))
            found, mended = find_outliers(photons, self._predictor, faults.law, faults.sigmas)
            # A saturated pixel is no outlier, because saturated areas have sharp edges.
            found &= ~full
            outliers = found.sum((1, 2))
            silent = found | ~self._predictor.usable
            photons = torch.where(silent, mended, photons)
            left_out = full | silent
        weight = (~left_out).to(photons) if bool(left_out.any()) else None
        return Light(photons, weight, full.any(2).any(1), outliers)
