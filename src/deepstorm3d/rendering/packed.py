"""Points of a list packed into 8 bytes each, for a screen that turns millions of them in three dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .sections import Interval
from .tiles import Tiles

__all__ = ["POINT", "SIGMA_STEP_UM", "Packing", "shuffled"]

POINT = np.dtype([("at", "<u2", 3), ("shade", "u1"), ("width", "u1")])
"""One point: x, y, z in steps of the box, its colour, and its σ in steps of `SIGMA_STEP_UM` (0: not known)."""

SIGMA_STEP_UM = 0.0005
"""Step of the σ of a packed point, µm; the largest is 255 steps."""

# Steps of a position along an axis of the box.
_STEPS = 65535
# Seed of the order of the points.
_SEED = 18


@dataclass(frozen=True)
class Packing:
    """Where packed points lie.

    low, high: two corners of the box, µm, on x, y and z;  ends: of the values that become colours.
    Raises InputError for a box or ends that do not grow.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    ends: Interval

    def __post_init__(self) -> None:
        if not all(low < high for low, high in zip(self.low, self.high, strict=True)):
            raise InputError(f"the box must grow on every axis, got {self.low} to {self.high} µm")
        if not self.ends[0] < self.ends[1]:
            raise InputError(f"the values of the colours must grow, got {self.ends[0]:g} to {self.ends[1]:g}")

    @property
    def step_nm(self) -> tuple[float, float, float]:
        """Steps of the positions on x, y and z, nm: no position is off by more than half of them."""
        x, y, z = (1000 * (high - low) / _STEPS for low, high in zip(self.low, self.high, strict=True))
        return x, y, z

    def inside(self, xyz: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which of the positions (N, 3) µm lie in the box."""
        low, high = np.array(self.low, np.float32), np.array(self.high, np.float32)
        return np.asarray(((xyz >= low) & (xyz <= high)).all(axis=1))

    def pack(self, tiles: Tiles, points: NDArray[np.integer], values: NDArray[np.floating]) -> NDArray[np.void]:
        """Points (K,) of a list, all inside the box, as K records `POINT`.

        values: (K,) what becomes the colour, 0 to 255 from end to end; not known (NaN) is 0.
        The width is the root mean square of σ on x, y and z.
        """
        packed = np.empty(len(points), POINT)
        xyz, sigma = tiles.xyz[points].astype(np.float64), tiles.sigma[points]
        low = np.array(self.low)
        share = (xyz - low) / (np.array(self.high) - low)
        packed["at"] = np.rint(share.clip(0.0, 1.0) * _STEPS)
        first, last = self.ends
        shade = (values - first) * (256 / (last - first))
        packed["shade"] = np.nan_to_num(shade, nan=0.0).clip(0, 255)
        known = (sigma > 0).all(axis=1)
        width = np.sqrt(np.square(sigma).mean(axis=1)) / SIGMA_STEP_UM
        packed["width"] = np.where(known, np.rint(width).clip(1, 255), 0)
        return packed

    def unpack(self, packed: NDArray[np.void]) -> NDArray[np.float64]:
        """Positions (K, 3) µm of packed points."""
        low = np.array(self.low)
        return low + packed["at"] / _STEPS * (np.array(self.high) - low)


def shuffled(number: int) -> NDArray[np.int32]:
    """The numbers below `number` in a random order, always the same one: any part of it is a fair sample."""
    return np.random.default_rng(_SEED).permutation(np.int32(number)) if number else np.zeros(0, np.int32)
