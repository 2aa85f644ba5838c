"""Localization of large frames in overlapping tiles, which bounds the memory and leaves no visible seams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from ..emitters import Localizations

__all__ = ["TILE_PX", "Tile", "localize_in_tiles", "tiles"]

# Margin of a tile, px. Every output of our networks depends on at most this many pixels around it (a test
# checks it), so the result inside a tile is exactly that of the whole frame.
MARGIN_PX = 96
TILE_PX = 768  # side of a tile without its margins, px


@dataclass(frozen=True)
class Tile:
    """Part of a frame, half-open ranges in pixels: `outer` is processed, and results in `core` are kept."""

    outer_rows: tuple[int, int]
    outer_columns: tuple[int, int]
    core_rows: tuple[int, int]
    core_columns: tuple[int, int]


def tiles(height: int, width: int, *, tile_px: int = TILE_PX, margin_px: int = MARGIN_PX) -> Iterator[Tile]:
    """Tiles that cover a frame; a frame of at most tile_px + 2·margin_px is one tile.

    Corners are multiples of 8 px, because the networks halve the resolution and a shifted grid would give
    slightly different results.
    """
    for rows in _spans(height, tile_px, margin_px):
        for columns in _spans(width, tile_px, margin_px):
            yield Tile(rows[0], columns[0], rows[1], columns[1])


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
    frames: Tensor,
    pixel_um: float,
    *,
    tile_px: int = TILE_PX,
    margin_px: int = MARGIN_PX,
) -> Localizations:
    """Localize frames (B, H, W) tile by tile; a detection is kept only in the tile whose core contains it.

    localize: function of the frames of a tile, and of the tile.
    """
    found = []
    for tile in tiles(frames.shape[1], frames.shape[2], tile_px=tile_px, margin_px=margin_px):
        (top, bottom), (left, right) = tile.outer_rows, tile.outer_columns
        part = localize(frames[:, top:bottom, left:right], tile)
        part = part.shift(xyz=(left * pixel_um, top * pixel_um, 0.0))
        column, row = (part.xyz[:, :2] / pixel_um + 0.5).unbind(1)
        # The outermost cores also keep detections outside the frame, which the network's offset can reach.
        keep = _holds(row, tile.core_rows, frames.shape[1]) & _holds(column, tile.core_columns, frames.shape[2])
        found.append(part.select(keep))
    return Localizations.concat(found).sort()


def _holds(place: Tensor, core: tuple[int, int], size: int) -> Tensor:
    low = float("-inf") if core[0] == 0 else float(core[0])
    high = float("inf") if core[1] == size else float(core[1])
    return (place >= low) & (place < high)
