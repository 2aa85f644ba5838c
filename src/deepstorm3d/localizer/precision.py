"""Half precision where the processor has it."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch

__all__ = ["fast_bfloat16", "mixed_precision"]


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 convolutions are faster than float32 ones on this device."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    # Without the instructions oneDNN emulates bfloat16, slower than float32.
    return device.type == "cpu" and _cpu_has_bfloat16()


def _cpu_has_bfloat16() -> bool:
    # Older releases of torch cannot say; float32 is the safe answer there.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def mixed_precision(device: torch.device, half_precision: bool) -> AbstractContextManager[object]:
    """Autocast to bfloat16 if asked for and worth it, else nothing."""
    if half_precision and fast_bfloat16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
