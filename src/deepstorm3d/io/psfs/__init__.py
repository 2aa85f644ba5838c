"""PSFs in the calibration files of other programs, and as a stack of images."""

from __future__ import annotations

from .formats import PSF_FORMATS, claim_psf, read_psf, write_psf

__all__ = ["PSF_FORMATS", "claim_psf", "read_psf", "write_psf"]
