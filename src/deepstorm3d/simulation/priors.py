"""What emitters a simulated frame holds: how many, how bright, how deep, how near the border."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import torch
from pydantic import Field as PydanticField
from pydantic import model_validator
from torch import Tensor

from ..draws import gamma, uniform
from ..emitters import Emitters
from ..errors import InputError
from ..field import Field
from ..spec import Spec, quantity
from .backgrounds import Background, UniformBackground

__all__ = [
    "DensityCount",
    "EmitterPrior",
    "Field",
    "FixedCount",
    "FixedPhotons",
    "GammaPhotons",
    "Scene",
    "UniformCount",
    "UniformPhotons",
]

Range = tuple[float, float]


def _check_range(name: str, limits: tuple[float, float]) -> None:
    if limits[0] > limits[1]:
        raise ValueError(f"{name} must be two numbers, lower first, got {limits[0]} and {limits[1]}")


class FixedCount(Spec):
    """The same number of emitters in every frame."""

    kind: Literal["fixed"] = "fixed"
    count: int = quantity(10, "emitters", "number in each frame", ge=0)

    def draw(self, area_um2: Tensor, generator: torch.Generator) -> Tensor:
        """Numbers for frames of these areas; both (B,), the result int64."""
        return torch.full(area_um2.shape, self.count, device=area_um2.device)

    def highest_density(self, area_um2: float) -> float:
        """Emitters/µm² at most in frames of an area."""
        return self.count / area_um2


class UniformCount(Spec):
    """Any number from low to high, all as likely, whatever the area."""

    kind: Literal["uniform"] = "uniform"
    low: int = quantity(1, "emitters", "least number in a frame", ge=0)
    high: int = quantity(35, "emitters", "greatest number in a frame", ge=0)

    @model_validator(mode="after")
    def _runs_upwards(self) -> Self:
        _check_range("low to high", (self.low, self.high))
        return self

    def draw(self, area_um2: Tensor, generator: torch.Generator) -> Tensor:
        """Numbers for frames of these areas; both (B,), the result int64."""
        return torch.randint(
            self.low, self.high + 1, tuple(area_um2.shape), generator=generator, device=area_um2.device
        )

    def highest_density(self, area_um2: float) -> float:
        """Emitters/µm² at most in frames of an area."""
        return self.high / area_um2


class DensityCount(Spec):
    """Poisson numbers around density × area, the density uniform from low to high in each frame."""

    kind: Literal["density"] = "density"
    low: float = quantity(0.1, "emitters/µm²", "least density", ge=0)
    high: float = quantity(1.0, "emitters/µm²", "greatest density", ge=0)

    @model_validator(mode="after")
    def _runs_upwards(self) -> Self:
        _check_range("low to high", (self.low, self.high))
        return self

    def draw(self, area_um2: Tensor, generator: torch.Generator) -> Tensor:
        """Numbers for frames of these areas, µm²; both (B,), the result int64."""
        density = uniform(self.low, self.high, area_um2.shape, generator)
        return torch.poisson(density * area_um2, generator=generator).long()

    def highest_density(self, area_um2: float) -> float:
        """Emitters/µm² at most, whatever the area."""
        return self.high


class FixedPhotons(Spec):
    """Every emitter as bright as the next."""

    kind: Literal["fixed"] = "fixed"
    photons: float = quantity(30000.0, "photons", "of each emitter in a frame", gt=0)

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        """Photons (number,)."""
        return torch.full((number,), self.photons, device=generator.device)


class UniformPhotons(Spec):
    """Any brightness from low to high."""

    kind: Literal["uniform"] = "uniform"
    low: float = quantity(10000.0, "photons", "of the dimmest emitter", gt=0)
    high: float = quantity(60000.0, "photons", "of the brightest emitter", gt=0)

    @model_validator(mode="after")
    def _runs_upwards(self) -> Self:
        _check_range("low to high", (self.low, self.high))
        return self

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        """Photons (number,)."""
        return uniform(self.low, self.high, (number,), generator)


class GammaPhotons(Spec):
    """Gamma-distributed brightness, as of blinking dyes: mean shape × scale."""

    kind: Literal["gamma"] = "gamma"
    shape: float = quantity(3.0, "", "shape of the gamma distribution", gt=0)
    scale: float = quantity(3000.0, "photons", "scale of the gamma distribution", gt=0)

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        """Photons (number,)."""
        return self.scale * gamma(torch.full((number,), self.shape, device=generator.device), generator)


Count = Annotated[FixedCount | UniformCount | DensityCount, PydanticField(discriminator="kind")]
Photons = Annotated[FixedPhotons | UniformPhotons | GammaPhotons, PydanticField(discriminator="kind")]


class EmitterPrior(Spec):
    """The emitters of a frame, drawn independently of each other and evenly over area and depth."""

    count: Count = quantity(UniformCount(), "", "emitters in the area that they may lie in")
    photons: Photons = quantity(UniformPhotons(), "", "brightness of an emitter in a frame")
    z_um: Range = quantity((2.0, 6.0), "µm", "least and greatest depth")
    margin_px: Range = quantity(
        (20.0, 20.0),
        "px",
        "border free of emitters, range over frames; below 0: emitters outside the frame too",
    )
    blur_px: Range | None = quantity(None, "px", "Gaussian blur σ of an emitter, range; null: the PSF's own")
    min_photons: float = quantity(0.0, "photons", "dimmer emitters are drawn but not labelled", ge=0)

    @model_validator(mode="after")
    def _ranges_run_upwards(self) -> Self:
        _check_range("z_um", self.z_um)
        _check_range("margin_px", self.margin_px)
        if self.blur_px is not None:
            _check_range("blur_px", self.blur_px)
            if self.blur_px[0] < 0:
                raise ValueError(f"blur_px must not be negative, got {self.blur_px[0]}")
        return self

    def draw(
        self, frames: int, field: Field, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Emitters:
        """Emitters of `frames` independent frames, in order of frame, each with its own id.

        They lie within pixels margin … side − margin, counted from the outer edge of the first pixel.
        Drawn on the generator's device, returned on `device` where one is given.
        Raises InputError where the margin leaves no room in the field.
        """
        if 2 * self.margin_px[1] >= min(field.size):
            raise InputError(
                f"a margin of {self.margin_px[1]:g} px on each side leaves no room for emitters in a field of "
                f"{field.width} × {field.height} px; make the margin smaller or the field larger"
            )
        margin = uniform(*self.margin_px, (frames,), generator)
        sides = torch.tensor([field.width, field.height], device=generator.device) - 2 * margin[:, None]
        count = self.count.draw(sides.prod(1) * field.pixel_um**2, generator)
        frame = torch.repeat_interleave(torch.arange(frames, device=generator.device), count)
        number = len(frame)
        # Pixel centres are whole numbers, so the frame's outer edge is at −½.
        place = margin[frame, None] - 0.5 + sides[frame] * uniform(0.0, 1.0, (number, 2), generator)
        z = uniform(*self.z_um, (number, 1), generator)
        emitters = Emitters(
            xyz=torch.cat((place * field.pixel_um, z), dim=1),
            frame=frame,
            photons=self.photons.draw(number, generator),
            id=torch.arange(number, device=generator.device),
            blur_px=None if self.blur_px is None else uniform(*self.blur_px, (number,), generator),
        )
        return emitters if device is None else emitters.to(device)

    def highest_density(self, field: Field) -> float:
        """Emitters/µm² in the densest frames, on average over the area that they may lie in."""
        # As `draw` asks: a border that leaves no room is refused there.
        sides = (max(side - 2 * self.margin_px[1], 1.0) for side in field.size)
        return self.count.highest_density(math.prod(sides) * field.pixel_um**2)

    def labelled(self, emitters: Emitters) -> Tensor:
        """Which emitters a network should find: (N,) bool, those of at least `min_photons`."""
        return emitters.photons >= self.min_photons


class Scene(Spec):
    """One kind of frame to train on: its emitters, its background, and its share of the frames."""

    emitters: EmitterPrior = quantity(EmitterPrior(), "", "emitters of a frame")
    background: Background = quantity(UniformBackground(), "", "background of a frame")
    weight: float = quantity(1.0, "", "share of the frames that are of this kind", gt=0)
