"""Localization of large frames in overlapping tiles, which bounds the memory and leaves no visible seams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from ..emitters import Localizations
from ..field import Field

__all__ = ["TILE_PX", "Tile", "localize_in_tiles", "tiles"]

# Margin of a tile, px. Every output of our networks depends on at most this many pixels around it (a test
# checks it), so the result inside a tile is exactly that of the whole frame.
MARGIN_PX = 96
TILE_PX = 768  # side of a tile without its margins, px


@dataclass(frozen=True)
class Tile:
    """Part of a frame: `outer` is processed, and results in `core` are kept."""

    outer: Field
    core: Field


def tiles(frame: Field, *, tile_px: int = TILE_PX, margin_px: int = MARGIN_PX) -> Iterator[Tile]:
    """Tiles that cover a frame; a frame of at most tile_px + 2·margin_px is one tile.

    Corners are multiples of 8 px from the frame's first pixel, because the networks halve the resolution and a
    shifted grid would give slightly different results.
    """
    for rows in _spans(frame.height, tile_px, margin_px):
        for columns in _spans(frame.width, tile_px, margin_px):
            outer, core = (
                frame.part((left, top, right, bottom))
                for (top, bottom), (left, right) in zip(rows, columns, strict=True)
            )
            yield Tile(outer, core)


def _spans(size: int, tile_px: int, margin_px: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(outer, core) ranges along one axis."""
    if size <= tile_px + 2 * margin_px:
        return [((0, size), (0, size))]
    starts = range(0, size, tile_px)
    cores = [(start, min(start + tile_px, size)) for start in starts]
    return [
        ((max(0, low - margin_px) // 8 * 8, min(size, high + margin_px)), (low, high)) for low, high in cores
    ]


def localize_in_tiles(
    localize: Callable[[Tensor, Tile], Localizations],
    photons: Tensor,
    frame: Field,
    *,
    tile_px: int = TILE_PX,
    margin_px: int = MARGIN_PX,
) -> Localizations:
    """Localize photons (B, H, W) tile by tile; a detection is kept only in the tile whose core contains it.

    localize: function of the frames of a tile, and of the tile;  frame: what the frames show.
    Raises ValueError if the frames are not of that size.
    """
    if photons.shape[1:] != frame.size:
        raise ValueError(f"frames of {tuple(photons.shape[1:])} px were announced as {frame}")
    found = []
    for tile in tiles(frame, tile_px=tile_px, margin_px=margin_px):
        rows, columns = tile.outer.pixels_of(frame)
        part = localize(photons[:, rows, columns], tile)
        part = part.shift(xyz=(columns.start * frame.pixel_um, rows.start * frame.pixel_um, 0.0))
        column, row = (part.xyz[:, :2] / frame.pixel_um + 0.5).unbind(1)
        rows, columns = tile.core.pixels_of(frame)
        # The outermost cores also keep detections outside the frame, which the network's offset can reach.
        keep = _holds(row, rows, frame.height) & _holds(column, columns, frame.width)
        found.append(part.select(keep))
    return Localizations.concat(found).sort()


def _holds(position: Tensor, core: slice, size: int) -> Tensor:
    low = float("-inf") if core.start == 0 else float(core.start)
    high = float("inf") if core.stop == size else float(core.stop)
    return (position >= low) & (position < high)
