"""Images of beads in slices, and the unknowns of each: position, light, background."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from ...brief import Brief
from ...fitting.likelihood import Likelihood
from ...optics.psf import on_axis

__all__ = ["BeadImages", "BeadState", "Moves", "first_state", "images_on_axis", "weights_of_zero"]

Moves = Literal["objective", "depth"]
"""What changes from slice to slice: the objective's focus, or the depth of the bead."""


@torch.no_grad()
def images_on_axis(psf: Any, position_um: Tensor, moves: Moves, depth_um: float, blur_px: float) -> Tensor:
    """Images of one bead, in their middle, for each slice, from a PSF that accepts a focus: (S, h, w).

    position_um: (S,) nominal focal planes, for a bead at `depth_um` (moves = objective), or depths of the bead
    above `depth_um` (depth).
    """
    blur = torch.full_like(position_um, blur_px)
    if moves == "depth":
        return psf(on_axis(position_um + depth_um), blur).values
    return psf(on_axis(torch.full_like(position_um, depth_um)), blur, focus_um=position_um).values


@dataclass(frozen=True, repr=False)
class BeadImages(Brief):
    """N images of beads, each cut out around its bead.

    likelihood: of the (N, h, w) images in photons;  bead: (N,) number of the bead;  plane: (N,) number of the
    slice, counted through all stacks;  position_um: (N,) nominal focal plane (moves = objective) or nominal
    depth (depth) of each, the same for all images of a slice;  place: (N, 2) position across and down the
    field, from its middle, −½ to ½ (None: the PSF is the same everywhere).
    """

    likelihood: Likelihood
    bead: Tensor
    plane: Tensor
    position_um: Tensor
    moves: Moves
    place: Tensor | None = None

    def __len__(self) -> int:
        return len(self.bead)

    @property
    def side(self) -> int:
        """Side of the images, px."""
        return self.likelihood.frames.shape[-1]

    @property
    def beads(self) -> int:
        """One more than the last bead's number."""
        return int(self.bead.max()) + 1 if len(self) else 0

    @property
    def planes(self) -> int:
        """One more than the last slice's number."""
        return int(self.plane.max()) + 1 if len(self) else 0

    def nominal_um(self) -> Tensor:
        """Nominal position of each slice, (planes,) µm; 0 for slices without an image."""
        return self.position_um.new_zeros(self.planes).index_copy(0, self.plane, self.position_um)

    def reversed(self) -> BeadImages:
        """The same images with the opposite stage direction: positions negated, or depths mirrored."""
        said = self.position_um
        about = torch.zeros(()) if self.moves == "objective" else said.min() + said.max()
        return replace(self, position_um=about - said)

    def select(self, rows: Tensor) -> BeadImages:
        """Some of the images;  rows: index (K,) or mask (N,)."""
        return replace(
            self,
            likelihood=self.likelihood.select(rows),
            bead=self.bead[rows],
            plane=self.plane[rows],
            position_um=self.position_um[rows],
            place=None if self.place is None else self.place[rows],
        )


@dataclass(frozen=True, repr=False)
class BeadState(Brief):
    """The fitted values besides the phase.

    xy: (N, 2) µm from the middle of each image;  photons: (N,);  background: (N, 3) photons per pixel: level in
    the middle, and its gradient to the right and the lower edge;  z_um: (beads,) depth of each bead, or its
    depth in addition to the nominal one;  blur_px: () Gaussian σ of all images;  offset_um: (planes,)
    difference of each slice from its nominal position.
    """

    xy: Tensor
    photons: Tensor
    background: Tensor
    z_um: Tensor
    blur_px: Tensor
    offset_um: Tensor

    def select(self, rows: Tensor) -> BeadState:
        """The state of some of the images; beads, slices and blur stay."""
        return replace(self, xy=self.xy[rows], photons=self.photons[rows], background=self.background[rows])

    def with_part(self, part: BeadState, rows: Tensor) -> BeadState:
        """With the values of some images, and the shared ones, replaced: part is the state of these rows."""
        xy, photons, background = self.xy.clone(), self.photons.clone(), self.background.clone()
        xy[rows], photons[rows], background[rows] = part.xy, part.photons, part.background
        return replace(part, xy=xy, photons=photons, background=background)

    def places(self, images: BeadImages) -> tuple[Tensor, Tensor | None]:
        """Position (N, 3) µm of each image's bead, and the focal plane (N,) where the objective moves."""
        z, position = self.z_um[images.bead], images.position_um + self.offset_um[images.plane]
        if images.moves == "depth":
            return torch.cat([self.xy, (z + position)[:, None]], 1), None
        return torch.cat([self.xy, z[:, None]], 1), position


def weights_of_zero(nominal_um: Tensor) -> Tensor:
    """Weights (S,) that give the value at position 0 of a line through values at these positions (S,)."""
    middle = nominal_um.mean()
    away = nominal_um - middle
    return 1 / len(nominal_um) - middle * away / away.square().sum()


def first_state(images: BeadImages, z_um: float, blur_px: float) -> BeadState:
    """Initial state: beads in the middle of their images, background from the edge, all other light theirs."""
    frames = images.likelihood.frames
    edge = torch.cat([frames[:, 0], frames[:, -1], frames[:, :, 0], frames[:, :, -1]], 1)
    level = edge.median(1).values.clamp(min=0)
    photons = (frames - level[:, None, None]).sum((1, 2)).clamp(min=1)
    background = torch.nn.functional.pad(level[:, None], (0, 2))
    return BeadState(
        frames.new_zeros(len(images), 2),
        photons,
        background,
        frames.new_full((images.beads,), z_um),
        frames.new_tensor(blur_px),
        frames.new_zeros(images.planes),
    )
