"""The emitters of a simulated frame: their number, brightness, depth and distance from the border."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..draws import uniform
from ..emitters import Emitters
from ..errors import InputError
from ..field import Field
from ..spec import Spec, quantity
from .backgrounds import Background, UniformBackground
from .counts import Count, DensityCount, FixedCount, UniformCount
from .lifetimes import Blinking, Lives, NoBlinking
from .photons import FixedPhotons, GammaPhotons, Photons, UniformPhotons
from .ranges import BlurRange, DepthRange, Range

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


# Counts drawn to find the mean number of emitters in a frame.
_COUNTS = 256


class EmitterPrior(Spec):
    """The emitters of a frame, drawn independently and uniformly over area and depth.

    With a `blinking` whose molecules last, `count` is their mean number with light in a frame, and `photons` is
    the light of a molecule in all its frames together.
    """

    count: Count = quantity(
        UniformCount(), "", "number of emitters in the area in which they may lie", label="Number of emitters"
    )
    photons: Photons = quantity(
        UniformPhotons(), "", "brightness of an emitter in a frame", label="Photons of an emitter"
    )
    blinking: Blinking = quantity(
        NoBlinking(),
        "",
        "none: new emitters in every frame; exponential: molecules last for several, count is "
        "their mean number in a frame, photons are those of a molecule in all its frames",
    )
    z_um: DepthRange = quantity((2.0, 6.0), "µm", "smallest and largest depth", label="Depth z: least, most")
    margin_px: Range = quantity(
        (20.0, 20.0),
        "px",
        "width of the border without emitters, range over frames; negative: emitters outside the frame, too",
        label="Border: range",
    )
    blur_px: BlurRange | None = quantity(
        None, "px", "Gaussian blur σ of an emitter, range; null: the PSF's own", label="Gaussian blur σ"
    )
    min_photons: float = quantity(
        0.0,
        "photons",
        "the network is not trained to find dimmer emitters, which are drawn all the same",
        ge=0,
        label="Dimmest to learn",
    )

    def draw(
        self, frames: int, field: Field, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Emitters:
        """Emitters of `frames` independent frames, in order of frame, each with its own id.

        Of molecules that last (`blinking`), each frame shows others. They lie within pixels margin … side −
        margin, measured from the outer edge of the first pixel.
        They are drawn on the generator's device and returned on `device` if it is given.
        Raises InputError if the margin leaves no room in the field.
        """
        margin, area = self._margins(frames, field, generator)
        count = self.count.draw(area, generator)
        if self.blinking.lasts:
            lives = self.blinking.lives(count, 1, generator)
            xyz = self._places(lives.stretch, margin, field, generator)
            emitters = self.images_of(xyz, lives, 1, generator)
        else:
            frame = torch.repeat_interleave(torch.arange(frames, device=generator.device), count)
            emitters = self._at(self._places(frame, margin, field, generator), frame, generator)
        return emitters if device is None else emitters.to(device)

    def draw_movie(self, frames: int, field: Field, generator: torch.Generator) -> Emitters:
        """Emitters of the consecutive frames of one movie, in order of frame; a molecule keeps its id.

        The mean of `count` is the mean number in a frame of molecules that last; without them, and for errors,
        as `draw`.
        """
        if not self.blinking.lasts:
            return self.draw(frames, field, generator)
        margin, area = self._margins(1, field, generator)
        in_frame = self.count.draw(area.expand(_COUNTS), generator).double().mean(0, keepdim=True)
        lives = self.blinking.lives(in_frame, frames, generator)
        return self.images_of(self._places(lives.stretch, margin, field, generator), lives, frames, generator)

    def draw_runs(self, runs: int, frames: int, field: Field, generator: torch.Generator) -> Emitters:
        """Emitters of `runs` independent runs of `frames` consecutive frames each, in order of frame.

        Run k has the frames k·frames, k·frames + 1, …; a molecule keeps its id from frame to frame. Number and
        margin are drawn for each run; without molecules that last, and for errors, as `draw`.
        """
        if not self.blinking.lasts:
            return self.draw(runs * frames, field, generator)
        margin, area = self._margins(runs, field, generator)
        lives = self.blinking.lives(self.count.draw(area, generator), frames, generator)
        return self.images_of(self._places(lives.stretch, margin, field, generator), lives, frames, generator)

    def images_of(self, xyz: Tensor, lives: Lives, frames: int, generator: torch.Generator) -> Emitters:
        """The images that molecules at these places leave in stretches of so many frames, in order of frame.

        xyz: (M, 3) µm, a row for each of the lives;  the light (and blur) of each molecule is drawn.
        """
        molecules = self._at(xyz, lives.stretch, generator)
        who, frame, share = lives.lit(frames)
        images = molecules.select(who)
        photons = images.photons * share.to(images.photons)
        return replace(images, frame=lives.stretch[who] * frames + frame, photons=photons).sort()

    def _margins(self, frames: int, field: Field, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The border without emitters, px, and the area inside it, µm²; (frames,) each."""
        if 2 * self.margin_px[1] >= min(field.size):
            raise InputError(
                f"a margin of {self.margin_px[1]:g} px on each side leaves no room for emitters in a field of "
                f"{field.width} × {field.height} px; make the margin smaller or the field larger"
            )
        margin = uniform(*self.margin_px, (frames,), generator)
        return margin, _inner(field, margin).prod(1) * field.pixel_um**2

    def _places(self, frame: Tensor, margin: Tensor, field: Field, generator: torch.Generator) -> Tensor:
        """A place (N, 3) µm for each entry of frame (N,), inside the margin (px) of that frame."""
        # Pixel centres are whole numbers, so the frame's outer edge is at −½.
        inner = _inner(field, margin)[frame]
        place = margin[frame, None] - 0.5 + inner * uniform(0.0, 1.0, (len(frame), 2), generator)
        return torch.cat((place * field.pixel_um, uniform(*self.z_um, (len(frame), 1), generator)), dim=1)

    def _at(self, xyz: Tensor, frame: Tensor, generator: torch.Generator) -> Emitters:
        """Emitters at these places, each with light (and blur) of its own."""
        number = len(frame)
        return Emitters(
            xyz=xyz,
            frame=frame,
            photons=self.photons.draw(number, generator),
            id=torch.arange(number, device=generator.device),
            blur_px=None if self.blur_px is None else uniform(*self.blur_px, (number,), generator),
        )

    def photons_in_frame(self, number: int, generator: torch.Generator) -> Tensor:
        """Photons of `number` emitters as they appear in a frame: (number,)."""
        return self.photons.draw(number, generator) * self.blinking.shares(number, generator)

    @property
    def mean_photons(self) -> float:
        """Mean photons of an emitter in a frame."""
        return self.photons.mean * self.blinking.mean_share

    @property
    def median_photons(self) -> float:
        """Median photons of an emitter in a frame."""
        if not self.blinking.lasts:
            return self.photons.median
        return float(self.photons_in_frame(_COUNTS**2, torch.Generator().manual_seed(0)).median())

    def highest_density(self, field: Field) -> float:
        """Density in the densest frames, emitters/µm², averaged over the area inside the margin."""
        # A margin that leaves no room is an error in `draw`, so it needs no check here.
        sides = (max(side - 2 * self.margin_px[1], 1.0) for side in field.size)
        return self.count.highest_density(math.prod(sides) * field.pixel_um**2)

    def labelled(self, emitters: Emitters) -> Tensor:
        """Whether a network should find each emitter, (N,) bool: those of at least `min_photons`."""
        return emitters.photons >= self.min_photons


def _inner(field: Field, margin: Tensor) -> Tensor:
    """Width and height inside of margins (B,): (B, 2) px."""
    return torch.tensor([field.width, field.height], device=margin.device) - 2 * margin[:, None]


class Scene(Spec):
    """One kind of frame to train on: its emitters, its background, and its share of the frames."""

    emitters: EmitterPrior = quantity(EmitterPrior(), "", "emitters of a frame")
    background: Background = quantity(UniformBackground(), "", "background of a frame")
    steady_background: bool = quantity(
        True,
        "",
        "of a movie of molecules that last: one background in all its frames; false: another in each",
        label="Steady background",
    )
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
