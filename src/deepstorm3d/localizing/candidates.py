"""What a network proposes in frames: tile by tile, and how many molecules it expects in the whole of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..emitters import Localizations
from ..field import Field
from ..fitting.crowd import expected_molecules
from .tiling import Tile, localize_in_tiles

__all__ = ["Candidates", "candidates_in_tiles"]


@dataclass(frozen=True)
class Candidates:
    """Rows of B frames in tiles.

    tiles: rows of each tile, those in its margins too, in its own µm;  expected: (B,) molecules in the whole
    field of each frame.
    """

    tiles: tuple[Localizations, ...]
    expected: Tensor


def candidates_in_tiles(
    propose: Callable[[Tensor, Tile], Localizations], photons: Tensor, whole: Field, tile_px: int
) -> Candidates:
    """The candidates of frames (B, H, W) that show the whole field;  propose: as of `localize_in_tiles`."""
    parts = list[Localizations]()

    def proposed(frames: Tensor, tile: Tile) -> Localizations:
        parts.append(propose(frames, tile))
        return parts[-1]

    found = localize_in_tiles(proposed, photons, whole, tile_px=tile_px)
    return Candidates(tuple(parts), expected_molecules(found, len(photons)))
