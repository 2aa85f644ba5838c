"""Training frames: scenes are drawn and simulated on the fly and never written to disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..emitters import Emitters
from ..field import Field
from ..localizer.neighbours import channel_by_channel, neighbours_of
from ..optics.psf import device_of
from ..simulation.dyes import DyeStack
from ..simulation.priors import Scene
from ..simulation.simulator import Simulator
from .channel_crops import ChannelCrops
from .design import MaskLearning

__all__ = ["Batch", "Exposure", "FrameSampler"]

# Most frames of a run of consecutive frames in a batch. Longer runs would share more neighbours, but have fewer
# different molecules; at 6, with one neighbour on each side, 8 frames are simulated for 6.
_RUN_FRAMES = 6
# Share of the runs that begin at the first frame of their movie, and of those that end at its last.
_ENDS = 1 / 8


@dataclass(frozen=True)
class Batch:
    """Simulated frames and the emitters that a network should find in them.

    photons: (B, H, W) of the first channel, converted from the camera's counts;  truth: labelled emitters
    inside the frames;  around: (B, images, H, W), all images that the network sees for each frame
    (`with_neighbours`), None where it sees the frame only.
    """

    photons: Tensor
    truth: Emitters
    around: Tensor | None = None

    @property
    def seen(self) -> Tensor:
        """What the network sees: the frames, or all images for each."""
        return self.photons if self.around is None else self.around

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        around = None if self.around is None else self.around.to(device)
        return Batch(self.photons.to(device), self.truth.to(device), around)


@dataclass(frozen=True)
class Exposure:
    """Crops of one scene in camera counts.

    counts: (B, H, W);  emitters: all of them, with their blur, also the dim ones;  crops: the part of the field
    that each shows, or None where each shows all of it.
    """

    counts: Tensor
    emitters: Emitters
    crops: list[Field] | None


class FrameSampler(nn.Module):
    """Draws batches from several scenes, each frame from one, in proportion to the scenes' weights.

    simulator: image model and camera of a field;  scenes: that the crops may show. If the image model has
    trainable parameters (a mask), gradients of the frames reach them.
    crop_px: side of the crops, which are taken at random positions in the field (None: a crop is all of it,
    because PSF and camera are the same everywhere). The network thus sees the noise of all pixels of the
    camera's maps, at changing positions in its crops.
    mask_learning: how trainable parameters of the image models of all channels are optimized, None if they have
    none;
    context: frames before and after each that the network sees. Above 0 a batch consists of short runs of
    consecutive frames: all frames of a run show the same part of the field, molecules that last, and one
    background. Every frame has its neighbours, except that some runs begin or end like a movie, where the first
    or last frame is repeated;
    channels: further ones that the network sees; the first gets the light that they leave. All crops of a scene
    in a batch then lie at one place of the frame, another in each batch;
    dyes: of which the simulator's PSF has one deeper than the other; each molecule is of one of them (None: all
    are alike).
    """

    def __init__(
        self,
        simulator: Simulator,
        scenes: Sequence[Scene],
        crop_px: int | None = None,
        mask_learning: MaskLearning | None = None,
        context: int = 0,
        channels: Sequence[ChannelCrops] = (),
        dyes: DyeStack | None = None,
    ) -> None:
        super().__init__()
        if not scenes:
            raise ValueError("a sampler needs at least one scene")
        self.simulator, self.scenes, self.crop_px = simulator, tuple(scenes), crop_px
        self.mask_learning, self.context = mask_learning, context
        self.channels, self.dyes = tuple(channels), dyes
        # Registered, so that they move to another device with the sampler.
        for number, channel in enumerate(channels, 1):
            self.add_module(f"channel_{number}", channel)
        if channels and crop_px is not None:
            raise ValueError("channels are not crops of a field that changes")
        self._share = 1 - sum(channel.view.share for channel in channels)

    @property
    def device(self) -> torch.device:
        """The device that draws the frames."""
        return device_of(self.simulator.psf)

    @property
    def field(self) -> Field:
        """Size and pixel of a crop."""
        whole, side = self.simulator.field, self.crop_px
        return whole if side is None else Field(side, side, whole.pixel_um)

    def draw(self, frames: int, generator: torch.Generator) -> Batch:
        """Draw a batch of `frames` crops, on the generator's device."""
        weights = torch.tensor([scene.weight for scene in self.scenes], device=generator.device)
        choice = torch.multinomial(weights, frames, replacement=True, generator=generator)
        counts = torch.bincount(choice, minlength=len(self.scenes)).tolist()
        draw = self._draw_runs if self.context else self._draw_scene
        parts = [
            draw(scene, count, generator) for scene, count in zip(self.scenes, counts, strict=True) if count
        ]
        first = 0
        tables = []
        for part in parts:
            tables.append(part.truth.shift(frames=first))
            first += len(part.photons)
        around = [part.around for part in parts if part.around is not None]
        return Batch(
            torch.cat([part.photons for part in parts]),
            Emitters.concat(tables),
            torch.cat(around) if around else None,
        )

    def expose(self, scene: Scene, frames: int, generator: torch.Generator) -> Exposure:
        """Draw crops of one scene as counts of the first channel's camera."""
        emitters, background = scene.draw(frames, self.field, generator)
        crops = self._crops(frames, generator)
        return Exposure(self._counts(emitters, background, generator, crops), emitters, crops)

    def _counts(
        self, emitters: Emitters, background: Tensor, generator: torch.Generator, crops: list[Field] | None
    ) -> Tensor:
        """Counts of the first channel, which gets its share of the light."""
        if self.dyes is not None:
            emitters = self.dyes.seen(self.dyes.drawn(emitters, generator))
        if self.channels:
            emitters = replace(emitters, photons=self._share * emitters.photons)
            background = self._share * background
        return self.simulator(emitters, background, generator, crops)

    def _photons(
        self, emitters: Emitters, background: Tensor, generator: torch.Generator, crops: list[Field] | None
    ) -> Tensor:
        """Photons (B, H, W), or (B, C, H, W) of several channels, those after the first warped onto it."""
        counts = self._counts(emitters, background, generator, crops)
        first = self.simulator.to_photons(counts, crops)
        if not self.channels:
            return first
        corner = self._corner(generator)
        return torch.stack(
            [first, *(channel(emitters, background, corner, generator) for channel in self.channels)], 1
        )

    def _draw_scene(self, scene: Scene, frames: int, generator: torch.Generator) -> Batch:
        emitters, background = scene.draw(frames, self.field, generator)
        photons = self._photons(emitters, background, generator, self._crops(frames, generator))
        truth = self._labels(scene, emitters)
        return Batch(photons[:, 0], truth, photons) if self.channels else Batch(photons, truth)

    def _draw_runs(self, scene: Scene, frames: int, generator: torch.Generator) -> Batch:
        """Frames of one scene in runs of about equal length, with their neighbours."""
        runs, context = -(-frames // _RUN_FRAMES), self.context
        each = -(-frames // runs)
        length = each + 2 * context
        emitters = scene.emitters.draw_runs(runs, length, self.field, generator)
        background = scene.background.draw(runs, self.field, generator).repeat_interleave(length, 0)
        crops = self._crops(runs, generator)
        crops = None if crops is None else [crop for crop in crops for _ in range(length)]
        photons = self._photons(emitters, background, generator, crops)
        run, place = (torch.arange(frames, device=photons.device) // each, torch.arange(frames) % each)
        place = run * length + context + place.to(run)
        inner = torch.rand(2, runs, generator=generator, device=generator.device).to(run.device) < _ENDS
        first = (run * length + context * inner[0][run])[:, None]
        last = ((run + 1) * length - 1 - context * inner[1][run])[:, None]
        around = channel_by_channel(photons[neighbours_of(place, first, last, context)])
        number = torch.full((runs * length,), -1, device=run.device)
        number[place] = torch.arange(frames, device=run.device)
        truth = self._labels(scene, emitters)
        truth = replace(truth, frame=number[truth.frame])
        own = photons[place, 0] if self.channels else photons[place]
        return Batch(own, truth.select(truth.frame >= 0), around)

    def _labels(self, scene: Scene, emitters: Emitters) -> Emitters:
        """The emitters that a network should find."""
        truth = emitters.select(scene.emitters.labelled(emitters) & self.field.inside(emitters.xyz))
        # Labels contain no blur: only some scenes draw one, and tables with different columns cannot be joined.
        return Emitters(xyz=truth.xyz, frame=truth.frame, photons=truth.photons, id=truth.id)

    def _corner(self, generator: torch.Generator) -> tuple[int, int]:
        """Column and row of the first pixel of a crop, anywhere in the first channel's frame."""
        frame, crop = self.channels[0].frame, self.field
        left, top = (
            int(torch.randint(0, max(0, whole - part) + 1, (), generator=generator, device=generator.device))
            for whole, part in ((frame.width, crop.width), (frame.height, crop.height))
        )
        return left, top

    def _crops(self, frames: int, generator: torch.Generator) -> list[Field] | None:
        """A part of the field for each of the frames, anywhere in it."""
        if self.crop_px is None:
            return None
        whole, side = self.simulator.field, self.crop_px
        left, top = (
            torch.randint(0, room + 1, (frames,), generator=generator, device=generator.device).tolist()
            for room in (whole.width - side, whole.height - side)
        )
        return [whole.part((x, y, x + side, y + side)) for x, y in zip(left, top, strict=True)]
