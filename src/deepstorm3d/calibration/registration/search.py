"""The first transform between two channels, from nothing; refused where chance explains it as well."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from ...errors import InputError
from .pairing import Paired, chance_pairs, independent_pairs, log10_chance, paired
from .points import Points
from .similarity import Similarity, candidates_of, quarter_turns, similarities, voted_turns

__all__ = ["GATE_UM", "LEAST_PLACES", "find_start"]

Floats = NDArray[np.float64]

LEAST_PLACES = 6
"""Pairs at different places that an affine transform needs: twice its three points."""

GATE_UM = 0.3
"""Partners lie within this of where a similarity says: room for distortion, µm."""

# Similarities that are refined, of those that stand out most.
_REFINED = 8
# Rounds in which the gate closes, as shares of the width that the search began with.
_CLOSING = (1.0, 1.0, 0.7, 0.5, 0.35, 0.25, 0.25)
# A start is accepted where chance gives as many partners in one of a thousand searches at most.
_LOG10_CHANCE = -3.0
# No other one is looked at where it is below this, and partners are spread over the field …
_BEYOND_DOUBT = -12.0
# … with at least this share of the variance of all rows along every direction.
_SPREAD = 0.5
# Rows of the first list at most with which partners by chance are counted.
_COUNTED = 20_000
# Late starts of one of the cameras that are tried where nothing agrees, frames.
_LATE = (1, -1, 2, -2)


def find_start(first: Points, second: Points, *, mirrored: bool | None, same_frames: bool) -> Similarity:
    """The similarity that takes most rows of the first channel onto rows of the second.

    mirrored: None where it is not known;  same_frames: whether the frames of the two lists belong together
    (False: merged beads).
    Raises InputError where the lists share no frame, have too few rows, or agree no better than chance.
    """
    rng = np.random.default_rng(0)
    if min(len(first), len(second)) < LEAST_PLACES:
        what = "rows" if same_frames else "beads"
        raise InputError(
            f"the first channel has {len(first)} {what} and the second {len(second)}; a transform needs at "
            f"least {LEAST_PLACES} pairs at different places",
            "take more frames, or more beads and fields",
        )
    found = candidates_of(first, second, rng=rng)
    if not len(found.first):
        raise InputError(
            f"the two lists share no frame: the first has frames {_range(first)}, the second {_range(second)}",
            "molecules are paired frame by frame: give lists of the same recording, or say that they are beads "
            "(`beads=True`)",
        )
    trials = _trials(first, second, len(found.first), mirrored)
    best: _Found | None = None
    # Most cameras stand in a quarter turn; what pairs of candidates vote for takes longer to look through.
    for turns in (quarter_turns, voted_turns):
        guesses = similarities(first, second, found, mirrored=mirrored, turns=turns)
        now = _best(first, second, guesses, trials)
        if best is None or now.beyond_chance >= best.beyond_chance:
            best = now
        if best.whole:
            break
    assert best is not None
    if best.start is None:
        raise InputError(
            f"the two channels do not agree: {best.evidence}", _remedy(first, second, mirrored, same_frames)
        )
    return best.start


@dataclass(frozen=True)
class _Found:
    """The best similarity of a search.

    start: None where chance explains its partners;  beyond_chance: partners more than by chance, −∞ without a
    start;  whole: whether they are spread over the field;  evidence: the numbers.
    """

    start: Similarity | None = None
    beyond_chance: float = -np.inf
    whole: bool = False
    evidence: str = "no two rows can be partners"


def _best(
    first: Points, second: Points, guesses: list[Similarity], trials: float, limit: float = _LOG10_CHANCE
) -> _Found:
    """The similarity with most partners of those whose partners chance does not explain.

    A wrong one can have more than chance gives too: turned by some degrees it agrees with the right one around
    a point, and a mirror with a half turn along a line.
    """
    rng = np.random.default_rng(0)
    chosen = _sample(first, second, rng)
    second = second.rows(np.isin(second.frame, np.unique(chosen.frame)))
    best, least = _Found(), np.inf
    for guess in guesses[:_REFINED]:
        refined = _refined(chosen, second, guess)
        moved = chosen.xy @ refined.matrix().T + refined.offset()
        pairs = paired(moved, chosen, second, GATE_UM)
        by_chance = chance_pairs(moved, chosen, second, GATE_UM, rng)
        places = independent_pairs(chosen.xy[pairs.first], chosen.frame[pairs.first], GATE_UM)
        # Partners by chance repeat in as many frames as the others do.
        chance = log10_chance(places, by_chance * places / max(len(pairs), 1), trials)
        evidence = (
            f"at the best of all rotations, scales and shifts {len(pairs)} of {len(chosen)} rows have a "
            f"partner within {1000 * GATE_UM:.0f} nm, at {places:.0f} places, and {by_chance:.1f} have one "
            "by chance"
        )
        if chance < limit and places >= LEAST_PLACES:
            beyond = len(pairs) - by_chance
            if beyond > best.beyond_chance:
                best = _Found(refined, beyond, _are_spread(moved, pairs, second, by_chance), evidence)
        elif best.start is None and chance < least:
            best = _Found(evidence=evidence)
        least = min(least, chance)
        if best.whole and least < _BEYOND_DOUBT:
            break
    return best


def _are_spread(moved: Floats, pairs: Paired, second: Points, by_chance: float) -> bool:
    """Whether partners beyond chance are spread like the rows that lie within the second list's field.

    moved: (N, 2) µm, the first list's rows in the second channel.  Partners by chance are spread as those are.
    """
    inside = ((moved >= second.xy.min(0)) & (moved <= second.xy.max(0))).all(1)
    true = len(pairs) - by_chance
    if true < LEAST_PLACES or int(inside.sum()) < LEAST_PLACES:
        return False
    middle = moved[inside].mean(0)
    scatter = [np.cov(each.T) for each in (moved[inside], moved[pairs.first])]
    # About their own mean, not that of all rows: a patch is none the wider for lying at the edge.
    alone = (len(pairs) * scatter[1] - by_chance * scatter[0]) / true
    shift = moved[pairs.first].mean(0) - middle
    alone -= by_chance / true * len(pairs) / true * np.outer(shift, shift)
    # Rows on one line have no width that partners could lack.
    width = GATE_UM**2 * np.eye(2)
    return float(eigh(alone + width, scatter[0] + width, eigvals_only=True)[0]) >= _SPREAD


def _sample(first: Points, second: Points, rng: np.random.Generator) -> Points:
    """The first list's rows in frames that the second has too, of so many frames that counting stays quick."""
    shared = np.isin(first.frame, np.unique(second.frame))
    rows = first.rows(shared)
    if len(rows) <= _COUNTED:
        return rows
    frames = rng.permutation(np.unique(rows.frame))
    counts = np.bincount(np.searchsorted(np.sort(frames), rows.frame), minlength=len(frames))
    kept = frames[: max(1, int(np.searchsorted(np.cumsum(counts[np.argsort(np.argsort(frames))]), _COUNTED)))]
    return rows.rows(np.isin(rows.frame, kept))


def _trials(first: Points, second: Points, candidates: int, mirrored: bool | None) -> float:
    """How many similarities were looked through: as two candidates fix, or as the gate tells apart."""
    reach = [float(max(np.ptp(each.xy, axis=0).max(), GATE_UM)) / GATE_UM for each in (first, second)]
    # Shifts over both fields, and turns and scales (± 20 %) that move the edge by one gate.
    apart = sum(reach) ** 2 * (2 * np.pi * reach[0] / 2) * max(1.0, 0.4 * reach[0] / 2)
    return (2 if mirrored is None else 1) * min(candidates * (candidates - 1) / 2, apart)


def _refined(first: Points, second: Points, guess: Similarity) -> Similarity:
    """The similarity through its own partners, the gate closing from its width to that of distortion."""
    now = guess
    for share in _CLOSING:
        gate = max(GATE_UM, share * guess.width_um)
        pairs = paired(first.xy @ now.matrix().T + now.offset(), first, second, gate)
        if len(pairs) < 3:
            break
        now = _through(first, second, pairs, now)
    return now


def _through(first: Points, second: Points, pairs: Paired, before: Similarity) -> Similarity:
    """Least squares for rotation, scale and shift, pairs far from the one before weighing less (Tukey)."""
    p = first.xy[pairs.first, 0] + 1j * first.xy[pairs.first, 1]
    q = second.xy[pairs.second, 0] + 1j * second.xy[pairs.second, 1]
    p = -p.conj() if before.mirrored else p
    off = np.abs(q - before.turn * p - before.shift)
    cut = max(4.7 * 1.2 * float(np.median(off)), 1e-6)
    weight = np.square(np.maximum(1 - np.square(off / cut), 0))
    total = weight.sum()
    middle_p, middle_q = (weight * p).sum() / total, (weight * q).sum() / total
    spread = float((weight * np.abs(p - middle_p) ** 2).sum())
    if spread <= 0:
        return before
    turn = complex((weight * (q - middle_q) * (p - middle_p).conj()).sum() / spread)
    return before._replace(turn=turn, shift=complex(middle_q - turn * middle_p))


def _remedy(first: Points, second: Points, mirrored: bool | None, same_frames: bool) -> str:
    """What to do; where one camera began some frames later, that is told."""
    if mirrored is not None:
        return (
            f"it was said that the second channel is {'' if mirrored else 'not '}mirrored: leave that out "
            "(`mirror`) and both are tried"
        )
    if not same_frames:
        return "are these beads of the same field? Take more of them, or several fields"
    for late in _LATE:
        rng = np.random.default_rng(0)
        moved = replace(second, frame=second.frame + late)
        found = candidates_of(first, moved, rng=rng)
        trials = _trials(first, moved, max(len(found.first), 2), mirrored)
        guesses = similarities(first, moved, found, mirrored=mirrored, turns=quarter_turns)
        if _best(first, moved, guesses, trials, _BEYOND_DOUBT).start is not None:
            side, which = ("later", "first") if late > 0 else ("earlier", "second")
            return (
                f"they agree if the second list's frames are taken {abs(late)} {side}: the {which} camera "
                f"began before the other; leave out its first {abs(late)} frames"
            )
    return (
        "are they of the same recording, frame by frame? Give more frames, or beads that both channels see "
        "(`beads=True`)"
    )


def _range(points: Points) -> str:
    return f"{int(points.frame.min())} to {int(points.frame.max())}"
