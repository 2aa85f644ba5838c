"""Backgrounds in photons per pixel: none, even, a nucleus (super-Gaussian), or a smooth random field."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import torch
from pydantic import Field as PydanticField
from pydantic import model_validator
from torch import Tensor
from torch.nn import functional

from ..draws import uniform
from ..field import Field
from ..spec import Spec, quantity
from ..supergaussian import random_super_gaussian, rescale

__all__ = ["Background", "NoBackground", "SmoothBackground", "SuperGaussianBackground", "UniformBackground"]

Device = torch.device | str | None


class NoBackground(Spec):
    """No background at all."""

    kind: Literal["none"] = "none"

    def draw(self, frames: int, field: Field, generator: torch.Generator, device: Device = None) -> Tensor:
        """Zeros (frames, H, W), on `device` or else the generator's."""
        return torch.zeros(frames, *field.size, device=device or generator.device)


class UniformBackground(Spec):
    """One level all over a frame, drawn anew for each."""

    kind: Literal["uniform"] = "uniform"
    low: float = quantity(150.0, "photons/pixel", "least level", ge=0)
    high: float = quantity(150.0, "photons/pixel", "greatest level", ge=0)

    @model_validator(mode="after")
    def _runs_upwards(self) -> Self:
        _check_levels("low to high", (self.low, self.high))
        return self

    def draw(self, frames: int, field: Field, generator: torch.Generator, device: Device = None) -> Tensor:
        """Photons per pixel (frames, H, W), on `device` or else the generator's."""
        level = uniform(self.low, self.high, (frames, 1, 1), generator)
        return level.expand(-1, *field.size).contiguous().to(device or generator.device)


class SuperGaussianBackground(Spec):
    """A nucleus: a rotated super-Gaussian of random place, widths and angle between a floor and a peak."""

    kind: Literal["super_gaussian"] = "super_gaussian"
    floor: tuple[float, float] = quantity((20.0, 30.0), "photons/pixel", "range of a frame's least pixel")
    peak: tuple[float, float] = quantity((100.0, 150.0), "photons/pixel", "range of a frame's greatest pixel")

    @model_validator(mode="after")
    def _runs_upwards(self) -> Self:
        _check_levels("floor, then peak", (*self.floor, *self.peak))
        return self

    def draw(self, frames: int, field: Field, generator: torch.Generator, device: Device = None) -> Tensor:
        """Photons per pixel (frames, H, W), on `device` or else the generator's."""
        shape = random_super_gaussian(frames, field.size, generator)
        floor = uniform(*self.floor, (frames,), generator)
        peak = uniform(*self.peak, (frames,), generator)
        return rescale(shape, floor, peak).to(device or generator.device)


class SmoothBackground(Spec):
    """A smooth random field, as of light out of focus; its floor and its peak differ from frame to frame."""

    kind: Literal["smooth"] = "smooth"
    low: float = quantity(20.0, "photons/pixel", "least level", ge=0)
    high: float = quantity(150.0, "photons/pixel", "greatest level", ge=0)
    correlation_um: float = quantity(4.0, "µm", "distance over which the level changes", gt=0)

    @model_validator(mode="after")
    def _runs_upwards(self) -> Self:
        _check_levels("low to high", (self.low, self.high))
        return self

    def draw(self, frames: int, field: Field, generator: torch.Generator, device: Device = None) -> Tensor:
        """Photons per pixel (frames, H, W), on `device` or else the generator's."""
        floor, peak = uniform(self.low, self.high, (2, frames, 1, 1), generator).sort(dim=0).values
        knot_px = self.correlation_um / field.pixel_um
        level = floor + (peak - floor) * _smooth(frames, field, knot_px, generator)
        return level.to(device or generator.device)


Background = Annotated[
    NoBackground | UniformBackground | SuperGaussianBackground | SmoothBackground,
    PydanticField(discriminator="kind"),
]


def _smooth(frames: int, field: Field, knot_px: float, generator: torch.Generator) -> Tensor:
    """Bicubic interpolation of uniform noise on knots `knot_px` apart, 0 to 1, (frames, H, W).

    The knots start at a random place in each frame, so that no pixel is a knot more often than another.
    """
    knots = [math.ceil(side / knot_px) + 4 for side in field.size]
    noise = uniform(0.0, 1.0, (frames, 1, *knots), generator)
    start = uniform(1.0, 2.0, (frames, 2), generator)
    rows, columns = (
        start[:, axis, None] + torch.arange(side, device=generator.device) / knot_px
        for axis, side in enumerate(field.size)
    )
    # grid_sample wants −1 and 1 at the centres of the first and the last knot, x before y.
    y, x = (2 * place / (count - 1) - 1 for place, count in zip((rows, columns), knots, strict=True))
    across, down = x[:, None, :].expand(-1, field.height, -1), y[:, :, None].expand(-1, -1, field.width)
    grid = torch.stack((across, down), dim=-1)
    return functional.grid_sample(noise, grid, mode="bicubic", align_corners=True)[:, 0].clamp(0, 1)


def _check_levels(what: str, levels: tuple[float, ...]) -> None:
    if list(levels) != sorted(levels) or levels[0] < 0:
        raise ValueError(f"levels must not be negative and must not fall ({what}), got {list(levels)}")
