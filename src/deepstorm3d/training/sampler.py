"""Training frames: scenes are drawn and simulated on the fly and never written to disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..emitters import Emitters
from ..simulation.priors import Scene
from ..simulation.simulator import Simulator

__all__ = ["Batch", "Exposure", "FrameSampler"]


@dataclass(frozen=True)
class Batch:
    """Simulated frames and the emitters that a network should find in them.

    photons: (B, H, W), converted from the camera's counts;  truth: labelled emitters inside the frames.
    """

    photons: Tensor
    truth: Emitters


@dataclass(frozen=True)
class Exposure:
    """Crops of one scene in camera counts.

    counts: (B, H, W);  emitters: all of them, with their blur, also the dim ones;  on_chip: (B, 2) column and
    row of the crops on the camera's maps, or None.
    """

    counts: Tensor
    emitters: Emitters
    on_chip: Tensor | None


class FrameSampler(nn.Module):
    """Draws batches from several scenes, each frame from one, in proportion to the scenes' weights.

    simulator: the image model of the crop;  scenes: that the crops may show. If the image model has trainable
    parameters (a mask), gradients of the frames reach them.
    roam_px: height and width of the field from which crops are taken at random positions (None: image model and
    camera are the same everywhere);  field_px: column and row of this field's first pixel in the PSF's field
    (None: the PSF is the same everywhere).
    If the camera has maps, roam_px is their size, and a crop has the same position on the maps and in the PSF's
    field. The network thus sees the noise of all pixels, at changing positions in its crops.
    """

    def __init__(
        self,
        simulator: Simulator,
        scenes: Sequence[Scene],
        roam_px: tuple[int, int] | None = None,
        field_px: tuple[int, int] | None = (0, 0),
    ) -> None:
        super().__init__()
        if not scenes:
            raise ValueError("a sampler needs at least one scene")
        self.simulator, self.scenes, self.roam_px = simulator, tuple(scenes), roam_px
        self.field_px = field_px

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
        field = self.simulator.field
        emitters, background = scene.draw(frames, field, generator)
        begin = self._begin(frames, generator)
        on_chip = None if self.simulator.chip_size is None else begin
        in_field = None
        if begin is not None and self.field_px is not None:
            in_field = begin + begin.new_tensor(self.field_px)
        return Exposure(self.simulator(emitters, background, generator, in_field, on_chip), emitters, on_chip)

    def _draw_scene(self, scene: Scene, frames: int, generator: torch.Generator) -> Batch:
        seen, field = self.expose(scene, frames, generator), self.simulator.field
        emitters = seen.emitters
        labels = scene.emitters.labelled(emitters) & _inside(emitters, field.size, field.pixel_um)
        truth = emitters.select(labels)
        # Labels contain no blur: only some scenes draw one, and tables with different columns cannot be joined.
        return Batch(
            self.simulator.to_photons(seen.counts, seen.on_chip),
            Emitters(xyz=truth.xyz, frame=truth.frame, photons=truth.photons, id=truth.id),
        )

    def _begin(self, frames: int, generator: torch.Generator) -> Tensor | None:
        """Column and row of each crop's first pixel in the field, (B, 2)."""
        if self.roam_px is None:
            return None
        room = [
            max(0, whole - side) for whole, side in zip(self.roam_px, self.simulator.field.size, strict=True)
        ]
        return torch.stack(
            [
                torch.randint(0, most + 1, (frames,), generator=generator, device=generator.device)
                for most in reversed(room)
            ],
            1,
        )


def _inside(emitters: Emitters, size: tuple[int, int], pixel_um: float) -> Tensor:
    """Whether each emitter is inside the frame, (N,) bool."""
    column, row = (emitters.xyz[:, :2] / pixel_um).unbind(1)
    return (column >= -0.5) & (column < size[1] - 0.5) & (row >= -0.5) & (row < size[0] - 0.5)
