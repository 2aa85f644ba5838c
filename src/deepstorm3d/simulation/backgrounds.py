"""Backgrounds in photons per pixel: none, uniform, a nucleus (super-Gaussian), or smooth and random."""

from __future__ import annotations

import math
from functools import cache
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn import functional

from ..draws import uniform
from ..field import Field
from ..kinds import Kinds
from ..spec import Spec, quantity
from ..supergaussian import random_super_gaussian, rescale
from .ranges import Range, low_before_high

__all__ = [
    "BACKGROUNDS",
    "Background",
    "BackgroundSpec",
    "NoBackground",
    "SmoothBackground",
    "SuperGaussianBackground",
    "UniformBackground",
]

Device = torch.device | str | None


class BackgroundSpec(Spec):
    """One kind of background.

    A kind defines its name (`kind`), `draw` and `levels`. The other methods have defaults, which a kind may
    override.
    """

    kind: Any

    def draw(self, frames: int, field: Field, generator: torch.Generator, device: Device = None) -> Tensor:
        """Draw photons per pixel (frames, H, W), on `device` or by default on the generator's device."""
        raise NotImplementedError(f"a background of kind {self.kind} needs draw()")

    @property
    def levels(self) -> tuple[float, float]:
        """Lowest and highest level of any pixel, photons."""
        raise NotImplementedError(f"a background of kind {self.kind} needs levels")

    @property
    def mean(self) -> float:
        """Typical level over frames and pixels: the middle of `levels`, photons."""
        low, high = self.levels
        return (low + high) / 2

    def describe(self) -> str:
        """The levels in words: "20 to 150 per px"."""
        low, high = self.levels
        return f"{low:g} per px" if low == high else f"{low:g} to {high:g} per px"

    def like(self, level: float, floor: float, spread: float) -> BackgroundSpec:
        """A background with these measured levels, of this kind if they determine it, else uniform.

        level: mean over field and frames;  floor: mean of the lowest pixels;  spread: half of the range over
        which both differ from frame to frame;  all in photons per pixel.
        """
        return UniformBackground(low=max(level - spread, 0.0), high=level + spread)

    def with_light(self) -> BackgroundSpec:
        """This background, or a uniform one if this kind is no background at all."""
        return self

    def less_even(self) -> BackgroundSpec | None:
        """The kind to try if the level varies more over the field than with this kind; None: no such kind."""
        return None

    def more_even(self) -> BackgroundSpec | None:
        """The kind to try if the level varies less over the field than with this kind; None: no such kind."""
        return None


class NoBackground(BackgroundSpec):
    """No background at all."""

    kind: Literal["none"] = "none"

    @property
    def levels(self) -> tuple[float, float]:
        """0 and 0."""
        return 0.0, 0.0

    def describe(self) -> str:
        """The word "none"."""
        return "none"

    def like(self, level: float, floor: float, spread: float) -> BackgroundSpec:
        """This background, whatever the levels."""
        return self

    def with_light(self) -> BackgroundSpec:
        """A uniform background."""
        return UniformBackground()

    def draw(self, frames: int, field: Field, generator: torch.Generator, device: Device = None) -> Tensor:
        """Zeros (frames, H, W), on `device` or else the generator's."""
        return torch.zeros(frames, *field.size, device=device or generator.device)


class UniformBackground(BackgroundSpec):
    """The same level in all pixels of a frame, drawn independently for each frame."""

    kind: Literal["uniform"] = "uniform"
    low: float = quantity(150.0, "photons/pixel", "lowest level", ge=0, label="Lowest level")
    high: float = quantity(150.0, "photons/pixel", "highest level", ge=0, label="Highest level")

    _low_before_high = model_validator(mode="after")(low_before_high)

    def draw(self, frames: int, field: Field, generator: torch.Generator, device: Device = None) -> Tensor:
        """Photons per pixel (frames, H, W), on `device` or else the generator's."""
        level = uniform(self.low, self.high, (frames, 1, 1), generator)
        return level.expand(-1, *field.size).contiguous().to(device or generator.device)

    @property
    def levels(self) -> tuple[float, float]:
        """The range."""
        return self.low, self.high

    def less_even(self) -> BackgroundSpec:
        """A nucleus."""
        return SuperGaussianBackground()


class SuperGaussianBackground(BackgroundSpec):
    """A nucleus: a super-Gaussian of random position, widths and angle between a floor and a peak."""

    kind: Literal["super_gaussian"] = "super_gaussian"
    floor: Range = quantity(
        (20.0, 30.0),
        "photons/pixel",
        "level of the darkest pixel of a frame, range over frames",
        label="Darkest",
    )
    peak: Range = quantity(
        (100.0, 150.0),
        "photons/pixel",
        "level of the brightest pixel of a frame, range over frames",
        label="Brightest",
    )

    @model_validator(mode="after")
    def _floor_below_peak(self) -> Self:
        if self.floor[0] < 0 or self.floor[1] > self.peak[0]:
            raise ValueError(f"0 <= floor <= peak must hold, got floor {self.floor} and peak {self.peak}")
        return self

    def draw(self, frames: int, field: Field, generator: torch.Generator, device: Device = None) -> Tensor:
        """Photons per pixel (frames, H, W), on `device` or else the generator's."""
        shape = random_super_gaussian(frames, field.size, generator)
        floor = uniform(*self.floor, (frames,), generator)
        peak = uniform(*self.peak, (frames,), generator)
        return rescale(shape, floor, peak).to(device or generator.device)

    @property
    def levels(self) -> tuple[float, float]:
        """The lowest floor and the highest peak, photons."""
        return self.floor[0], self.peak[1]

    @property
    def mean(self) -> float:
        """The middle between mean floor and mean peak, photons."""
        return (sum(self.floor) + sum(self.peak)) / 4

    def describe(self) -> str:
        """The levels in words, marked as uneven."""
        return f"{self.floor[0]:g} to {self.peak[1]:g} per px, uneven"

    def like(self, level: float, floor: float, spread: float) -> BackgroundSpec:
        """A nucleus with this floor, and with the peak that results in this mean level."""
        peak = floor + (level - floor) / _mean_of_nucleus()
        share = peak / max(level, 1e-6)
        low, high = max(peak - spread * share, floor), peak + spread * share
        near = min(spread, 0.2 * floor)
        return SuperGaussianBackground(floor=(max(floor - near, 0.0), min(floor + near, low)), peak=(low, high))

    def more_even(self) -> BackgroundSpec:
        """A uniform background."""
        return UniformBackground()


class SmoothBackground(BackgroundSpec):
    """A smooth random background, like out-of-focus light; floor and peak differ from frame to frame."""

    kind: Literal["smooth"] = "smooth"
    low: float = quantity(20.0, "photons/pixel", "lowest level", ge=0, label="Lowest level")
    high: float = quantity(150.0, "photons/pixel", "highest level", ge=0, label="Highest level")
    correlation_um: float = quantity(
        4.0, "µm", "distance over which the level changes", gt=0, label="Correlation length"
    )

    _low_before_high = model_validator(mode="after")(low_before_high)

    def draw(self, frames: int, field: Field, generator: torch.Generator, device: Device = None) -> Tensor:
        """Photons per pixel (frames, H, W), on `device` or else the generator's."""
        floor, peak = uniform(self.low, self.high, (2, frames, 1, 1), generator).sort(dim=0).values
        knot_px = self.correlation_um / field.pixel_um
        level = floor + (peak - floor) * _smooth(frames, field, knot_px, generator)
        return level.to(device or generator.device)

    @property
    def levels(self) -> tuple[float, float]:
        """The range."""
        return self.low, self.high


BACKGROUNDS = Kinds(NoBackground, UniformBackground, SuperGaussianBackground, SmoothBackground)
"""All kinds of background. ``BACKGROUNDS.register`` adds one that is defined elsewhere."""

Background = Annotated[BackgroundSpec, BACKGROUNDS]


def _smooth(frames: int, field: Field, knot_px: float, generator: torch.Generator) -> Tensor:
    """Bicubic interpolation of uniform noise on knots `knot_px` apart, 0 to 1, (frames, H, W).

    The knots start at a random position in each frame, so that all pixels have the same statistics.
    """
    knots = [math.ceil(side / knot_px) + 4 for side in field.size]
    noise = uniform(0.0, 1.0, (frames, 1, *knots), generator)
    start = uniform(1.0, 2.0, (frames, 2), generator)
    rows, columns = (
        start[:, axis, None] + torch.arange(side, device=generator.device) / knot_px
        for axis, side in enumerate(field.size)
    )
    # grid_sample expects −1 and 1 at the centres of the first and the last knot, and x before y.
    y, x = (2 * place / (count - 1) - 1 for place, count in zip((rows, columns), knots, strict=True))
    across, down = x[:, None, :].expand(-1, field.height, -1), y[:, :, None].expand(-1, -1, field.width)
    grid = torch.stack((across, down), dim=-1)
    return functional.grid_sample(noise, grid, mode="bicubic", align_corners=True)[:, 0].clamp(0, 1)


@cache
def _mean_of_nucleus() -> float:
    """Mean of a random super-Gaussian, relative to its lowest (0) and highest (1) pixel."""
    shapes = random_super_gaussian(200, (96, 96), torch.Generator().manual_seed(0))
    least, most = shapes.amin((1, 2)), shapes.amax((1, 2))
    return float(((shapes.mean((1, 2)) - least) / (most - least)).mean())
