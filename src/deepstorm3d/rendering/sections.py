"""The part of a list that is drawn: a box in the sample, a thin section of it, and the points inside."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..emitters import Emitters, Localizations
from ..errors import InputError
from .canvas import Canvas, Floats, Image, Method, Points
from .categories import Numbers, numbers_of, numbers_taken

__all__ = ["AXES", "Axis", "Box", "Cloud", "Interval", "cloud_of"]

Axis = Literal["x", "y", "z"]
AXES: tuple[Axis, Axis, Axis] = ("x", "y", "z")

Interval = tuple[float, float]
"""From (included) and to (excluded), µm; either may be infinite."""

# The range without limits, µm.
_EVERYTHING: Interval = (-math.inf, math.inf)
# Points turned into weights and pixels at once; limits the memory in addition to list and image.
_BLOCK = 2_000_000
# How far a clipping plane may lie beyond the list, in lengths of the list: nm taken for µm are at a thousand.
_FAR = 100.0
# A box without rows is perhaps in nm: least distance from the list on some axis, in lengths of the list …
_FAR_IF_EMPTY = 10.0
# … and least fraction of the rows between its planes if they are in nm.
_HELD_AS_NM = 0.01


@dataclass(frozen=True)
class Box:
    """The part of the sample between two clipping planes on each axis, µm.

    Raises InputError for planes in the wrong order.
    """

    x: Interval = _EVERYTHING
    y: Interval = _EVERYTHING
    z: Interval = _EVERYTHING

    def __post_init__(self) -> None:
        for axis in AXES:
            low, high = _planes(getattr(self, axis), axis)
            if not low < high:
                raise InputError(f"the {axis} range must grow, got {low:g} to {high:g} µm")

    def section(self, axis: Axis, between_um: Interval) -> Box:
        """The part of the box between two planes across `axis`.

        Raises InputError where the section lies outside the box, or has no thickness.
        """
        if axis not in AXES:
            raise InputError(f"a section is across x, y or z, not '{axis}'")
        first, last = _planes(between_um, axis)
        if not first < last:
            raise InputError(f"a section must be thicker than 0 nm, got {1000 * (last - first):g} nm")
        low, high = getattr(self, axis)
        cut = max(low, first), min(high, last)
        if not cut[0] < cut[1]:
            raise InputError(
                f"the section {axis} = {first:g} to {last:g} µm lies outside of {axis} = {low:g} to {high:g} µm"
            )
        return replace(self, **{axis: cut})

    def refuse_wide(self, xyz: NDArray[np.floating]) -> None:
        """Raise InputError where the box is so far beyond the positions (N, 3) µm that it must be in nm."""
        for column, axis in enumerate(AXES):
            planes, values = getattr(self, axis), xyz[:, column]
            low, high = float(np.nanmin(values)), float(np.nanmax(values))
            ends = [end for end in planes if math.isfinite(end)]
            if max((max(low - end, end - high) for end in ends), default=0.0) > _FAR * max(high - low, 1.0):
                raise InputError(
                    f"{axis} from {planes[0]:g} to {planes[1]:g} µm: the list spans {low:z.2f} to "
                    f"{high:z.2f} µm",
                    "clipping planes are in µm, not nm",
                )

    def perhaps_in_nm(self, xyz: NDArray[np.floating]) -> bool:
        """Whether the planes beside the positions (N, 3) µm are far from them, and hold many of them as nm."""
        planes, values = np.array([self.x, self.y, self.z]), xyz[np.isfinite(xyz).all(axis=1)]
        if len(values) == 0:
            return False
        low, high = values.min(axis=0), values.max(axis=0)
        apart = np.maximum(planes[:, 0] - high, low - planes[:, 1])
        far = (apart > _FAR_IF_EMPTY * np.maximum(high - low, 1.0)).any()
        held = ((values >= planes[:, 0] / 1000) & (values < planes[:, 1] / 1000)).mean(axis=0)
        return bool(far and (held[apart > 0] >= _HELD_AS_NM).all())

    def inside(self, xyz: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which of the positions (N, 3) µm lie in the box; those that are not finite do not."""
        kept: NDArray[np.bool_] = np.asarray(np.isfinite(xyz).all(axis=1))
        for column, axis in enumerate(AXES):
            low, high = getattr(self, axis)
            if (low, high) != _EVERYTHING:
                kept = kept & (xyz[:, column] >= low) & (xyz[:, column] < high)
        return kept


def _planes(given: object, axis: str) -> Interval:
    """The positions of two planes; raises InputError for anything but two numbers."""
    both = given if isinstance(given, tuple | list | np.ndarray) else ()
    numbers = [each for each in both if isinstance(each, int | float | np.number)]
    if len(both) != 2 or len(numbers) != 2 or any(math.isnan(each) for each in numbers):
        raise InputError(f"the {axis} range is two positions, from and to, in µm, not {given!r}")
    return float(numbers[0]), float(numbers[1])


@dataclass(frozen=True)
class Cloud:
    """The points of a list inside a box: xyz (N, 3) and sigma (N, 3), µm (σ 0 where the method needs none).

    numbers: of dye and molecule, as far as the list has them (`categories`).
    """

    xyz: Floats
    sigma: Image
    numbers: Numbers = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.xyz)

    def select(self, rows: NDArray[np.bool_]) -> Cloud:
        """Some of the points, (N,) bool."""
        return Cloud(self.xyz[rows], self.sigma[rows], numbers_taken(self.numbers, rows))

    def blocks(
        self, axes: tuple[Axis, Axis], palette: Image, shade: NDArray[np.uint8] | None = None
    ) -> Iterator[Points]:
        """The points to draw, block by block.

        axes: the axes of the rows and the columns of the image;  palette: (K, C) values; each point has the
        values of its `shade` (N,), or the first ones.
        """
        row, column = (AXES.index(axis) for axis in axes)
        for begin in range(0, len(self), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            xyz, sigma = self.xyz[part], self.sigma[part]
            values = np.repeat(palette[:1], len(xyz), axis=0) if shade is None else palette[shade[part]]
            yield Points(xyz[:, row], xyz[:, column], sigma[:, row], sigma[:, column], values)

    def planes(self, method: Method, canvas: Canvas, edges_um: Floats) -> Iterator[Image]:
        """Localizations per voxel between each pair of depths, (h, w), one plane after the other.

        canvas: of x–y images;  edges_um: (K + 1,) growing depths.
        """
        order = np.argsort(self.xyz[:, 2])
        z = self.xyz[order, 2]
        reach = method.reach_um(self.sigma[:, 2])
        for low, high in pairwise(edges_um):
            near = order[np.searchsorted(z, low - reach) : np.searchsorted(z, high + reach)]
            shares = self._shares(near, method, float(low), float(high))
            yield method.draw(canvas, shares, 1)[0]

    def _shares(self, rows: NDArray[np.intp], method: Method, low: float, high: float) -> Iterator[Points]:
        for begin in range(0, len(rows), _BLOCK):
            part = rows[begin : begin + _BLOCK]
            share = method.share(self.xyz[part, 2], self.sigma[part, 2], low, high)
            part, share = part[share > 0], share[share > 0]
            xyz, sigma = self.xyz[part], self.sigma[part]
            yield Points(xyz[:, 1], xyz[:, 0], sigma[:, 1], sigma[:, 0], share[:, None])


def cloud_of(locs: Localizations | Emitters, method: Method, box: Box) -> Cloud:
    """The points of a list inside a box; if each is drawn as wide as its σ, only those that have one.

    Raises InputError where the method draws each localization as wide as its σ and the list has none.
    """
    xyz = locs.xyz.detach().cpu().double().numpy()
    inside = box.inside(xyz)
    if not method.needs_sigma:
        sigma = np.broadcast_to(np.zeros((1, 3), np.float32), xyz.shape)
        cloud = Cloud(xyz, sigma, numbers_of(locs))
        return cloud if inside.all() else cloud.select(inside)
    if not isinstance(locs, Localizations) or locs.sigma_source == "none":
        raise InputError(
            "the list does not contain the precision (σ) of its localizations, so they cannot be drawn with "
            "their own width",
            "draw a `histogram`, or give one σ for all (`blur_um`)",
        )
    sigma = locs.sigma_xyz.detach().cpu().float().numpy()
    inside = inside & (sigma > 0).all(axis=1)
    cloud = Cloud(xyz, sigma, numbers_of(locs))
    return cloud if inside.all() else cloud.select(inside)
