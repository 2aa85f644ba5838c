"""Phase masks in files: as numbers, for a modulator, for a plate, each read back by `read_mask`."""

from __future__ import annotations

from .files import checked_phase, claim_mask, mask_sha256, read_mask, refuse_mask_ending, write_mask

__all__ = ["checked_phase", "claim_mask", "mask_sha256", "read_mask", "refuse_mask_ending", "write_mask"]
