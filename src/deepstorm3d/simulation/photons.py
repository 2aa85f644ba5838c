"""Distributions of the brightness of the emitters in a simulated frame."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import model_validator
from torch import Tensor

from ..draws import gamma, uniform
from ..kinds import Kinds
from ..spec import Spec, quantity
from .ranges import low_before_high

__all__ = ["PHOTONS", "FixedPhotons", "GammaPhotons", "PhotonSpec", "Photons", "UniformPhotons"]

_HALF_WIDTH = math.sqrt(3.0)  # half width of a uniform distribution, in standard deviations
# Relative standard deviation above which a uniform distribution would begin too close to 0 photons.
_WIDEST_UNIFORM = 0.55
# Relative standard deviation below which a measured spread of brightness is not distinguishable from 0.
_ONE_BRIGHTNESS = 0.15


class PhotonSpec(Spec):
    """One distribution of brightness: a kind defines its name (`kind`), `draw` and `mean`."""

    kind: Any

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        """Draw the photons of `number` emitters: (number,)."""
        raise NotImplementedError(f"photons of kind {self.kind} need draw()")

    @property
    def mean(self) -> float:
        """Mean photons of an emitter in a frame."""
        raise NotImplementedError(f"photons of kind {self.kind} need mean")

    @property
    def median(self) -> float:
        """Median photons of an emitter in a frame."""
        return self.mean

    def describe(self) -> str:
        """The distribution in words: "10000 to 60000"."""
        return f"mean {self.mean:g} ({self.kind})"

    def like(self, mean: float, spread: float) -> PhotonSpec:
        """A distribution with this mean and relative standard deviation `spread`.

        It is of this kind if the kind allows such a spread, else a gamma distribution.
        """
        return GammaPhotons(shape=1 / spread**2, scale=mean * spread**2)


class FixedPhotons(PhotonSpec):
    """All emitters have the same brightness."""

    kind: Literal["fixed"] = "fixed"
    photons: float = quantity(
        30000.0, "photons", "brightness of each emitter in a frame", gt=0, label="Brightness"
    )

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        """Photons (number,)."""
        return torch.full((number,), self.photons, device=generator.device)

    @property
    def mean(self) -> float:
        """Photons of every emitter."""
        return self.photons

    def describe(self) -> str:
        """The value in words."""
        return f"{self.photons:g}"

    def like(self, mean: float, spread: float) -> PhotonSpec:
        """A fixed brightness if the spread is small; see `PhotonSpec.like`."""
        return FixedPhotons(photons=mean) if spread <= _ONE_BRIGHTNESS else super().like(mean, spread)


class UniformPhotons(PhotonSpec):
    """Any brightness from low to high with equal probability."""

    kind: Literal["uniform"] = "uniform"
    low: float = quantity(
        10000.0, "photons", "brightness of the dimmest emitter", gt=0, label="Dimmest emitter"
    )
    high: float = quantity(
        60000.0, "photons", "brightness of the brightest emitter", gt=0, label="Brightest emitter"
    )

    _low_before_high = model_validator(mode="after")(low_before_high)

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        """Photons (number,)."""
        return uniform(self.low, self.high, (number,), generator)

    @property
    def mean(self) -> float:
        """The middle of the range, photons."""
        return (self.low + self.high) / 2

    def describe(self) -> str:
        """The range in words."""
        return f"{self.low:g} to {self.high:g}"

    def like(self, mean: float, spread: float) -> PhotonSpec:
        """A fixed brightness if the spread is small, else a range, else gamma; see `PhotonSpec.like`."""
        if spread <= _ONE_BRIGHTNESS:
            return FixedPhotons(photons=mean)
        if spread > _WIDEST_UNIFORM:
            return super().like(mean, spread)
        half = _HALF_WIDTH * spread * mean
        return UniformPhotons(low=mean - half, high=mean + half)


class GammaPhotons(PhotonSpec):
    """Gamma-distributed brightness, typical of blinking dyes, with mean shape × scale."""

    kind: Literal["gamma"] = "gamma"
    shape: float = quantity(3.0, "", "shape of the gamma distribution", gt=0)
    scale: float = quantity(3000.0, "photons", "scale of the gamma distribution", gt=0)

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        """Photons (number,)."""
        return self.scale * gamma(torch.full((number,), self.shape, device=generator.device), generator)

    @property
    def mean(self) -> float:
        """Shape × scale, photons."""
        return self.shape * self.scale

    @property
    def median(self) -> float:
        """Median from the inverse of the incomplete gamma function, photons."""
        from scipy.special import gammaincinv

        return float(self.scale * gammaincinv(self.shape, 0.5))


PHOTONS = Kinds(FixedPhotons, UniformPhotons, GammaPhotons)
"""All distributions of brightness. ``PHOTONS.register`` adds one that is defined elsewhere."""

Photons = Annotated[PhotonSpec, PHOTONS]
