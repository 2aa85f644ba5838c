"""What stands above the rows of a table: pixel size, frames, image shape and where the rows come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...emitters import Emitters, Localizations

__all__ = ["FRAME_BASE_NOTE", "NOMINAL_PSF_SIGMA_PX", "TableHeader"]

NOMINAL_PSF_SIGMA_PX = 1.0
"""Written where a format wants the width of a Gaussian spot: an engineered PSF has none."""

FRAME_BASE_NOTE = (
    "frames from 0; x = column, y = row; z in nm from the coverslip into the sample, upward positive"
)


@dataclass(frozen=True)
class TableHeader:
    """The recording that a table belongs to.

    pixel_um: object pixel, µm;  frames: in the movie;  shape: (height, width) px of a frame;
    provenance: how the rows were made (experiment, model, options), anything that JSON can hold;
    notes: what was seen while the table was read that the user should know (rows left out, …).
    """

    pixel_um: float
    frames: int
    shape: tuple[int, int]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.pixel_um) and self.pixel_um > 0):
            raise ValueError(f"pixel_um must be a positive number of µm, got {self.pixel_um}")
        if self.frames < 0 or min(self.shape) < 1:
            raise ValueError(f"frames and shape must be positive, got {self.frames} and {self.shape}")

    @property
    def pixel_nm(self) -> float:
        """The pixel in nm, free of the last binary digits (110.0, not 110.00000000000001)."""
        return round(float(self.pixel_um) * 1000, 6)

    @classmethod
    def around(
        cls, table: Localizations | Emitters, pixel_um: float, notes: tuple[str, ...] = ()
    ) -> TableHeader:
        """The smallest recording that holds a table whose file does not describe one."""
        if not len(table):
            return cls(pixel_um, 0, (1, 1), notes=notes)
        x, y, _ = (table.xyz.amax(dim=0) / pixel_um).tolist()
        shape = max(0, round(y)) + 1, max(0, round(x)) + 1
        return cls(pixel_um, int(table.frame.max()) + 1, shape, notes=notes)
