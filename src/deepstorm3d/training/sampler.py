"""Endless training frames: scenes drawn and simulated on the fly, never written to disk."""

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
    """Simulated frames and what a network should find in them.

    photons: (B, H, W), as the camera's counts convert;  truth: labelled emitters inside the frames.
    """

    photons: Tensor
    truth: Emitters


@dataclass(frozen=True)
class Exposure:
    """Crops of one scene as the camera counts them.

    counts: (B, H, W);  emitters: all, blur and dim ones included;  on_chip: where the crops lie on the camera's
    maps, (B, 2), or None.
    """

    counts: Tensor
    emitters: Emitters
    on_chip: Tensor | None


class FrameSampler(nn.Module):
    """Draws batches from several scenes, each frame from one, in proportion to the scenes' weights.

    simulator: the image model of the crop;  scenes: what the crops may show. Where the image model has
    parameters (a mask that learns), the frames carry gradients to them.
    roam_px: height and width of the field that crops come from, each from anywhere in it (None: it is the same
    everywhere);  field_px: column and row of the PSF's own field at which it begins (None: the PSF is the same
    everywhere).
    Where the camera has maps, each crop shows other pixels of them: roam_px then has their size, and the crop
    lies at the same place of the maps and of the PSF's field. A network so meets the noise of all pixels, and
    none of them always at the same place of its crop.
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
        """A batch of `frames` crops, on the generator's device."""
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
        """Crops of one scene, before anything is made of their counts."""
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
        # Only some scenes draw a blur; a label needs none, and tables must agree to be joined.
        return Batch(
            self.simulator.to_photons(seen.counts, seen.on_chip),
            Emitters(xyz=truth.xyz, frame=truth.frame, photons=truth.photons, id=truth.id),
        )

    def _begin(self, frames: int, generator: torch.Generator) -> Tensor | None:
        """Column and row of the field at which each crop begins, (B, 2)."""
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
    """Which emitters lie on the frame's pixels, (N,) bool."""
    column, row = (emitters.xyz[:, :2] / pixel_um).unbind(1)
    return (column >= -0.5) & (column < size[1] - 0.5) & (row >= -0.5) & (row < size[0] - 0.5)
