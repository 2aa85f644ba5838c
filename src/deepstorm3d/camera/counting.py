"""Random draws of counts that let gradients through, and rounding that does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..draws import gamma

__all__ = ["as_real", "digitize", "multiplied", "poisson", "rounding_variance"]

SLOPE_FLOOR = 5.0
"""Photons below which the slope of a draw is held at its value there: it diverges at 0."""


class CountingDraw(torch.autograd.Function):
    """Forward: a draw around the mean.  Backward: the slope that `poisson` derives."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, drawn: Tensor) -> Tensor:
        ctx.save_for_backward(mean, drawn)
        return drawn

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        mean, drawn = ctx.saved_tensors
        slope = 1 + (drawn - mean) / (2 * mean.clamp(min=SLOPE_FLOOR))
        return upstream[0] * slope, None


def poisson(expected: Tensor, generator: torch.Generator) -> Tensor:
    """Poisson counts, exact, with the derivative of the Gaussian that has the same mean and variance.

    expected: any shape, mean counts (negative values, a spline's ringing, count as 0);  returns the
    same shape.  Written as a Gaussian, a draw is n = μ + √μ·ε, so that dn/dμ = 1 + ε/(2√μ)
    = 1 + (n − μ)/(2μ). With it the mean gradient of a loss quadratic in n is exact; for other losses
    it is the Gaussian approximation. The slope diverges at μ = 0, so μ in its denominator is at least 5.
    """
    with torch.no_grad():
        drawn = torch.poisson(expected.clamp(min=0), generator=generator)
    return CountingDraw.apply(expected, drawn)


def multiplied(expected: Tensor, generator: torch.Generator) -> Tensor:
    """Electrons after a multiplication register, divided by its gain: Poisson, then a gamma of that shape.

    The sum has mean μ and variance 2μ. Its Gaussian form μ + √(2μ)·ε has the derivative
    1 + (n − μ)/(2μ) again, so the same slope serves.
    """
    with torch.no_grad():
        drawn = gamma(torch.poisson(expected.clamp(min=0), generator=generator), generator)
    return CountingDraw.apply(expected, drawn)


def digitize(counts: Tensor, saturation: float) -> Tensor:
    """Whole counts from 0 to saturation; a derivative passes as if nothing were rounded."""
    return (counts + (counts.round() - counts).detach()).clamp(0, saturation)


def rounding_variance(gain: float | Tensor) -> Tensor:
    """Variance that rounding to whole counts adds, electrons²: (1/12)/gain², gain in counts per electron.

    Holds where other noise spreads a pixel over some tenths of a count or more.
    """
    return torch.as_tensor(gain, dtype=torch.float32).square().reciprocal() / 12


def as_real(counts: Tensor) -> Tensor:
    """Counts as they come from a file (uint16) or a simulation, as floating-point numbers."""
    return counts if counts.is_floating_point() else counts.float()
