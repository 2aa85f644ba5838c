"""Distributions of the number of emitters in a simulated frame."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import model_validator
from torch import Tensor

from ..draws import uniform
from ..kinds import Kinds
from ..spec import Spec, quantity
from .ranges import low_before_high

__all__ = ["COUNTS", "Count", "CountSpec", "DensityCount", "FixedCount", "UniformCount"]


class CountSpec(Spec):
    """One distribution of the number of emitters: a kind defines its name (`kind`) and these methods."""

    kind: Any

    def draw(self, area_um2: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the numbers of emitters for frames of these areas, µm²; both (B,), the result int64."""
        raise NotImplementedError(f"a count of kind {self.kind} needs draw()")

    def highest_density(self, area_um2: float) -> float:
        """Highest density in frames of this area, emitters/µm²."""
        raise NotImplementedError(f"a count of kind {self.kind} needs highest_density()")

    def most_per_pixel(self, pixels: int, pixel_um: float) -> float:
        """Highest number of emitters per pixel, in frames of `pixels` pixels of width `pixel_um`."""
        return self.highest_density(pixels * pixel_um**2) * pixel_um**2

    def describe(self) -> str:
        """The range in words: "1 to 35 a frame"."""
        raise NotImplementedError(f"a count of kind {self.kind} needs describe()")

    def like(self, density: DensityCount, area_um2: float) -> CountSpec:
        """A distribution of this kind that matches a density in frames of this area."""
        return density


class FixedCount(CountSpec):
    """The same number of emitters in every frame."""

    kind: Literal["fixed"] = "fixed"
    count: int = quantity(10, "emitters", "number in each frame", ge=0, label="Number in a frame")

    def draw(self, area_um2: Tensor, generator: torch.Generator) -> Tensor:
        """Numbers for frames of these areas; both (B,), the result int64."""
        return torch.full(area_um2.shape, self.count, device=area_um2.device)

    def highest_density(self, area_um2: float) -> float:
        """Highest density in frames of this area, emitters/µm²."""
        return self.count / area_um2

    def most_per_pixel(self, pixels: int, pixel_um: float) -> float:
        """Emitters per pixel in frames of `pixels` pixels."""
        return self.count / pixels

    def describe(self) -> str:
        """The number in a frame."""
        return f"{self.count} a frame"

    def like(self, density: DensityCount, area_um2: float) -> CountSpec:
        """Whole numbers in a frame."""
        return _in_numbers(density, area_um2)


class UniformCount(CountSpec):
    """Any number from low to high with equal probability, independent of the area."""

    kind: Literal["uniform"] = "uniform"
    low: int = quantity(1, "emitters", "smallest number in a frame", ge=0, label="Smallest number")
    high: int = quantity(35, "emitters", "largest number in a frame", ge=0, label="Largest number")

    _low_before_high = model_validator(mode="after")(low_before_high)

    def draw(self, area_um2: Tensor, generator: torch.Generator) -> Tensor:
        """Numbers for frames of these areas; both (B,), the result int64."""
        return torch.randint(
            self.low, self.high + 1, tuple(area_um2.shape), generator=generator, device=area_um2.device
        )

    def highest_density(self, area_um2: float) -> float:
        """Highest density in frames of this area, emitters/µm²."""
        return self.high / area_um2

    def most_per_pixel(self, pixels: int, pixel_um: float) -> float:
        """Highest number of emitters per pixel in frames of `pixels` pixels."""
        return self.high / pixels

    def describe(self) -> str:
        """The range of numbers in a frame."""
        return f"{self.low} to {self.high} a frame"

    def like(self, density: DensityCount, area_um2: float) -> CountSpec:
        """Whole numbers in a frame."""
        return _in_numbers(density, area_um2)


class DensityCount(CountSpec):
    """Poisson-distributed numbers of mean density × area; each frame's density is uniform from low to high."""

    kind: Literal["density"] = "density"
    low: float = quantity(0.1, "emitters/µm²", "smallest density", ge=0, label="Smallest density")
    high: float = quantity(1.0, "emitters/µm²", "largest density", ge=0, label="Largest density")

    _low_before_high = model_validator(mode="after")(low_before_high)

    def draw(self, area_um2: Tensor, generator: torch.Generator) -> Tensor:
        """Numbers for frames of these areas, µm²; both (B,), the result int64."""
        density = uniform(self.low, self.high, area_um2.shape, generator)
        return torch.poisson(density * area_um2, generator=generator).long()

    def highest_density(self, area_um2: float) -> float:
        """Highest density, emitters/µm², independent of the area."""
        return self.high

    def most_per_pixel(self, pixels: int, pixel_um: float) -> float:
        """Highest number of emitters per pixel, independent of the number of pixels."""
        return self.high * pixel_um**2

    def describe(self) -> str:
        """The range of densities."""
        return f"{self.low:g} to {self.high:g} per µm²"


def _in_numbers(density: DensityCount, area_um2: float) -> CountSpec:
    low, high = round(density.low * area_um2), round(density.high * area_um2)
    return FixedCount(count=high) if low == high else UniformCount(low=low, high=high)


COUNTS = Kinds(FixedCount, UniformCount, DensityCount)
"""All distributions of the number of emitters. ``COUNTS.register`` adds one that is defined elsewhere."""

Count = Annotated[CountSpec, COUNTS]
