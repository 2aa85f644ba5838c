"""Initial guess of a retrieval: the focus at which the design agrees best with the beads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...brief import Brief
from ..beads.images import BeadImages, images_on_axis
from .bead_model import FocusedPSF
from .first_check import Poses

__all__ = ["FirstLook", "look_for_focus"]

# Distance between offsets of the stack's zero that are tried, µm.
_OFFSETS_UM = 0.2
# Largest offset that is tried, µm.
_WIDEST_UM = 1.6
# Largest distance of a bead from the middle of its image, px.
_REACH_PX = 8
# Correlation below which scaled z steps are tried.
_POOR = 0.85
# Factors on the z steps that are tried.
_STRETCHES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0)
# Gain in correlation from which a scaled z step is reported.
_BETTER = 0.05


@dataclass(frozen=True, repr=False)
class FirstLook(Brief):
    """Agreement of a PSF with the slices of a bead, at the best offset of the stack's zero.

    offset_um: to be added to the positions;  shift_px: (2,) column and row of the bead from the middle of its
    images;  correlation: mean over the slices;  reversed_correlation: the best with the stack reversed;
    stretch: factor on the positions;  stretched: the best result with scaled steps, where they explain the
    slices much better;  poses: other orientations of the design, where it explains the slices poorly or the
    reversed ones better;  backwards: whether the stack was reversed; all other values are then of the reversed
    stack.
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
        """Whether the mask may have another orientation, or the stage another direction."""
        return self.correlation < _POOR or self.reversed_correlation > self.correlation + _BETTER


@torch.no_grad()
def look_for_focus(psf: FocusedPSF, images: BeadImages, z_um: float, blur_px: float) -> FirstLook:
    """Correlate the slices of one bead with the PSF at many offsets of the positions, in both directions.

    psf: with a patch of the images' side;  z_um: depth of the bead (in addition to the nominal one).  If the
    correlation is poor, scaled z steps are tried as well.
    """
    data = _standardized(images.likelihood.frames)
    middle = float(images.position_um.mean())

    def look(stretch: float) -> FirstLook:
        best = FirstLook(0.0, torch.zeros(2), -1.0, -1.0, stretch)
        for off in torch.arange(-_WIDEST_UM, _WIDEST_UM + 1e-6, _OFFSETS_UM).tolist():
            # The steps are scaled around the middle of the stack, which may be far from its zero.
            offset = off + (1 - stretch) * middle
            positions = stretch * images.position_um + offset
            model = _standardized(images_on_axis(psf, positions, images.moves, z_um, blur_px))
            value, shift = _correlate(data, model)
            # At equal correlation the nominal positions are preferred.
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
    """Greatest mean correlation over shifts common to all slices, and that shift (column, row)."""
    side = 2 * data.shape[-1]
    spectrum = (torch.fft.rfft2(data, (side, side)) * torch.fft.rfft2(model, (side, side)).conj()).mean(0)
    mean = torch.fft.irfft2(spectrum, (side, side))
    near = torch.cat([mean[-_REACH_PX:], mean[: _REACH_PX + 1]])
    near = torch.cat([near[:, -_REACH_PX:], near[:, : _REACH_PX + 1]], 1)
    value, place = near.flatten().max(0)
    row, column = divmod(int(place), near.shape[1])
    return float(value), torch.tensor([column - _REACH_PX, row - _REACH_PX], dtype=torch.float32)
