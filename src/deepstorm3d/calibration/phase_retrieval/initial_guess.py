"""Where a retrieval starts: which focus the first guess of the mask fits best, or which guess fits at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..beads.images import BeadImages, images_on_axis
from .bead_model import FocusedPSF
from .first_check import Poses

__all__ = ["FirstLook", "look_for_focus"]

# Offsets of the stack's zero that are tried, µm, and how far a bead may lie off its image's middle, px.
_OFFSETS_UM = 0.2
_WIDEST_UM = 1.6
_REACH_PX = 8
# Correlation below which other lengths of the steps are tried; these; by how much one has to be better.
_POOR, _STRETCHES, _BETTER = 0.85, (0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0), 0.05


@dataclass(frozen=True)
class FirstLook:
    """How well a PSF explains the slices of a bead, for the best offset of the stack's zero.

    offset_um: to be added to the positions;  shift_px: (2,) column and row of the bead from the middle of
    its images;  correlation: mean over the slices;  reversed_correlation: the best if the stack ran
    the other way;  stretch: what the positions were multiplied with before;
    stretched: the best look with longer or shorter steps, where these explain the slices much better;
    poses: other orientations of the design, where it explains the slices poorly or the other way round better;
    backwards: the stack was taken to run the other way than said, and all else is said of it so.
    """

    offset_um: float
    shift_px: Tensor
    correlation: float
    reversed_correlation: float
    stretch: float = 1.0
    stretched: FirstLook | None = None
    poses: Poses | None = None
    backwards: bool = False

    @property
    def doubtful(self) -> bool:
        """Whether the design might lie otherwise, or the stack run the other way."""
        return self.correlation < _POOR or self.reversed_correlation > self.correlation + _BETTER


@torch.no_grad()
def look_for_focus(psf: FocusedPSF, images: BeadImages, z_um: float, blur_px: float) -> FirstLook:
    """Correlate the slices of one bead with the PSF at many offsets of the positions, both ways round.

    psf: with a patch of the images' side;  z_um: depth of the bead (beyond the nominal one).  Where that
    explains the slices poorly, other lengths of the steps are tried as well.
    """
    data = _standardized(images.likelihood.frames)
    middle = float(images.position_um.mean())

    def look(stretch: float) -> FirstLook:
        best = FirstLook(0.0, torch.zeros(2), -1.0, -1.0, stretch)
        for off in torch.arange(-_WIDEST_UM, _WIDEST_UM + 1e-6, _OFFSETS_UM).tolist():
            # Longer steps around the middle of the stack, which may be far from its zero.
            offset = off + (1 - stretch) * middle
            positions = stretch * images.position_um + offset
            model = _standardized(images_on_axis(psf, positions, images.moves, z_um, blur_px))
            value, shift = _correlate(data, model)
            # At the same correlation the positions are taken at their word.
            if value - 0.003 * abs(off) > best.correlation:
                best = FirstLook(offset, shift, value, -1.0, stretch)
        return best

    first = replace(look(1.0), reversed_correlation=look(-1.0).correlation)
    if max(first.correlation, first.reversed_correlation) > _POOR:
        return first
    other = max((look(stretch) for stretch in _STRETCHES), key=lambda each: each.correlation)
    return replace(first, stretched=other if other.correlation > first.correlation + _BETTER else None)


def _standardized(frames: Tensor) -> Tensor:
    """Mean 0 and norm 1."""
    frames = frames - frames.flatten(1).mean(1)[:, None, None]
    return frames / frames.flatten(1).norm(dim=1).clamp(min=1e-9)[:, None, None]


def _correlate(data: Tensor, model: Tensor) -> tuple[float, Tensor]:
    """Greatest mean correlation over shifts that all slices share, and that shift (column, row)."""
    side = 2 * data.shape[-1]
    spectrum = (torch.fft.rfft2(data, (side, side)) * torch.fft.rfft2(model, (side, side)).conj()).mean(0)
    mean = torch.fft.irfft2(spectrum, (side, side))
    near = torch.cat([mean[-_REACH_PX:], mean[: _REACH_PX + 1]])
    near = torch.cat([near[:, -_REACH_PX:], near[:, : _REACH_PX + 1]], 1)
    value, place = near.flatten().max(0)
    row, column = divmod(int(place), near.shape[1])
    return float(value), torch.tensor([column - _REACH_PX, row - _REACH_PX], dtype=torch.float32)
