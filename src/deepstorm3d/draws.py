"""Random draws that take an explicit generator and follow its device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["gamma", "normal", "uniform"]


def uniform(
    low: float | Tensor, high: float | Tensor, shape: Sequence[int], generator: torch.Generator
) -> Tensor:
    """Uniform between `low` and `high` (numbers, or tensors that broadcast to `shape`), float32."""
    return low + (high - low) * torch.rand(tuple(shape), generator=generator, device=generator.device)


def normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers with the shape, type and device of `like`."""
    return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)


def gamma(shape: Tensor, generator: torch.Generator) -> Tensor:
    """Gamma-distributed numbers of unit scale; `shape` is the gamma shape of each, 0 where that is 0.

    torch.distributions takes no generator; the kernel beneath it does.
    """
    drawn = torch._standard_gamma(shape.clamp(min=torch.finfo(shape.dtype).tiny), generator=generator)  # pyright: ignore
    return torch.where(shape > 0, drawn, torch.zeros_like(drawn))
