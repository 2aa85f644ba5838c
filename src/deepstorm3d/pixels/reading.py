"""Frames read with their pixels' faults in mind: photons, and how much each pixel counts."""

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
    """Frames as they are worked on.

    photons: (B, H, W), with what the neighbours say in the place of defective pixels and outliers;
    weight: (B, H, W), 0 at these and at full pixels, else 1; None where all count;
    full: (B,) bool, frames with full pixels;  outliers: (B,) number in each frame.
    """

    photons: Tensor
    weight: Tensor | None
    full: Tensor
    outliers: Tensor


def all_good(photons: Tensor) -> Light:
    """Frames (B, H, W) of photons whose pixels all count."""
    return Light(
        photons,
        None,
        torch.zeros(len(photons), dtype=torch.bool, device=photons.device),
        torch.zeros(len(photons), dtype=torch.int64, device=photons.device),
    )


class PixelReader:
    """Makes light of counts, by what was found to be wrong with the pixels; the same for whatever block.

    to_photons: counts (B, H, W) as photons, on the device where they are worked on.
    """

    def __init__(self, faults: PixelFaults, to_photons: Callable[[Tensor], Tensor]) -> None:
        self.faults, self.to_photons = faults, to_photons
        self._predictor: PixelPredictor | None = None

    def mended(self, counts: Tensor) -> Tensor:
        """Counts (B, H, W) with what the neighbours say in the place of defective pixels and outliers."""
        photons = self.to_photons(counts)
        change = self(counts).photons - photons
        # Photons are a straight line of the counts, in each pixel its own.
        nothing = torch.zeros_like(counts[:1])
        slope = self.to_photons(nothing + 1) - self.to_photons(nothing)
        return torch.where(change == 0, counts, counts + change / slope)

    def __call__(self, counts: Tensor) -> Light:
        """counts: (B, H, W) of the region."""
        faults, photons = self.faults, self.to_photons(counts)
        full = (counts >= faults.full).to(photons.device)
        left_out, outliers = full, torch.zeros(len(counts), dtype=torch.int64, device=photons.device)
        if faults.defective or faults.sigmas < float("inf"):
            if self._predictor is None:
                self._predictor = PixelPredictor(faults.spot, ~faults.bad.to(photons.device))
            found, mended = find_outliers(photons, self._predictor, faults.law, faults.sigmas)
            # What is full is no outlier: it may have a sharp edge.
            found &= ~full
            outliers = found.sum((1, 2))
            silent = found | ~self._predictor.usable
            photons = torch.where(silent, mended, photons)
            left_out = full | silent
        weight = (~left_out).to(photons) if bool(left_out.any()) else None
        return Light(photons, weight, full.any(2).any(1), outliers)
