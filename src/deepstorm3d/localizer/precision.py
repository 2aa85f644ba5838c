"""The precision of a network's convolutions: bfloat16 where it is fast, float32 where it is needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["PreciseConv2d", "conv2d_in_float32", "fast_bfloat16", "fastest_bfloat16", "mixed_precision"]


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 convolutions are faster than float32 ones on this device."""
    if device.type == "cuda":
        # GPUs before 2020 (compute capability below 8) only emulate bfloat16, which is slower than float32.
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and _cpu_is_fast_in_bfloat16()


def fastest_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 convolutions are faster than float32 ones by Winograd's algorithm too: not on AMD's
    processors, where these take 0.8 of the time (80 channels)."""
    return fast_bfloat16(device) and (device.type != "cpu" or _cpu_multiplies_matrices_of_bfloat16())


def _cpu_multiplies_matrices_of_bfloat16() -> bool:
    return _cpu_offers("amx_bf16") or _cpu_offers("bf16")


def _cpu_is_fast_in_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16 that gain: for whole matrices, or AMD's for vectors.

    Without any, oneDNN emulates bfloat16. Intel's for vectors (AVX-512) take 1.3 to 1.6 times as long as
    float32 in these networks, AMD's (since Zen 4) 0.54 to 0.68 of it.
    """
    if _cpu_multiplies_matrices_of_bfloat16():
        return True
    return _cpu_offers("avx512_bf16") and str(_cpu_capabilities().get("cpu_name", "")).startswith("AMD")


def _cpu_offers(instructions: str) -> bool:
    return bool(_cpu_capabilities().get(instructions))


def _cpu_capabilities() -> Mapping[str, Any]:
    # Older releases of torch do not report them; float32 is the safe choice there.
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}


def mixed_precision(device: torch.device, half_precision: bool) -> AbstractContextManager[object]:
    """Autocast to bfloat16 if `half_precision` is set and the device is faster with it, else no change."""
    if half_precision and fast_bfloat16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def conv2d_in_float32(images: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
    """`torch.nn.functional.conv2d` in float32, its gradients too: without autocast, and without TF32.

    images: (B, C, H, W);  weight: (D, C, h, w);  bias: (D,) or None.  By default, torch rounds the inputs of
    float32 convolutions to 10 bits of mantissa (TF32) on NVIDIA GPUs since 2020. This would move positions by
    about 1 nm.
    """
    with torch.autocast(images.device.type, enabled=False):
        out = _Conv2dInFloat32.apply(images.float(), weight, bias, padding)
    assert isinstance(out, Tensor)
    return out


class PreciseConv2d(nn.Conv2d):
    """A convolution in float32, except in training."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training:
            return super().forward(input)
        rows, columns = self.padding
        assert isinstance(rows, int) and isinstance(columns, int)
        return conv2d_in_float32(input, self.weight, self.bias, (rows, columns))


class _Conv2dInFloat32(torch.autograd.Function):
    """Convolution without TF32, also in the backward pass, which runs after the forward pass has ended."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.padding, ctx.bias = padding, None if bias is None else list(bias.shape)
        with _without_tf32(images.device):
            return functional.conv2d(images, weight, bias, padding=padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        wanted = [*ctx.needs_input_grad[:2], ctx.bias is not None and ctx.needs_input_grad[2]]
        with _without_tf32(images.device):
            found = torch.ops.aten.convolution_backward(
                gradients[0], images, weight, ctx.bias, [1, 1], ctx.padding, [1, 1], False, [0, 0], 1, wanted
            )
        return (*found, None)


@contextlib.contextmanager
def _without_tf32(device: torch.device) -> Iterator[None]:
    """Switch TF32 off for the convolutions of this process, and restore the previous setting afterwards."""
    if device.type != "cuda":
        yield
        return
    convolutions = torch.backends.cudnn.conv  # pyright: ignore[reportAttributeAccessIssue]
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before
