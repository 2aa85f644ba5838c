"""Which depth other programs call z = 0."""

from __future__ import annotations

from ...psf_volume import PSFVolume

__all__ = ["z_reference"]


def z_reference(psf: PSFVolume) -> float:
    """Depth 0 where the planes hold it, else the middle of their range, µm: the files want it within."""
    low, high = psf.range_um
    return 0.0 if low <= 0 <= high else (low + high) / 2
