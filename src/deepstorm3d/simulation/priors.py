"""The emitters of a simulated frame: their number, brightness, depth and distance from the border."""

from __future__ import annotations

import math
from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor

from ..draws import uniform
from ..emitters import Emitters
from ..errors import InputError
from ..field import Field
from ..spec import Spec, quantity
from .backgrounds import Background, UniformBackground
from .counts import Count, DensityCount, FixedCount, UniformCount
from .photons import FixedPhotons, GammaPhotons, Photons, UniformPhotons
from .ranges import Range

__all__ = [
    "Count",
    "DensityCount",
    "EmitterPrior",
    "Field",
    "FixedCount",
    "FixedPhotons",
    "GammaPhotons",
    "Photons",
    "Scene",
    "UniformCount",
    "UniformPhotons",
]


class EmitterPrior(Spec):
    """The emitters of a frame, drawn independently and uniformly over area and depth."""

    count: Count = quantity(
        UniformCount(), "", "number of emitters in the area in which they may lie", label="Number of emitters"
    )
    photons: Photons = quantity(
        UniformPhotons(), "", "brightness of an emitter in a frame", label="Photons of an emitter"
    )
    z_um: Range = quantity((2.0, 6.0), "µm", "smallest and largest depth", label="Depth z: least, most")
    margin_px: Range = quantity(
        (20.0, 20.0),
        "px",
        "width of the border without emitters, range over frames; negative: emitters outside the frame, too",
        label="Border: range",
    )
    blur_px: Range | None = quantity(
        None, "px", "Gaussian blur σ of an emitter, range; null: the PSF's own", label="Gaussian blur σ"
    )
    min_photons: float = quantity(
        0.0,
        "photons",
        "the network is not trained to find dimmer emitters, which are drawn all the same",
        ge=0,
        label="Dimmest to learn",
    )

    @model_validator(mode="after")
    def _no_negative_blur(self) -> Self:
        if self.blur_px is not None and self.blur_px[0] < 0:
            raise ValueError(f"blur_px must not be negative, got {self.blur_px[0]}")
        return self

    def draw(
        self, frames: int, field: Field, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Emitters:
        """Emitters of `frames` independent frames, in order of frame, each with its own id.

        They lie within pixels margin … side − margin, measured from the outer edge of the first pixel.
        They are drawn on the generator's device and returned on `device` if it is given.
        Raises InputError if the margin leaves no room in the field.
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
        """Density in the densest frames, emitters/µm², averaged over the area inside the margin."""
        # A margin that leaves no room is an error in `draw`, so it needs no check here.
        sides = (max(side - 2 * self.margin_px[1], 1.0) for side in field.size)
        return self.count.highest_density(math.prod(sides) * field.pixel_um**2)

    def labelled(self, emitters: Emitters) -> Tensor:
        """Whether a network should find each emitter, (N,) bool: those of at least `min_photons`."""
        return emitters.photons >= self.min_photons


class Scene(Spec):
    """One kind of frame to train on: its emitters, its background, and its share of the frames."""

    emitters: EmitterPrior = quantity(EmitterPrior(), "", "emitters of a frame")
    background: Background = quantity(UniformBackground(), "", "background of a frame")
    weight: float = quantity(
        1.0, "", "relative share of the frames of this kind in training", gt=0, label="Weight in training"
    )

    def draw(self, frames: int, field: Field, generator: torch.Generator) -> tuple[Emitters, Tensor]:
        """Emitters of independent frames 0 … frames − 1, and their background (frames, H, W) photons per pixel.

        The generator draws first the emitters, then the background, both on its device.
        Raises InputError if the margin leaves no room in the field.
        """
        emitters = self.emitters.draw(frames, field, generator)
        return emitters, self.background.draw(frames, field, generator)
