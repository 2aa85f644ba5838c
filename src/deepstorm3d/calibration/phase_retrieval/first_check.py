"""First check of a phase: whether it explains a few slices, in which orientation and stage direction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..beads.images import BeadImages
from .coarse_model import CoarseModel
from .image_selection import by_brightness, evenly
from .orientation import AS_DESIGNED, ORIENTATIONS, Orientation, twin

__all__ = ["Glance", "Poses", "glance", "look_at_poses"]

# Offsets of the stack's zero that are tried, µm.
_OFFSETS_UM = 0.3 * torch.arange(-5, 6)
# Largest distance of a bead from the middle of its image, px.
_REACH_PX = 8
# Number of slices that are used.
_SLICES = 6
# Amount by which the correlation of the reversed stack must exceed that of every turned mask.
_CLEAR = 0.05


@dataclass(frozen=True)
class Glance:
    """Agreement of a phase with a few slices of a bead, without a fit.

    correlation: of the square roots of the images, mean over slices, at the best offset of the positions;
    offset_um: that offset;  shift_um: (2,) position of the bead from the middle of its images.
    """

    correlation: float
    offset_um: float
    shift_um: Tensor


@torch.no_grad()
def glance(model: CoarseModel, images: BeadImages, phase: Tensor) -> Glance:
    """Correlate a few slices of the brightest bead with the images of a phase (K, K) at many offsets.

    Square roots are used, because the faint outer parts of an image contain as much information as its peaks.
    """
    images = images.select(evenly(images, by_brightness(images)[:1], _SLICES))
    frames = images.likelihood.frames
    level = frames.flatten(1).median(1).values[:, None, None]
    size = (model.period, model.period)
    data = torch.fft.rfft2(_standardized((frames - level).clamp(min=0).sqrt()), size)
    position = (_OFFSETS_UM[:, None] + images.position_um).flatten()
    drawn = model(phase, torch.zeros(len(position), 2), position)
    spectrum = torch.fft.rfft2(_standardized(drawn.sqrt()), size).unflatten(0, (len(_OFFSETS_UM), -1))
    likeness = torch.fft.irfft2((data * spectrum.conj()).mean(1), size)
    near = torch.roll(likeness, (_REACH_PX, _REACH_PX), (1, 2))[:, : 2 * _REACH_PX + 1, : 2 * _REACH_PX + 1]
    value, place = near.flatten().max(0)
    offset, row, column = (int(each) for each in torch.unravel_index(place, near.shape))
    shift = torch.tensor([column - _REACH_PX, row - _REACH_PX]) * model.pixel_um
    return Glance(float(value), float(_OFFSETS_UM[offset]), shift)


def _standardized(frames: Tensor) -> Tensor:
    frames = frames - frames.mean((1, 2), keepdim=True)
    return frames / frames.flatten(1).norm(dim=1).clamp(min=1e-9)[:, None, None]


@dataclass(frozen=True)
class Poses:
    """Agreement of a design with a stack for other orientations and directions (correlations as in `Glance`).

    as_designed: as designed;  turned: the best of the other orientations, which is orientation;  backwards: as
    designed, with the stack reversed.
    """

    as_designed: float
    turned: float
    orientation: Orientation
    backwards: float

    @property
    def clearly_backwards(self) -> bool:
        """Whether the stack is explained well only with the other stage direction.

        The twin of a mask is often the mask turned: for an astigmatic lens by 90°, for a Tetrapod nearly so,
        for a double helix mirrored. Then a stack cannot distinguish a turned mask from the other stage
        direction.
        """
        return self.backwards > max(self.as_designed, self.turned) + _CLEAR


def look_at_poses(model: CoarseModel, images: BeadImages, design: Tensor) -> Poses:
    """Compare a design (K, K) rad in all orientations, and with the stack reversed."""
    seen = {each: glance(model, images, each(design)).correlation for each in ORIENTATIONS}
    as_designed = seen.pop(AS_DESIGNED)
    best = max(seen, key=lambda each: seen[each])
    return Poses(as_designed, seen[best], best, glance(model, images, twin(design)).correlation)
