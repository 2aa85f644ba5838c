"""What of a list is coloured by number, not by value: the dye of a row, or its molecule."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..emitters import Emitters, Localizations
from .colour import dye_colours, molecule_colours

__all__ = ["CATEGORIES", "Category", "Numbers", "category_colours", "numbers_of", "numbers_taken"]

Category = Literal["dye", "molecule"]
CATEGORIES: tuple[Category, ...] = get_args(Category)

Numbers = Mapping[Category, NDArray[np.uint8]]
"""The colour (N,) of each point, by what it stands for; without what a list does not tell."""

# Numbers of colours beside that of none: molecules begin again with the first colour.
_COLOURS = 255


def numbers_of(locs: Localizations | Emitters) -> Numbers:
    """The colour of each row: its dye, 0 for none; its molecule, 0 for one of a single frame."""
    found: dict[Category, NDArray[np.uint8]] = {}
    if isinstance(locs, Localizations) and locs.dye is not None:
        found["dye"] = locs.dye.cpu().numpy().clip(0, _COLOURS).astype(np.uint8)
    if isinstance(locs, Localizations) and locs.molecule is not None:
        molecule = locs.molecule.cpu().numpy()
        found["molecule"] = np.where(_rows_of(molecule) > 1, 1 + molecule % _COLOURS, 0).astype(np.uint8)
    return found


def _rows_of(molecule: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many rows the molecule of each row has, (N,)."""
    if len(molecule) and molecule.min() >= 0 and molecule.max() < 8 * len(molecule):
        return np.bincount(molecule)[molecule]  # sorting takes ten times as long
    _, place, rows = np.unique(molecule, return_inverse=True, return_counts=True)
    return rows[place]


def numbers_taken(numbers: Numbers, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Numbers:
    """Those of some of the points: (N,) bool, or (K,) their indices."""
    return {category: values[rows] for category, values in numbers.items()}


@cache
def category_colours(category: Category) -> NDArray[np.float64]:
    """RGB (256, 3), 0 to 1: of none, and of each number."""
    return dye_colours(_COLOURS) if category == "dye" else molecule_colours(_COLOURS)
