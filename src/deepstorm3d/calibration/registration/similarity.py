"""The rotation, scale, shift and mirror that most rows of two channels agree on, without any start.

Two candidates for partners (rows of the same frame) fix a similarity: the vector between the two positions of
the first channel becomes that of the second. Of all pairs of candidates the right ones vote for the same
rotation and scale, wrong ones for any. For each of these the shift is taken that most candidates agree on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .points import Points

__all__ = ["Candidates", "Similarity", "Turns", "candidates_of", "quarter_turns", "similarities", "voted_turns"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Complex = NDArray[np.complex128]
Turns = Callable[[Complex, Complex, float], Iterator[complex]]
"""Gives rotations (times scale) for candidates p, q (C,) and the least distance of two that tell a rotation."""

# Candidates at most; frames are left out beyond.
_MOST_CANDIDATES = 400_000
# Pairs of candidates that vote for rotation and scale.
_VOTES = 3_000_000
# Bins of the rotation over the full turn.
_TURNS = 480
# Bins of the scale, each 2 % wide, around 1.
_SCALES = 21
_SCALE_STEP = 0.02
# Two positions of the first channel tell a rotation if they lie apart by this share of the field.
_BASELINE = 0.15
# Rotations and scales whose shift is looked for, of each sense.
_LOOKED_AT = 12
# A bin of the shift over half the field: what half a bin of rotation moves its edge by.
_SHIFT_BIN = 0.006
# The least bin of the shift, µm.
_LEAST_BIN_UM = 0.25


class Candidates(NamedTuple):
    """Rows of the first and the second list that share a frame: (C,) each."""

    first: Ints
    second: Ints


class Similarity(NamedTuple):
    """q = turn · p + shift in the complex plane; p is mirrored in x before where `mirrored`.

    turn: scale and rotation;  shift: µm;  width_um: how far partners may be from where it says;  votes: σ by
    which the shift stands out among all.
    """

    turn: complex
    shift: complex
    mirrored: bool
    width_um: float
    votes: float

    def matrix(self) -> Floats:
        """The linear part, (2, 2)."""
        a, b = self.turn.real, self.turn.imag
        turned = np.array([[a, -b], [b, a]])
        return turned * np.array([[-1.0, 1.0]]) if self.mirrored else turned

    def offset(self) -> Floats:
        """The shift, (2,) µm."""
        return np.array([self.shift.real, self.shift.imag])


def candidates_of(first: Points, second: Points, *, rng: np.random.Generator) -> Candidates:
    """All couples of rows of the same frame, of as many frames as keeps their number below the limit.

    A single frame with more of them gives those of some rows of the first list, drawn at random.
    """
    frames, counts = _common_frames(first.frame, second.frame)
    products = counts[:, 0] * counts[:, 1]
    order = rng.permutation(len(frames))
    kept = np.sort(order[: max(1, int(np.searchsorted(np.cumsum(products[order]), _MOST_CANDIDATES, "right")))])
    one, other = [], []
    by_first, by_second = _rows_by_frame(first.frame), _rows_by_frame(second.frame)
    for frame in frames[kept].tolist():
        rows, partners = by_first[frame], by_second[frame]
        most = max(8, _MOST_CANDIDATES // len(partners))
        if len(rows) > most:
            rows = np.sort(rng.choice(rows, most, replace=False))
        one.append(np.repeat(rows, len(partners)))
        other.append(np.tile(partners, len(rows)))
    if not one:
        return Candidates(np.zeros(0, np.int64), np.zeros(0, np.int64))
    return Candidates(np.concatenate(one), np.concatenate(other))


def _common_frames(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """Frames with rows in both lists, (F,), and how many, (F, 2)."""
    one, of_one = np.unique(first, return_counts=True)
    other, of_other = np.unique(second, return_counts=True)
    frames, at, there = np.intersect1d(one, other, assume_unique=True, return_indices=True)
    return frames, np.stack([of_one[at], of_other[there]], axis=1)


def _rows_by_frame(frame: Ints) -> dict[int, Ints]:
    order = np.argsort(frame, kind="stable")
    values, starts = np.unique(frame[order], return_index=True)
    return dict(zip(values.tolist(), np.split(order, starts[1:]), strict=True))


def similarities(
    first: Points, second: Points, found: Candidates, *, mirrored: bool | None, turns: Turns
) -> list[Similarity]:
    """The similarity of each turn with the shift that most candidates agree on, what stands out most first.

    mirrored: None where both senses are possible.  Empty where there are no candidates.
    """
    if not len(found.first):
        return []
    p, q = _plane(first.xy[found.first]), _plane(second.xy[found.second])
    extent = max(float(np.ptp(first.xy, axis=0).max()), 1e-6)
    looked: list[Similarity] = []
    for sense in (False, True) if mirrored is None else (mirrored,):
        source = -p.conj() if sense else p
        for turn in turns(source, q, _BASELINE * extent):
            looked.append(_shift(source, q, turn, sense, max(_LEAST_BIN_UM, _SHIFT_BIN * extent / 2)))
    return sorted(looked, key=lambda each: -each.votes)


def _plane(xy: Floats) -> Complex:
    return xy[:, 0] + 1j * xy[:, 1]


def quarter_turns(p: Complex, q: Complex, baseline: float) -> Iterator[complex]:
    """Rotations in which cameras stand, without a change of scale."""
    yield from (1, 1j, -1, -1j)


def voted_turns(p: Complex, q: Complex, baseline: float) -> Iterator[complex]:
    """Rotation times scale that pairs of candidates p, q (C,) vote for, those with most votes first.

    baseline: positions of the first channel nearer to each other do not vote, µm.
    """
    count = len(p)
    if count * (count - 1) // 2 <= _VOTES:
        one, other = np.triu_indices(count, 1)
    else:
        one, other = np.random.default_rng(0).integers(0, count, (2, _VOTES))
    u, v = p[one] - p[other], q[one] - q[other]
    far = (np.abs(u) > baseline) & (np.abs(v) > 0)
    turn = v[far] / u[far]
    scale = np.log(np.abs(turn)) / _SCALE_STEP + _SCALES / 2
    angle = np.angle(turn) / (2 * np.pi) * _TURNS % _TURNS
    inside = (scale >= 0) & (scale < _SCALES)
    cell = scale[inside].astype(np.int64) * _TURNS + angle[inside].astype(np.int64) % _TURNS
    votes = np.bincount(cell, minlength=_SCALES * _TURNS).reshape(_SCALES, _TURNS).astype(np.float64)
    votes = votes + np.roll(votes, 1, 1) + np.roll(votes, -1, 1)
    padded = np.pad(votes, ((1, 1), (0, 0)))
    votes = padded[:-2] + padded[1:-1] + padded[2:]
    for _ in range(_LOOKED_AT):
        row, column = np.unravel_index(int(np.argmax(votes)), votes.shape)
        if votes[row, column] <= 0:
            return
        size = np.exp((row + 0.5 - _SCALES / 2) * _SCALE_STEP)
        yield complex(size * np.exp(2j * np.pi * (column + 0.5) / _TURNS))
        votes[max(0, row - 2) : row + 3, (np.arange(-2, 3) + column) % _TURNS] = 0


def _shift(p: Complex, q: Complex, turn: complex, mirrored: bool, bin_um: float) -> Similarity:
    """The shift that most candidates agree on at one rotation and scale."""
    from scipy.ndimage import uniform_filter

    left = q - turn * p
    column = np.floor((left.real - left.real.min()) / bin_um).astype(np.int64) + 2
    row = np.floor((left.imag - left.imag.min()) / bin_um).astype(np.int64) + 2
    shape = int(row.max()) + 3, int(column.max()) + 3
    votes = (
        np.bincount(row * shape[1] + column, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    )
    near = 9 * uniform_filter(votes, 3, mode="constant")
    wide = (225 * uniform_filter(votes, 15, mode="constant") - near) * 9 / 216
    contrast = (near - wide) / np.sqrt(np.maximum(wide, 0) + 1)
    at = np.unravel_index(int(np.argmax(contrast)), shape)
    close = (np.abs(row - at[0]) <= 1) & (np.abs(column - at[1]) <= 1)
    shift = complex(np.median(left[close].real) + 1j * np.median(left[close].imag))
    return Similarity(turn, shift, mirrored, 2 * bin_um, float(contrast[at]))
