"""How far rows of one molecule scatter in units of σ, without the pairs that linking joins by chance.

Rows of two molecules that lie near each other are joined as if they were one, and scatter over all of the gate
whatever their σ. How many such pairs there are, and how they scatter, is seen where the frames are put in an
order in which those in a row are far apart: what is joined there, is joined by chance, except rows of a
molecule that shines so long that they are joined in the list as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..emitters import Localizations
from .linking import LinkRule, link_rows, pairs_over_sigma

__all__ = ["BeyondChance", "spread_beyond_chance"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Most rows that are looked at: they are linked a second time.
_MOST_ROWS = 200_000


@dataclass(frozen=True)
class BeyondChance:
    """Scatter of the pairs of one molecule.

    spread: in units of σ on x, y and z (`spread_over_sigma`), zeros where there are not more pairs than by
    chance;  pairs, chance: number of all pairs, and expected number of those by chance;  worth: number of pairs
    that would tell the scatter as well if there were none by chance.
    """

    spread: tuple[float, float, float]
    pairs: int
    chance: float
    worth: float


def spread_beyond_chance(table: Localizations, track: Tensor, rule: LinkRule) -> BeyondChance:
    """The scatter of the pairs in `track` (`link_rows` by the rule), less that of pairs joined by chance.

    The frames are read in strides of the root of their number, so that those that follow each other are far
    apart and yet of nearly the same density; for what they still differ the number by chance is corrected.
    Molecules that shine longer than a stride are joined in any order: they count as chance only where they come
    apart in `track`. Where a movie is too short for strides, all pairs are taken as they are.
    """
    rows = _middle(table, 1 + rule.dark)
    if len(pairs_over_sigma(table.select(rows), track[rows])):
        table, track = table.select(rows), track[rows]
    frame = table.frame.cpu().numpy()
    far = _in_strides(frame, 1 + rule.dark)
    mixed = replace(table, frame=torch.from_numpy(far).to(table.frame))
    all_pairs = pairs_over_sigma(table, track)
    by_chance = all_pairs[:0]
    if far is not frame:
        by_chance = pairs_over_sigma(mixed, link_rows(mixed, rule), but_in=track)
    share = _meetings(frame, 1 + rule.dark) / max(_meetings(far, 1 + rule.dark), 1)
    pairs, chance = len(all_pairs), share * len(by_chance)
    if pairs <= chance:
        return BeyondChance((0.0, 0.0, 0.0), pairs, chance, 0.0)
    weight = np.concatenate([np.ones(pairs), np.full(len(by_chance), -share)])
    x, y, z = (
        1.4826 * _median(np.concatenate([all_pairs[:, axis], by_chance[:, axis]]), weight) for axis in range(3)
    )
    # The number of own pairs below the median has the variance of both counts.
    worth = (pairs - chance) ** 2 / (pairs + share * chance)
    return BeyondChance((x, y, z), pairs, chance, worth)


def _middle(table: Localizations, joined: int) -> Tensor:
    """The rows (N,) of the frames in the middle of the movie, those that hold `_MOST_ROWS` rows.

    All rows, where these are too few frames to be read in strides.
    """
    every = torch.ones_like(table.frame, dtype=torch.bool)
    if len(table) <= _MOST_ROWS:
        return every
    ordered = table.frame.sort().values
    begin = (len(table) - _MOST_ROWS) // 2
    first, last = int(ordered[begin]), int(ordered[begin + _MOST_ROWS - 1])
    if last - first + 1 < (joined + 1) ** 2:
        return every
    return (table.frame >= first) & (table.frame <= last)


def _in_strides(frame: Ints, joined: int) -> Ints:
    """Frames numbered in another order: 0, s, 2 s, …, 1, 1 + s, … with s the root of their number.

    joined: how many frames apart rows may be joined; as they are, where the stride is not longer.
    """
    at = frame - frame.min()
    count = int(at.max()) + 1
    stride = math.isqrt(count)
    if stride <= joined:
        return frame
    return at % stride * -(-count // stride) + at // stride


def _meetings(frame: Ints, most: int) -> int:
    """Number of pairs of rows that are 1 … most frames apart."""
    numbers, count = np.unique(frame, return_counts=True)
    total = 0
    for gap in range(1, most + 1):
        later = np.searchsorted(numbers, numbers + gap)
        there = later < len(numbers)
        there[there] = numbers[later[there]] == numbers[there] + gap
        total += int(count[there] @ count[later[there]])
    return total


def _median(values: Floats, weight: Floats) -> float:
    """The value below which half of the total weight lies; weights may be negative, their sum is not."""
    order = np.argsort(values)
    below = np.cumsum(weight[order])
    return float(values[order[int(np.argmax(below >= weight.sum() / 2))]])
