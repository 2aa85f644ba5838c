"""Pixel sizes as movies state them, taken only where they can be a microscope's."""

from __future__ import annotations

import math
import re

__all__ = ["believable_um"]

UNIT_UM = {
    **dict.fromkeys(("micron", "microns", "um", "µm", "μm", "\\u00b5m", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter"), 1e3),
    **dict.fromkeys(("cm", "centimeter"), 1e4),
    **dict.fromkeys(("inch", "in"), 25400.0),
    **dict.fromkeys(("m", "meter"), 1e6),
}

PIXEL_UM_RANGE = (1e-3, 10.0)
"""An object pixel outside it is a screen resolution (72 dpi is 353 µm) or a wrong unit: say nothing."""


def believable_um(size: float, unit: str) -> float | None:
    """A pixel of `size` in `unit` (any spelling that files use) in µm; None where it is no microscope's."""
    factor = UNIT_UM.get(re.sub(r"\s", "", unit.lower()))
    if factor is None or not math.isfinite(size):
        return None
    pixel = size * factor
    return pixel if PIXEL_UM_RANGE[0] <= pixel <= PIXEL_UM_RANGE[1] else None
