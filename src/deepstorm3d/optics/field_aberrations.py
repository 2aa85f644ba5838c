"""Aberrations that change across the field of view, and the field positions at which a PSF is tabulated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor

from ..spec import Spec, quantity
from .lagrange import lagrange, local_cubic
from .zernike import noll_to_nm

__all__ = ["Aberrations", "FieldGrid", "FieldSpec"]

_THREE_UP_TO_RAD = 0.8  # largest change from edge to edge for which three field positions suffice, rad rms
# Change from edge to edge for which a mask off the pupil plane needs two more field positions, rad rms.
_STEP_OF_SHIFT_RAD = 0.4


class FieldSpec(Spec):
    """Zernike aberrations that change linearly over the field: first-order off-axis aberrations of a lens."""

    size_px: tuple[int, int] = quantity(
        (512, 512),
        "px",
        "height and width of the field, from the first pixel of the movie's frames",
        label="Field: height, width",
    )
    rises: dict[int, tuple[float, float]] = quantity(
        {},
        "rad rms",
        "Zernike coefficients that change linearly, 0 in the middle of the field; Noll index: [change from the "
        "left to the right edge, change from the upper to the lower]",
        label="Zernike coefficients",
    )
    mask_offset: float = quantity(
        0.0,
        "mm",
        "distance of the mask behind the pupil plane, along the light; below 0: before it. Light crosses the "
        "mask off its middle by mask_offset * magnification * position / focal_length",
        gt=-200,
        lt=200,
        label="Mask behind the pupil",
    )

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if min(self.size_px) < 16:
            raise ValueError(f"size_px {self.size_px} is smaller than 16 px")
        for noll in self.rises:
            noll_to_nm(noll)
        return self

    @property
    def total_gradients(self) -> tuple[float, float]:
        """Gradient of all polynomials together, from left to right and from top to bottom, rad rms."""
        across, down = (math.hypot(*(rise[axis] for rise in self.rises.values())) for axis in (0, 1))
        return across, down

    @property
    def changes(self) -> bool:
        """Whether the PSF changes across the field."""
        return any(self.total_gradients) or self.mask_offset != 0

    def at(self, across: float, down: float) -> dict[int, float]:
        """Aberrations at one field position in addition to those of the middle: Noll index and rad rms.

        across, down: from the middle of the field, −½ and ½ at its edges.
        """
        return {noll: across * right + down * below for noll, (right, below) in self.rises.items()}

    def places(self, column_row: Tensor) -> Tensor:
        """Field positions of camera pixels (N, 2), column and row: (N, 2) across and down, limited to ±½."""
        size = column_row.new_tensor([self.size_px[1], self.size_px[0]], dtype=torch.float64)
        return ((column_row + 0.5) / size - 0.5).clamp(-0.5, 0.5)


@dataclass(frozen=True)
class Aberrations:
    """Aberrations of a PSF that the phase of its mask does not contain.

    transmission: uneven amplitude in the pupil (`transmission_factor`), Noll index: logarithm, rms;
    across: phase aberrations that change across the field of view.
    """

    transmission: Mapping[int, float] = field(default_factory=dict[int, float])
    across: FieldSpec = field(default_factory=FieldSpec)


@dataclass(frozen=True)
class FieldGrid:
    """Evenly spaced field positions at which a PSF is computed, and the weights for interpolation between them.

    Along each axis, images are interpolated by polynomials through one position (no change), three (changes of
    up to 0.8 rad rms from edge to edge), or five. For the telomere set-up with Tetrapod, astigmatism and coma,
    the largest error of an image is 1.7 % of its peak with three positions at 0.8 rad, and 1.0 % with five at
    1.6 rad.

    field: aberrations that change;  pixel_um: camera pixel in the sample;  moved_rad: change of the phase of a
    mask off the pupil plane from edge to edge, across and down, rad rms. These changes are less smooth, because
    the edge of the aperture moves over the mask. They need two more positions for each 0.4 rad, at most nine,
    and a cubic through the nearest four. For the same Tetrapod, the error at the worst position and depth is
    1.0 % of the peak for 0.8 rad, 1.1 % for 1.3 and 3.5 % for 2.1.
    """

    field: FieldSpec
    pixel_um: float
    moved_rad: tuple[float, float] = (0.0, 0.0)

    @property
    def counts(self) -> tuple[int, int]:
        """Number of field positions across and down."""
        rises, moved = self.field.total_gradients, self.moved_rad
        across, down = (
            max(_places(rises[n], _THREE_UP_TO_RAD, 5), _places(moved[n], _STEP_OF_SHIFT_RAD, 9))
            for n in (0, 1)
        )
        return across, down

    @property
    def places(self) -> list[tuple[float, float]]:
        """Field positions, across and down from the middle, −½ to ½."""
        across, down = (_nodes(count) for count in self.counts)
        return [(x, y) for y in down for x in across]

    def weights(self, xyz: Tensor, origin_px: Tensor | None = None) -> Tensor:
        """Weights (N, P) of the field positions for molecules at xyz (N, 3) µm, limited to the field.

        origin_px: (N, 2) or (1, 2), column and row of the pixel of the field from which xyz is measured; None:
        its first.
        """
        column_row = xyz[:, :2].detach() / self.pixel_um
        if origin_px is not None:
            column_row = column_row + origin_px.to(column_row)
        place = self.field.places(column_row).to(xyz)
        between = local_cubic if any(self.moved_rad) else lagrange
        across, down = (between(place[:, axis], _nodes(count)) for axis, count in enumerate(self.counts))
        return (down[:, :, None] * across[:, None]).flatten(1)


def _places(change: float, step: float, most: int) -> int:
    """Number of positions along an axis for a change from edge to edge, rad rms: two more for each step."""
    return 1 if change == 0 else min(most, 1 + 2 * math.ceil(change / step))


def _nodes(count: int) -> list[float]:
    return [0.0] if count == 1 else [number / (count - 1) - 0.5 for number in range(count)]
