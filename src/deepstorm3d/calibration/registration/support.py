"""Where in the field a transform rests on pairs, and where it only goes on beyond them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...brief import Brief
from ...field import Field

__all__ = ["Support", "support_of"]

Floats = NDArray[np.float64]

# Places of a grid over the longer side of the field.
_ALONG = 32
# A place nearer to a pair than this share of the longer side is among the pairs.
_NEAR = 0.06
# A side of the field of which less than this share is among the pairs is named.
_NAMED = 0.25


@dataclass(frozen=True, repr=False)
class Support(Brief):
    """A grid over the first channel's field.

    x, y: (W,), (H,) µm;  held: (H, W) whether a place is among the pairs;  weak: sides of the field that are
    not.
    """

    x: Floats
    y: Floats
    held: NDArray[np.bool_]
    weak: tuple[str, ...]

    @property
    def share(self) -> float:
        """The part of the field that is among the pairs, 0 to 1."""
        return float(self.held.mean())

    def places(self) -> Floats:
        """The places among the pairs, (N, 2) µm."""
        y, x = np.nonzero(self.held)
        return np.column_stack([self.x[x], self.y[y]])


def support_of(xy: Floats, field: Field) -> Support:
    """Places inside the hull of the pairs at xy (P, 2) µm, or near one of them."""
    from scipy.spatial import Delaunay, KDTree, QhullError

    width, height = field.width * field.pixel_um, field.height * field.pixel_um
    step = max(width, height) / _ALONG
    x, y = (
        (np.arange(max(1, round(side / step)), dtype=np.float64) + 0.5) * step - field.pixel_um / 2
        for side in (width, height)
    )
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    held = KDTree(xy).query(grid)[0] <= _NEAR * max(width, height)
    # Pairs that all lie on one line have no inside.
    with contextlib.suppress(QhullError, ValueError):
        held |= Delaunay(xy).find_simplex(grid) >= 0
    held = held.reshape(len(y), len(x))
    thirds = {
        "left": held[:, : len(x) // 3], "right": held[:, -(len(x) // 3) :],
        "top": held[: len(y) // 3], "bottom": held[-(len(y) // 3) :],
    }  # fmt: skip
    weak = tuple(name for name, part in thirds.items() if part.size and part.mean() < _NAMED)
    return Support(x, y, held, weak)
