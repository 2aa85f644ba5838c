"""By what a measured PSF is told from others, whatever file it lies in."""

from __future__ import annotations

import hashlib

import numpy as np

from ...psf_volume import PSFVolume

__all__ = ["psf_sha256"]


def psf_sha256(psf: PSFVolume) -> str:
    """The planes' fingerprint: SHA-256 of shape, depths (to a picometre) and little-endian float32 values.

    The pixel is left out: files keep it as a ratio, or not at all.
    """
    values = np.ascontiguousarray(psf.values.cpu().numpy(), dtype="<f4") + np.float32(0)  # −0 and 0 are one
    shape = "x".join(map(str, values.shape))
    depths = f"{1000 * psf.z_um:.3f}+{1000 * psf.step_um:.3f}"
    return hashlib.sha256(f"{shape}:{depths}:".encode() + values.tobytes()).hexdigest()
