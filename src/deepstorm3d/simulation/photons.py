"""How bright the emitters of a simulated frame are."""

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

# A uniform distribution of mean 1 and standard deviation s reaches from 1 − √3 s to 1 + √3 s.
_HALF_WIDTH = math.sqrt(3.0)
# Relative standard deviation above which a uniform distribution would come too near to no light at all.
_WIDEST_UNIFORM = 0.55
# Relative standard deviation below which a measured spread of brightness cannot be told from none.
_ONE_BRIGHTNESS = 0.15


class PhotonSpec(Spec):
    """One distribution of brightness: a kind gives its name (`kind`) and all that stands here."""

    kind: Any

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        """Photons (number,)."""
        raise NotImplementedError(f"photons of kind {self.kind} need draw()")

    @property
    def mean(self) -> float:
        """Photons of an emitter in a frame, mean over emitters."""
        raise NotImplementedError(f"photons of kind {self.kind} need mean")

    @property
    def median(self) -> float:
        """Photons of the middle emitter."""
        return self.mean

    def describe(self) -> str:
        """The distribution in words: "10000 to 60000"."""
        return f"mean {self.mean:g} ({self.kind})"

    def like(self, mean: float, spread: float) -> PhotonSpec:
        """A distribution of this mean and relative standard deviation, of this kind where it can be so wide.

        Else a gamma distribution.
        """
        return GammaPhotons(shape=1 / spread**2, scale=mean * spread**2)


class FixedPhotons(PhotonSpec):
    """Every emitter as bright as the next."""

    kind: Literal["fixed"] = "fixed"
    photons: float = quantity(30000.0, "photons", "of each emitter in a frame", gt=0)

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        """Photons (number,)."""
        return torch.full((number,), self.photons, device=generator.device)

    @property
    def mean(self) -> float:
        """That of every emitter."""
        return self.photons

    def describe(self) -> str:
        """The one value."""
        return f"{self.photons:g}"

    def like(self, mean: float, spread: float) -> PhotonSpec:
        """One brightness where the spread is small; see `PhotonSpec.like`."""
        return FixedPhotons(photons=mean) if spread <= _ONE_BRIGHTNESS else super().like(mean, spread)


class UniformPhotons(PhotonSpec):
    """Any brightness from low to high."""

    kind: Literal["uniform"] = "uniform"
    low: float = quantity(10000.0, "photons", "of the dimmest emitter", gt=0)
    high: float = quantity(60000.0, "photons", "of the brightest emitter", gt=0)

    _low_before_high = model_validator(mode="after")(low_before_high)

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        """Photons (number,)."""
        return uniform(self.low, self.high, (number,), generator)

    @property
    def mean(self) -> float:
        """The middle of the range."""
        return (self.low + self.high) / 2

    def describe(self) -> str:
        """The range."""
        return f"{self.low:g} to {self.high:g}"

    def like(self, mean: float, spread: float) -> PhotonSpec:
        """One brightness where the spread is small, a range where it can be so wide; see `PhotonSpec.like`."""
        if spread <= _ONE_BRIGHTNESS:
            return FixedPhotons(photons=mean)
        if spread > _WIDEST_UNIFORM:
            return super().like(mean, spread)
        half = _HALF_WIDTH * spread * mean
        return UniformPhotons(low=mean - half, high=mean + half)


class GammaPhotons(PhotonSpec):
    """Gamma-distributed brightness, as of blinking dyes: mean shape × scale."""

    kind: Literal["gamma"] = "gamma"
    shape: float = quantity(3.0, "", "shape of the gamma distribution", gt=0)
    scale: float = quantity(3000.0, "photons", "scale of the gamma distribution", gt=0)

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        """Photons (number,)."""
        return self.scale * gamma(torch.full((number,), self.shape, device=generator.device), generator)

    @property
    def mean(self) -> float:
        """Shape × scale."""
        return self.shape * self.scale

    @property
    def median(self) -> float:
        """Of the gamma distribution, by its inverse."""
        from scipy.special import gammaincinv

        return float(self.scale * gammaincinv(self.shape, 0.5))


PHOTONS = Kinds(FixedPhotons, UniformPhotons, GammaPhotons)
"""All distributions of brightness. ``PHOTONS.register`` adds one that is defined elsewhere."""

Photons = Annotated[PhotonSpec, PHOTONS]
