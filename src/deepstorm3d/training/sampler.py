"""Training frames: scenes are drawn and simulated on the fly and never written to disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..emitters import Emitters
from ..field import Field
from ..optics.psf import device_of
from ..simulation.priors import Scene
from ..simulation.simulator import Simulator
from .design import MaskLearning

__all__ = ["Batch", "Exposure", "FrameSampler"]


@dataclass(frozen=True)
class Batch:
    """Simulated frames and the emitters that a network should find in them.

    photons: (B, H, W), converted from the camera's counts;  truth: labelled emitters inside the frames.
    """

    photons: Tensor
    truth: Emitters

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(self.photons.to(device), self.truth.to(device))


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
    mask_learning: how the image model's trainable parameters are optimized, None if it has none.
    """

    def __init__(
        self,
        simulator: Simulator,
        scenes: Sequence[Scene],
        crop_px: int | None = None,
        mask_learning: MaskLearning | None = None,
    ) -> None:
        super().__init__()
        if not scenes:
            raise ValueError("a sampler needs at least one scene")
        self.simulator, self.scenes, self.crop_px = simulator, tuple(scenes), crop_px
        self.mask_learning = mask_learning

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
        parts = [
            self._draw_scene(scene, count, generator)
            for scene, count in zip(self.scenes, counts, strict=True)
            if count
        ]
        first = 0
        tables = []
        for part in parts:
            tables.append(part.truth.shift(frames=first))
            first += len(part.photons)
        return Batch(torch.cat([part.photons for part in parts]), Emitters.concat(tables))

    def expose(self, scene: Scene, frames: int, generator: torch.Generator) -> Exposure:
        """Draw crops of one scene as camera counts."""
        emitters, background = scene.draw(frames, self.field, generator)
        crops = self._crops(frames, generator)
        return Exposure(self.simulator(emitters, background, generator, crops), emitters, crops)

    def _draw_scene(self, scene: Scene, frames: int, generator: torch.Generator) -> Batch:
        seen = self.expose(scene, frames, generator)
        emitters = seen.emitters
        labels = scene.emitters.labelled(emitters) & self.field.inside(emitters.xyz)
        truth = emitters.select(labels)
        # Labels contain no blur: only some scenes draw one, and tables with different columns cannot be joined.
        return Batch(
            self.simulator.to_photons(seen.counts, seen.crops),
            Emitters(xyz=truth.xyz, frame=truth.frame, photons=truth.photons, id=truth.id),
        )

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
