"""Molecules seen in several frames, merged into one row each, and a check of their σ."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..emitters import Localizations
from ..errors import InputError
from .chance_links import BeyondChance, spread_beyond_chance
from .linking import LinkRule, least_spread, link_rows, most_spread, spread_over_sigma
from .merging import merge_rows, one_row_each
from .stated_sigma import failed_fits_note

__all__ = ["Linked", "link_list"]

# Scatter in units of σ above which the 3 σ gate loses a noticeable fraction of the pairs. Below its inverse it
# is told as well: σ are too large.
_TRUE_SIGMA = 1.3
# Fewest pairs from which the scatter is judged.
_FEWEST_PAIRS = 10
# Share of the pairs that may be joined by chance without being taken off: they do not change the median.
_FEW_BY_CHANCE = 0.05

_Spread = tuple[float, float, float]  # on x, y and z


@dataclass(frozen=True)
class Linked:
    """Result of linking.

    tied: whether the list itself said which rows are one molecule (`molecule`), and none were looked for;
    molecules: one row for each molecule;  track: (N,) molecule of each row of the list;  seen_once: number of
    molecules that are in a single frame only;  spread_over_sigma: scatter of the differences within molecules
    in units of σ in x, y and z, without the pairs joined by chance, 1 where the σ are correct (None: there are
    no pairs to measure it, or not more than by chance);  warnings: what a reader of the numbers should know.
    """

    molecules: Localizations
    track: Tensor
    seen_once: int
    spread_over_sigma: tuple[float, float, float] | None
    warnings: list[str] = field(default_factory=list)
    tied: bool = False


def link_list(table: Localizations, rule: LinkRule) -> Linked:
    """Join the rows of each molecule (`link_rows`) and merge them into one (`merge_rows`).

    Where the molecules were fitted over several frames, the list says which rows these are (`molecule`): they
    are merged as they stand, and the rule has no part in it.
    Raises InputError for a list that is already linked, and for rows without the σ that the rule needs.
    """
    if table.detections is not None:
        raise InputError(
            "the list is linked already: its rows no longer say in which frames they end; link the list that "
            "it was made from"
        )
    if table.molecule is not None:
        return _of_fitted_molecules(table, rule)
    track = link_rows(table, rule)
    merged = merge_rows(table, track)
    spread, notes = _spread_and_warnings(table, track, rule)
    return Linked(merged, track, _seen_once(merged), spread, notes)


def _of_fitted_molecules(table: Localizations, rule: LinkRule) -> Linked:
    """One row for each molecule that the fit found; nothing is joined beyond that."""
    assert table.molecule is not None
    merged = one_row_each(table)
    notes = [] if len(table) else ["the list has no rows"]
    if rule.radius_um is not None:
        notes.append(
            "the molecules of this list were fitted over several frames, so their rows need no distance to be "
            "joined (`radius_nm`): it was not used"
        )
    number = torch.unique(table.molecule, return_inverse=True)[1]
    return Linked(merged, number, _seen_once(merged), None, notes, tied=True)


def _seen_once(merged: Localizations) -> int:
    return 0 if merged.detections is None else int((merged.detections == 1).sum())


def _spread_and_warnings(
    table: Localizations, track: Tensor, rule: LinkRule
) -> tuple[_Spread | None, list[str]]:
    """`Linked.spread_over_sigma`, and what to know of it."""
    if not len(table):
        return None, ["the list has no rows"]
    spread = spread_over_sigma(table, track)
    failed = failed_fits_note(table)
    if failed is not None and rule.radius_um is None:
        return spread, [f"{failed}: a row with such a σ is joined to any row near it"]
    if spread is None:
        return None, []
    found = spread_beyond_chance(table, track, rule)
    of_all = spread
    if found.chance > _FEW_BY_CHANCE * found.pairs:
        spread = found.spread if found.worth >= _FEWEST_PAIRS else None
    # Each molecule of n rows has n − 1 pairs of successive ones.
    pairs = len(table) - int(track.max()) - 1
    if rule.radius_um is not None or pairs < _FEWEST_PAIRS:
        return spread, []
    return spread, _sigma_doubts(found, spread, of_all)


def _sigma_doubts(found: BeyondChance, spread: _Spread | None, of_all: _Spread) -> list[str]:
    """What the scatter within molecules says of the σ; of_all: that of all pairs, joined by chance or not."""
    if spread is None:
        wide = max(of_all)
        few = (
            f"{found.pairs} pairs of rows were joined, and {found.chance:.0f} are joined with the frames in "
            "another order: too few are beyond chance to tell whether the σ are true"
        )
        if wide <= _TRUE_SIGMA:
            return [few]
        return [
            f"{few}. Where molecules shine in one frame only, there is nothing to link; where they stay "
            f"throughout the movie, the σ are too small (pairs scatter by {wide:.1f} times their σ)"
        ]
    worst, pairs = max(spread), int(found.worth)
    notes = []
    if _too_wide(worst, pairs):
        notes.append(
            f"within molecules the positions scatter by {worst:.1f} times their σ (at least "
            f"{least_spread(worst, pairs):.1f} with 99 % confidence, from {found.pairs} pairs, less "
            f"{found.chance:.0f} that are joined with the frames in another order too): the σ are too small, "
            "and molecules come apart; correct the drift first, or give a distance (`radius_nm`)"
        )
    # Where rows have several neighbours, true pairs are missing among those by chance, which are then taken off
    # too often: the scatter of all pairs, which chance can only widen, must be as small.
    largest = [max(pair) for pair in zip(spread, of_all, strict=True)]
    narrow = [axis for axis in range(3) if spread[axis] > 0 and _too_narrow(largest[axis], pairs)]
    if narrow:
        axes = ", ".join("xyz"[axis] for axis in narrow)
        most = max(largest[axis] for axis in narrow)
        notes.append(
            f"on {axes} the positions within molecules scatter by only {most:.2f} times their σ (at most "
            f"{most_spread(most, pairs):.2f} with 99.9 % confidence, from {found.pairs} pairs, "
            f"{found.chance:.0f} of them by chance): the σ are too large, also those of the linked rows, and "
            "molecules that lie near each other are joined; check the gain and the baseline of the camera, or "
            "give a distance (`radius_nm`)"
        )
    return notes


def _too_narrow(largest: float, pairs: int) -> bool:
    """Whether the scatter of so many pairs shows σ that are too large."""
    return pairs >= _FEWEST_PAIRS and largest < 1 / _TRUE_SIGMA and most_spread(largest, pairs) < 1


def _too_wide(worst: float, pairs: int) -> bool:
    """Whether the scatter of so many pairs shows σ that are too small."""
    return pairs >= _FEWEST_PAIRS and worst > _TRUE_SIGMA and least_spread(worst, pairs) > 1
