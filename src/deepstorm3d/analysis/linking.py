"""Links rows of consecutive frames that are one molecule: near enough for their σ, across short dark gaps.

There are two steps, each one assignment over the whole movie (Jaqaman et al., Nature Methods 5:695, 2008). Rows
of neighbouring frames are joined to segments; then ends of segments are joined to beginnings of others. The
position of a segment is the weighted mean of its rows, which is more precise than any row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..emitters import Localizations
from ..errors import InputError, refuse_um
from .assignment import least_total
from .pairs import pairs_within

__all__ = [
    "GATE",
    "LinkRule",
    "least_spread",
    "link_rows",
    "most_spread",
    "pairs_over_sigma",
    "spread_over_sigma",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

GATE = 14.156
"""Largest Σ Δ²/σ² over x, y and z: the 99.73 % quantile of χ² with 3 degrees of freedom (3 σ on one axis)."""

# Statistical efficiency of the median absolute difference relative to the rms (Rousseeuw & Croux 1993).
_MEDIAN_EFFICIENCY = 0.37
# Confidence of the lower bound of `least_spread`, …
_CONFIDENCE = 0.99
# … and of the upper one of `most_spread`, of each of three axes.
_MORE_CONFIDENCE = 0.999
# Left members searched at once, which limits the memory of their candidates.
_SEARCH_ROWS = 2**18


@dataclass(frozen=True)
class LinkRule:
    """Which rows may be one molecule.

    radius_um, axial_um: largest lateral distance and largest axial distance, µm; both None: the limit is
    Σ Δ²/σ² ≤ `GATE`, with σ² the variance of the difference;  dark: frames in which the molecule may be
    missing.
    """

    radius_um: float | None = None
    axial_um: float | None = None
    dark: int = 1

    def __post_init__(self) -> None:
        if (self.radius_um is None) != (self.axial_um is None):
            raise ValueError("radius_um and axial_um belong together")
        for value in (self.radius_um, self.axial_um):
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"the gate of linking must be above 0 nm, got {1000 * value:g}")
            if value is not None:
                refuse_um("a distance", 1000 * value)
        if self.dark < 0:
            raise InputError(f"a molecule cannot be missing for {self.dark} frames; give 0 or more")


@dataclass(frozen=True)
class _Ends:
    """Ends that can be joined: (K,) frames and (K, 3) position and variance, µm and µm²."""

    frame: Ints
    xyz: Floats
    variance: Floats

    def take(self, rows: Ints | slice) -> _Ends:
        return _Ends(self.frame[rows], self.xyz[rows], self.variance[rows])

    def scaled(self, scale: Floats) -> tuple[Floats, Ints]:
        """Positions divided by a scale (3,) for each axis, and frames."""
        return self.xyz / scale, self.frame


def link_rows(table: Localizations, rule: LinkRule) -> Tensor:
    """The molecule of each row: (N,) int64, counted from 0 in order of first appearance.

    Of all ways to pair one end with one beginning, the one of least total cost is taken. A pair costs its
    squared distance divided by that of the gate; an end without a partner costs 1.
    Raises InputError where the rule uses σ and rows have none.
    """
    order = np.argsort(table.frame.cpu().numpy(), kind="stable")
    rows = _ends(table, order)
    if rule.radius_um is None:
        _require_sigma(rows.variance)
    left, right = _join(rows, rows, 1, rule)
    segment = _chains(len(order), left, right)
    begins, ends = _segments(rows, segment)
    left, right = _join(ends, begins, 1 + rule.dark, rule)
    track = _chains(len(begins.frame), left, right)[segment]
    of_row = np.empty(len(order), np.int64)
    of_row[order] = track
    return torch.from_numpy(of_row).to(table.frame.device)


def spread_over_sigma(table: Localizations, track: Tensor) -> tuple[float, float, float] | None:
    """Scatter of the differences within molecules in units of σ, on x, y and z: 1 where the σ are correct.

    The differences are between successive rows of a molecule; the scatter is 1.4826 times the median of |Δ|/σ,
    which false pairs hardly change. None where no joined rows have a σ.
    """
    ratio = pairs_over_sigma(table, track)
    if not len(ratio):
        return None
    x, y, z = (1.4826 * np.median(ratio, axis=0)).tolist()
    return x, y, z


def pairs_over_sigma(table: Localizations, track: Tensor, but_in: Tensor | None = None) -> Floats:
    """|Δ| of successive rows of a molecule, over the σ of the difference: (P, 3) where both have a σ.

    but_in: (N,) molecules too: pairs that are one of these as well are left out.
    """
    frames, of_row = table.frame.cpu().numpy(), track.cpu().numpy()
    order = np.lexsort((frames, of_row))
    rows = _ends(table, order)
    same = np.diff(of_row[order]) == 0
    if but_in is not None:
        same &= np.diff(but_in.cpu().numpy()[order]) != 0
    known = np.all(rows.variance > 0, axis=1)
    same &= known[1:] & known[:-1]
    variance = (rows.variance[1:] + rows.variance[:-1])[same]
    return np.abs(np.diff(rows.xyz, axis=0)[same]) / np.sqrt(variance)


def least_spread(spread: float, pairs: int) -> float:
    """Lower bound of the true scatter, with 99 % confidence, from one measured on this many pairs.

    n times the ratio of measured to true variance of n normal differences has the χ² distribution with n
    degrees of freedom; a median has the precision of 0.37 n of them (Rousseeuw & Croux, J. Am. Stat. Assoc.
    88:1273, 1993).
    """
    return _true_spread(spread, pairs, 1 - _CONFIDENCE)


def most_spread(spread: float, pairs: int) -> float:
    """Upper bound of the true scatter, with 99.9 % confidence, as `least_spread` is the lower one."""
    return _true_spread(spread, pairs, _MORE_CONFIDENCE)


def _true_spread(spread: float, pairs: int, chance: float) -> float:
    """The true scatter of which so many pairs scatter by more than the measured one with the given chance."""
    from scipy.special import chdtri

    degrees = max(1.0, _MEDIAN_EFFICIENCY * pairs)
    return spread * math.sqrt(degrees / float(chdtri(degrees, chance)))


def _ends(table: Localizations, order: Ints) -> _Ends:
    return _Ends(
        table.frame.cpu().numpy()[order],
        table.xyz.detach().cpu().double().numpy()[order],
        np.square(table.sigma_xyz.detach().cpu().double().numpy()[order]),
    )


def _require_sigma(variance: Floats) -> None:
    missing = int((variance <= 0).any(axis=1).sum())
    if missing:
        raise InputError(
            f"{missing} of {len(variance)} rows have no σ (0), by which rows are joined",
            "give a distance (`radius_nm`), or first keep the rows that have one: "
            "`filter` 'min(sigma_x_nm, sigma_y_nm, sigma_z_nm) > 0'",
        )


def _chains(count: int, left: Ints, right: Ints) -> Ints:
    """The chain of each of `count` members that the pairs join, numbered by first member."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(count, count))
    chain = connected_components(graph, directed=False)[1]
    _, first, number = np.unique(chain, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number].astype(np.int64)


def _segments(rows: _Ends, segment: Ints) -> tuple[_Ends, _Ends]:
    """Segments as beginnings and as ends: first and last frame, and the mean weighted by 1/σ².

    Rows are in order of frame. If one row of a segment has no σ, all its rows have equal weight.
    """
    count = int(segment.max()) + 1 if len(segment) else 0
    known = np.ones(count, dtype=bool)
    known[segment[(rows.variance <= 0).any(axis=1)]] = False
    weight = np.where(known[segment, None], 1.0 / np.where(rows.variance > 0, rows.variance, 1.0), 1.0)
    total, place = (
        np.stack([np.bincount(segment, values[:, axis], count) for axis in range(3)], axis=1)
        for values in (weight, weight * rows.xyz)
    )
    first, last = np.zeros(count, np.int64), np.zeros(count, np.int64)
    last[segment] = rows.frame
    first[segment[::-1]] = rows.frame[::-1]
    variance = np.where(known[:, None], 1.0 / total, 0.0)
    return _Ends(first, place / total, variance), _Ends(last, place / total, variance)


def _join(left: _Ends, right: _Ends, most: int, rule: LinkRule) -> tuple[Ints, Ints]:
    """The best pairs whose right member comes 1 … most frames after the left one."""
    found = [pairs for gap in range(1, most + 1) for pairs in _candidates(left, right, gap, rule)]
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    i, j, cost = (np.concatenate(parts) for parts in zip(*found, strict=True))
    taken = least_total(i, j, cost, unmatched=1.0)
    return i[taken], j[taken]


def _candidates(left: _Ends, right: _Ends, gap: int, rule: LinkRule) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Pairs i, j `gap` frames apart inside the gate, and squared distance over that of the gate, 0 to 1."""
    by_frame = np.argsort(right.frame, kind="stable")
    frames = right.frame[by_frame]
    order = np.argsort(left.frame, kind="stable")
    for begin in range(0, len(order), _SEARCH_ROWS):
        some = order[begin : begin + _SEARCH_ROWS]
        first, last = left.frame[some[[0, -1]]] + gap
        others = by_frame[np.searchsorted(frames, first) : np.searchsorted(frames, last, side="right")]
        if len(others):
            i, j = _near(left.take(some), right.take(others), gap, rule)
            i, j = some[i], others[j]
            distance = _distance(left.take(i), right.take(j), rule)
            inside = distance <= 1.0
            yield i[inside], j[inside], distance[inside]


def _distance(left: _Ends, right: _Ends, rule: LinkRule) -> Floats:
    """Squared distance of each pair (K,) over that of the gate: at most 1 inside it."""
    square = (left.xyz - right.xyz) ** 2
    if rule.radius_um is None or rule.axial_um is None:
        return (square / (left.variance + right.variance)).sum(axis=1) / GATE
    lateral, axial = square[:, :2].sum(axis=1) / rule.radius_um**2, square[:, 2] / rule.axial_um**2
    # The gate is a cylinder; inside it the distance in all three dimensions decides between partners.
    return np.where((lateral <= 1.0) & (axial <= 1.0), (lateral + axial) / 2, np.inf)


def _near(left: _Ends, right: _Ends, gap: int, rule: LinkRule) -> tuple[Ints, Ints]:
    """Pairs `gap` frames apart that may lie inside the gate (and some that do not).

    √(σ₁² + σ₂²) ≤ √2 max(σ₁, σ₂): every pair is found if each member is searched within √2 of its own σ.
    Members of similar σ are searched together, so that one row of large σ does not widen every search.
    """
    if rule.radius_um is not None and rule.axial_um is not None:
        scale = np.array([rule.radius_um, rule.radius_um, rule.axial_um])
        return pairs_within(left.scaled(scale), right.scaled(scale), 2.0**0.5, frames_later=gap)
    scale = np.sqrt(np.median(np.concatenate([left.variance, right.variance]), axis=0))
    sigma = [np.sqrt((ends.variance / scale**2).max(axis=1)) for ends in (left, right)]
    octave = [np.ceil(np.log2(each)) for each in sigma]
    keys = []
    for side in (0, 1):
        for step in np.unique(octave[side]):
            rows = np.flatnonzero(octave[side] == step)
            radius = float(2.0**step) * (2.0 * GATE) ** 0.5
            if side == 0:
                some, all_right = left.take(rows).scaled(scale), right.scaled(scale)
                i, j = pairs_within(some, all_right, radius, frames_later=gap)
                i = rows[i]
            else:
                all_left, some = left.scaled(scale), right.take(rows).scaled(scale)
                i, j = pairs_within(all_left, some, radius, frames_later=gap)
                j = rows[j]
            keys.append(i * len(right.frame) + j)
    key = np.unique(np.concatenate(keys))
    return key // len(right.frame), key % len(right.frame)
