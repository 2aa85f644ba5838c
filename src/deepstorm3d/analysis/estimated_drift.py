"""The drift of a list, estimated from the list itself, with warnings where it may not be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..brief import Brief
from ..emitters import Localizations
from ..errors import InputError
from ..watch import SILENT, Watcher
from .drift import DriftCurve, refuse_linked
from .merging import one_row_each
from .overlap_drift import DriftEstimate, estimate_drift, typical_sigma

__all__ = ["Drift", "doubts_of_curve", "drift_of"]

# Pairs for each segment of the curve, below which the curve gets a warning.
_FEW_PAIRS_PER_SEGMENT = 30
# Pairs for each knot of the curve (segments + 3), below which there is none. Molecules that have nothing to do
# with each other give 0.5 to 1.6 by chance, as the search moves them about; short lists of a structure 6 to 8.
_FEWEST_PAIRS_PER_KNOT = 3
# Segments of the curve from which on one in which it changes far more than in the others is told: its change in
# σ of a localization, and in medians of the changes in all segments.
_FEWEST_SEGMENTS = 6
_JUMP_SIGMA = 3.0
_JUMP_MEDIANS = 8.0


@dataclass(frozen=True, repr=False)
class Drift(Brief):
    """How a specimen moved during a movie.

    curve: of all frames;  segments: number of segments of the smooth curve;  notes: reasons why it may not be
    trusted, empty if there are none.
    """

    curve: DriftCurve
    segments: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """From the least to the greatest drift, and how well it is known, in one line."""
        reach, sigma = (", ".join(f"{each:.1f}" for each in three) for three in (self.reach_nm, self.sigma_nm))
        return (
            f"drift of {reach} nm in x, y, z over {len(self.curve.frames)} frames, known to {sigma} nm "
            f"({self.segments} segments)"
        )

    def apply(self, table: Localizations) -> Localizations:
        """The list with the drift subtracted."""
        return self.curve.apply(table)

    @property
    def reach_nm(self) -> tuple[float, float, float]:
        """From the least to the greatest drift in x, y, z, nm."""
        x, y, z = 1000 * np.ptp(self.curve.shift_um, axis=0)
        return float(x), float(y), float(z)

    @property
    def sigma_nm(self) -> tuple[float, float, float]:
        """σ of the curve in x, y, z, rms over the movie, nm."""
        return _rms_nm(self.curve)


def drift_of(
    table: Localizations,
    *,
    frames: int = 0,
    segments: int | None = None,
    frames_per_segment: int | None = None,
    watch: Watcher = SILENT,
) -> Drift:
    """Estimate the drift of a list (`overlap_drift.estimate_drift`) over a movie of at least `frames` frames.

    segments, frames_per_segment: of the smooth curve; give at most one of them; with neither, as many segments
    as the list supports. A molecule that was fitted over several frames counts once, in the middle of its
    frames: its rows share a position, and would say that nothing has moved.
    Raises InputError for a list that is too short to estimate a drift or has too few near pairs, or is linked.
    """
    refuse_linked(table)
    if segments is not None and frames_per_segment is not None:
        raise InputError("give the number of segments or the frames of each, not both")
    # Only the frames that the list covers: the curve cannot be known beyond them.
    first = int(table.frame.min()) if len(table) else 0
    seen = int(table.frame.max()) - first + 1 if len(table) else frames
    if frames_per_segment is not None:
        if frames_per_segment < 1:
            raise InputError(f"a segment has 1 frame or more (`frames_per_segment`), not {frames_per_segment}")
        segments = max(1, round(seen / frames_per_segment))
    once = one_row_each(table)
    if once.detections is not None and table.molecule is not None:
        once = replace(once, frame=once.frame + (once.detections - 1) // 2)
    found = estimate_drift(once.shift(frames=-first), seen, segments=segments, watch=watch)
    _refuse_chance(found)
    found = replace(found, curve=_over_the_movie(found.curve, first, max(frames, first + seen)))
    return Drift(found.curve, found.segments, doubts_of_curve(table, found))


def _refuse_chance(found: DriftEstimate) -> None:
    """Raise InputError for a curve through so few pairs of rows that it would say anything."""
    knots = found.segments + 3
    if found.pairs < _FEWEST_PAIRS_PER_KNOT * knots:
        raise InputError(
            f"the list tells no drift: only {found.pairs} pairs of localizations from different frames lie "
            f"near each other, for a curve through {knots} points",
            "more frames or localizations of the same structure are needed, or fewer segments (`segments`)",
        )


def _over_the_movie(curve: DriftCurve, first: int, frames: int) -> DriftCurve:
    """The curve of the frames from `first` on, extended over the whole movie: constant beyond its ends."""
    beyond = ((first, frames - first - len(curve.frames)), (0, 0))
    shift, sigma = (np.pad(values, beyond, mode="edge") for values in (curve.shift_um, curve.sigma_um))
    return DriftCurve(np.arange(frames), shift, sigma)


def _rms_nm(curve: DriftCurve) -> tuple[float, float, float]:
    x, y, z = 1000 * np.sqrt((curve.sigma_um**2).mean(0))
    return float(x), float(y), float(z)


def doubts_of_curve(table: Localizations, found: DriftEstimate) -> tuple[str, ...]:
    """Reasons why a curve may not be trusted; table: the list that it was estimated from."""
    notes = []
    sigma, typical = np.array(_rms_nm(found.curve)), 1000 * typical_sigma(table)
    moved = 1000 * found.curve.shift_um.std(0)
    few = found.pairs < _FEW_PAIRS_PER_SEGMENT * found.segments
    if (sigma > typical).any():
        told, known, drift = (" · ".join(f"{value:.0f}" for value in each) for each in (sigma, typical, moved))
        harmful = few or bool(((sigma > typical) & (sigma > moved)).any())
        harm = "; the correction may do more harm than good" if harmful else ""
        notes.append(
            f"the two halves of the field, each alone, disagree: σ of the curve {told} nm in x · y · z, of a "
            f"localization {known} nm, of the drift itself {drift} nm{harm}. More localizations or fewer "
            "segments help"
        )
    if few:
        notes.append(
            f"only {found.pairs} pairs of localizations from different frames lie near each other, for "
            f"{found.segments} segments of the curve: too few to trust the curve or its σ"
        )
    return (*notes, *_jump(found, typical))


def _jump(found: DriftEstimate, typical: NDArray[np.float64]) -> list[str]:
    """That the curve changes in one segment as it does in no other: a smooth curve cannot follow a jump.

    typical: σ of a localization, nm.
    """
    curve, count = found.curve, found.segments
    if count < _FEWEST_SEGMENTS or len(curve.frames) <= count:
        return []
    ends = np.linspace(0, len(curve.frames) - 1, count + 1).round().astype(int)
    change = 1000 * np.abs(np.diff(curve.shift_um[ends], axis=0))
    usual = np.median(change, axis=0)
    excess = change / np.maximum(_JUMP_SIGMA * typical, _JUMP_MEDIANS * usual)
    if excess.max() <= 1:
        return []
    where, axis = np.unravel_index(excess.argmax(), excess.shape)
    first, last = (int(curve.frames[ends[k]]) for k in (max(where - 1, 0), min(where + 2, count)))
    return [
        f"between frames {first} and {last} the drift changes in {'xyz'[axis]} by {change[where, axis]:.0f} nm "
        f"within one of the {count} segments of the curve, in half of them by {usual[axis]:.1f} nm or less: if "
        "the sample jumped there, the smooth curve is wrong by up to half of the jump in the frames beside "
        "it, which its σ does not say; leave these frames out, or estimate the drift before and after apart"
    ]
