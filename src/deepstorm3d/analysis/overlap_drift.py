"""Drift from the localizations themselves: the smooth curve for which the list overlaps best with itself.

The curve is a cubic spline, found from coarse to fine. The first steps use a wide kernel and pairs near in
time, which follow even a large drift. Later steps use all pairs and narrower kernels, down to the σ of the
localizations. The number of segments is chosen by cross-validation between two halves of the field: a curve
fitted to one half must also increase the overlap of the other. The σ of the curve follows from the difference
between the curves of the two halves, which are found independently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ..emitters import Localizations, knows
from ..errors import InputError
from ..watch import SILENT, Watcher
from .drift import DriftCurve
from .overlap import Pairs, align, near_pairs, spline_basis

__all__ = ["DriftEstimate", "check_enough", "chequerboard", "estimate_drift", "typical_sigma"]

Floats = NDArray[np.float64]

# Seed of the random choice of localizations.
_SEED = 1
# Kernel width of the first stage, µm: neighbouring segments must have moved less than this.
_WIDEST_UM = 0.3
# Kernel width of the last stage, in σ.
_FINEST = 1.5
# Most pairs used in the coarse stages.
_COARSE_PAIRS = 300_000
# Most pairs used to choose the number of segments, and in the first round of the last stage.
_TRIAL_PAIRS = 1_000_000
# Most pairs used for the final curve.
_FINE_PAIRS = 4_000_000
# Segments of the coarse curve.
_COARSE_SEGMENTS = 100
# Numbers of segments that are tried for the final curve.
_TRIED_SEGMENTS = (6, 12, 25, 50, 100, 200, 400)
# Fewest localizations for each segment.
_LOCALIZATIONS_PER_SEGMENT = 40
# Fewest frames for each segment.
_FRAMES_PER_SEGMENT = 4
# Side of the squares that divide the field into two halves, µm.
_TILE_UM = 1.0
# Most rounds of the last stage; in each one pairs are searched again around the last curve.
_FINE_ROUNDS = 6
# The rounds end when the curve moves by less than this, rms, in σ.
_SETTLED = 0.05
# σ of x, y, z where the list states none, µm.
_UNKNOWN_UM = (0.015, 0.015, 0.03)
# Fewest localizations from which a drift is estimated.
_FEWEST = 50


@dataclass(frozen=True)
class DriftEstimate:
    """A drift curve, and the data it is based on.

    segments: of the spline;  pairs: number of near pairs of localizations from different frames, finest stage.
    """

    curve: DriftCurve
    segments: int
    pairs: int


def check_enough(table: Localizations, frames: int, segments: int | None) -> None:
    """Raise InputError if there are too few localizations or frames for any method to estimate a drift."""
    count = len(table)
    seen = len(table.frame.unique()) if count else 0
    if count < _FEWEST or seen < 2 * _FRAMES_PER_SEGMENT:
        raise InputError(
            f"{count} localizations in {seen} frames are too few to estimate a drift; at least {_FEWEST} "
            f"localizations in {2 * _FRAMES_PER_SEGMENT} frames are needed, and thousands for an accurate curve"
        )
    if segments is not None and not 1 <= segments <= frames // _FRAMES_PER_SEGMENT:
        raise InputError(
            f"{segments} segments for {frames} frames; choose 1 to {frames // _FRAMES_PER_SEGMENT} "
            f"(at least {_FRAMES_PER_SEGMENT} frames each)"
        )


def chequerboard(xyz: Floats) -> NDArray[np.bool_]:
    """Which positions (N, 3) µm, drift subtracted, lie on the black squares (1 µm) of a chequerboard.

    A molecule stays on its square in all its frames, so the two halves of a list are independent.
    """
    return np.floor(xyz[:, :2] / _TILE_UM).sum(1) % 2 == 0


def typical_sigma(table: Localizations) -> Floats:
    """Median σ of x, y, z (3,), µm, of the rows that know it; 15, 15 and 30 nm where none does."""
    sigma = table.sigma_xyz.cpu().double()
    known = [column[knows(column)].numpy() for column in sigma.T]
    return np.array(
        [
            max(float(np.median(column)), 0.002) if len(column) else guess
            for column, guess in zip(known, _UNKNOWN_UM, strict=True)
        ]
    )


def estimate_drift(
    table: Localizations,
    frames: int,
    *,
    segments: int | None = None,
    watch: Watcher = SILENT,
) -> DriftEstimate:
    """Estimate the drift in x, y and z over a movie with this number of frames.

    segments: of the spline; None: chosen by cross-validation between the halves of the field;
    watch: receives the steps done, their total, and the name of the current step.
    Raises InputError for fewer than 50 localizations, fewer than 8 frames with localizations, or more segments
    than the frames support. Drift above about 0.2 µm within a hundredth of the movie, or 3 µm in all, may be
    missed.
    """
    check_enough(table, frames, segments)
    progress = _Progress(watch)
    whole = _Search.of(table, frames, progress)
    tried = whole.bearable() if segments is None else [segments]
    progress.steps = 3 * len(whole.stages()) + (len(tried) if len(tried) > 1 else 0) + 3
    shift = whole.coarse()
    halves = whole.halves(shift)
    best = _choose(halves, shift, tried, progress) if len(tried) > 1 else tried[0]
    shift, pairs = whole.fine(shift, best)
    one, other = (half.fine(half.coarse(), best)[0] for half in halves)
    progress.say("")
    # The curve of a half has twice the variance of the whole, so half the difference of both has its σ.
    spread = np.sqrt(gaussian_filter1d((one - other) ** 2, 1.5 * frames / best, axis=0, mode="nearest")) / 2
    return DriftEstimate(DriftCurve(np.arange(frames), shift * whole.sigma, spread * whole.sigma), best, pairs)


def _choose(halves: tuple[_Search, _Search], shift: Floats, tried: Sequence[int], progress: _Progress) -> int:
    """The number of segments whose curve from one half of the field fits the other half best."""
    pairs = [half.pairs(shift, _TRIAL_PAIRS) for half in halves]
    gains = []
    for segments in tried:
        progress.say(f"{segments} segments")
        one, other = (half.aligned(near, shift, segments) for half, near in zip(halves, pairs, strict=True))
        gains.append(pairs[0].overlap(other, _FINEST)[0] + pairs[1].overlap(one, _FINEST)[0])
    return tried[int(np.argmax(gains))]


class _Progress:
    """Counts the steps of an estimate and reports each."""

    def __init__(self, watch: Watcher) -> None:
        self.steps = self._done = 0
        self._watch = watch

    def say(self, what: str) -> None:
        self._watch.progress(self._done, self.steps, what)
        self._done += 1


@dataclass(frozen=True)
class _Search:
    """The search for the curve of a list, or of half of it, from coarse to fine; shifts (F, 3), σ, have mean 0.

    place: positions (N, 3), σ;  frame: (N,);  sigma: (3,) µm;  frames: number of frames in the movie.
    """

    place: Floats
    frame: NDArray[np.int64]
    sigma: Floats
    frames: int
    progress: _Progress

    @classmethod
    def of(cls, table: Localizations, frames: int, progress: _Progress) -> _Search:
        sigma = typical_sigma(table)
        return cls(table.xyz.cpu().double().numpy() / sigma, table.frame.cpu().numpy(), sigma, frames, progress)

    def bearable(self) -> list[int]:
        """Numbers of segments worth trying for this number of localizations and frames."""
        limit = min(len(self.place) // _LOCALIZATIONS_PER_SEGMENT, self.frames // _FRAMES_PER_SEGMENT)
        return [number for number in _TRIED_SEGMENTS if number <= limit] or [1]

    def stages(self) -> list[tuple[float, float | None]]:
        """Kernel width (σ) and greatest time between pairs (frames; None: any) of each coarse step."""
        widths = [max(_WIDEST_UM / float(self.sigma.min()), _FINEST)]
        while widths[-1] / 2 > _FINEST:
            widths.append(widths[-1] / 2)
        growing, span = [], 2.0 * self.frames / _COARSE_SEGMENTS
        while span < self.frames:
            growing.append((widths[0], span))
            span *= 2
        return [*growing, (widths[0], None), *((width, None) for width in widths)]

    def coarse(self) -> Floats:
        """The curve to within a few σ, from an initial guess of 0."""
        segments = max(min(_COARSE_SEGMENTS, len(self.place) // 80, self.frames // _FRAMES_PER_SEGMENT), 1)
        basis = spline_basis(self.frames, segments)
        knots = np.zeros((segments + 3, 3))
        for width, within in self.stages():
            self.progress.say("coarse curve")
            pairs = self.pairs(basis @ knots, _COARSE_PAIRS, width, within)
            knots = align(pairs, basis, knots, width)
        return _centred(basis @ knots)

    def halves(self, shift: Floats) -> tuple[_Search, _Search]:
        """The localizations on the black and on the white squares of the field."""
        black = chequerboard((self.place - shift[self.frame]) * self.sigma)
        return self._rows(black), self._rows(~black)

    def fine(self, shift: Floats, segments: int) -> tuple[Floats, int]:
        """The curve of these localizations at the finest stage, and the number of pairs it is based on."""
        self.progress.say("fine curve")
        number = 0
        for turn in range(_FINE_ROUNDS):
            # Most of the way is made in the first round, which needs no precision.
            pairs = self.pairs(shift, _FINE_PAIRS if turn else _TRIAL_PAIRS)
            before, shift, number = shift, self.aligned(pairs, shift, segments), len(pairs)
            if turn and float(np.sqrt(np.mean((shift - before) ** 2))) < _SETTLED:
                break
        return shift, number

    def aligned(self, pairs: Pairs, shift: Floats, segments: int) -> Floats:
        """The curve with this number of segments near `shift` that has the greatest overlap."""
        basis = spline_basis(self.frames, segments)
        start = np.linalg.solve((basis.T @ basis).toarray(), basis.T @ shift)
        return _centred(basis @ align(pairs, basis, start, _FINEST))

    def pairs(self, shift: Floats, most: int, width: float = _FINEST, within: float | None = None) -> Pairs:
        rng = np.random.default_rng(_SEED)
        return near_pairs(self.place, self.frame, shift, width, most=most, rng=rng, within=within)

    def _rows(self, rows: NDArray[np.bool_]) -> _Search:
        return replace(self, place=self.place[rows], frame=self.frame[rows])


def _centred(shift: Floats) -> Floats:
    return shift - shift.mean(0)
