"""Drift from the localizations themselves: the smooth curve that lays the list best on itself.

The curve is a cubic spline. It is found from coarse to fine: first with a wide kernel and pairs near in
time, which follows even a large drift step by step; then with all pairs and ever narrower kernels, down to
the localizations' own σ. How many segments the movie bears is decided by halves of the field: a curve
fitted to one half must also lay the other on itself. The curves of the two halves, each found from nothing,
tell the σ of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ..emitters import Localizations
from ..errors import InputError
from ..watch import SILENT, Watcher
from .drift import DriftCurve
from .overlap import Pairs, align, near_pairs, spline_basis

__all__ = ["DriftEstimate", "check_enough", "chequerboard", "estimate_drift", "typical_sigma"]

Floats = NDArray[np.float64]

_SEED = 1
# Kernel of the first stage, µm: neighbouring segments must have moved less. And of the last, in σ.
_WIDEST_UM, _FINEST = 0.3, 1.5
_COARSE_PAIRS, _TRIAL_PAIRS, _FINE_PAIRS = 300_000, 1_000_000, 4_000_000
_COARSE_SEGMENTS, _TRIED_SEGMENTS = 100, (6, 12, 25, 50, 100, 200, 400)
_LOCALIZATIONS_PER_SEGMENT, _FRAMES_PER_SEGMENT = 40, 4
_TILE_UM = 1.0
# Pairs are sought anew around the last curve until it moves by less than this, rms, σ; so often at the most.
_FINE_ROUNDS, _SETTLED = 6, 0.05
# σ of x, y, z where the list states none, µm.
_UNKNOWN_UM = (0.015, 0.015, 0.03)
_FEWEST = 50


@dataclass(frozen=True)
class DriftEstimate:
    """A drift curve, and what it rests on.

    segments: of the spline;  pairs: near pairs of localizations from different frames at the finest scale.
    """

    curve: DriftCurve
    segments: int
    pairs: int


def check_enough(table: Localizations, frames: int, segments: int | None) -> None:
    """Raise InputError where no method could tell a drift: too few localizations or frames for it."""
    count = len(table)
    seen = len(table.frame.unique()) if count else 0
    if count < _FEWEST or seen < 2 * _FRAMES_PER_SEGMENT:
        raise InputError(
            f"{count} localizations in {seen} frames do not tell a drift; at least {_FEWEST} localizations in "
            f"{2 * _FRAMES_PER_SEGMENT} frames are needed, and thousands for an accurate curve"
        )
    if segments is not None and not 1 <= segments <= frames // _FRAMES_PER_SEGMENT:
        raise InputError(
            f"{segments} segments for {frames} frames; choose 1 to {frames // _FRAMES_PER_SEGMENT} "
            f"(at least {_FRAMES_PER_SEGMENT} frames each)"
        )


def chequerboard(xyz: Floats) -> NDArray[np.bool_]:
    """Which positions (N, 3) µm, drift subtracted, lie on black squares of 1 µm.

    A molecule stays on its square in all its frames, so the two halves of a list are independent.
    """
    return np.floor(xyz[:, :2] / _TILE_UM).sum(1) % 2 == 0


def typical_sigma(table: Localizations) -> Floats:
    """Median σ of x, y, z (3,), µm; 15, 15 and 30 nm where the list states none."""
    sigma = table.sigma_xyz.cpu().double().numpy()
    known = [column[column > 0] for column in sigma.T]
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
    """Estimate the drift in x, y and z over a movie of so many frames.

    segments: of the spline; None: tried out, by what one half of the field says of the other;
    watch: told the steps done and in all, and what is being done.
    Raises InputError for fewer than 50 localizations or 8 frames with any, or more segments than frames
    bear. Drift of more than about 0.2 µm within a hundredth of the movie, or 3 µm in all, may be missed.
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
    # Each half knows the curve with twice its variance, so half their difference has the curve's σ.
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
    """Counts the steps of an estimate and says each."""

    def __init__(self, watch: Watcher) -> None:
        self.steps = self._done = 0
        self._watch = watch

    def say(self, what: str) -> None:
        self._watch.progress(self._done, self.steps, what)
        self._done += 1


@dataclass(frozen=True)
class _Search:
    """One list, or a half of it, on its way from coarse to fine; shifts (F, 3) are in σ, their mean is 0.

    place: (N, 3) σ;  frame: (N,);  sigma: (3,) µm;  frames: in the movie.
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
        """Numbers of segments worth trying for this many localizations and frames."""
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
        """The curve to within a few σ, found from nothing."""
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
        """The curve of these localizations at the finest scale, and the number of pairs it rests on."""
        self.progress.say("fine curve")
        number = 0
        for _ in range(_FINE_ROUNDS):
            pairs = self.pairs(shift, _FINE_PAIRS)
            before, shift, number = shift, self.aligned(pairs, shift, segments), len(pairs)
            if float(np.sqrt(np.mean((shift - before) ** 2))) < _SETTLED:
                break
        return shift, number

    def aligned(self, pairs: Pairs, shift: Floats, segments: int) -> Floats:
        """The curve of so many segments nearest to `shift` that has the greatest overlap."""
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
