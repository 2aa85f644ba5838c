"""Detection and localization figures of a list against the truth: Jaccard, RMSE, bias, efficiency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..emitters import Emitters, Localizations
from .matching import Matches

__all__ = ["FIGURES", "Interval", "Score", "ScoreWithIntervals", "score", "score_with_intervals"]

Interval = tuple[float, float]
Floats = NDArray[np.float64]

FIGURES = (
    ("jaccard", "Jaccard index", 3),
    ("recall", "recall", 3),
    ("precision", "precision", 3),
    ("f1", "F1", 3),
    ("rmse_lateral_nm", "lateral RMSE (nm)", 1),
    ("rmse_axial_nm", "axial RMSE (nm)", 1),
    ("rmse_3d_nm", "3D RMSE (nm)", 1),
    ("bias_x_nm", "bias in x (nm)", 1),
    ("bias_y_nm", "bias in y (nm)", 1),
    ("bias_z_nm", "bias in z (nm)", 1),
    ("efficiency_lateral", "lateral efficiency (%)", 1),
    ("efficiency_axial", "axial efficiency (%)", 1),
    ("efficiency_3d", "3D efficiency (%)", 1),
)
"""The figures for people: name in `Score`, label, digits after the point."""

# Confidence of the intervals.
_CONFIDENCE = 0.95
# Columns of the sums from which every figure is computed: hits, false detections, misses, …
_TP = 0
_FP = 1
_FN = 2
# … Σd and Σd² over the pairs, in x, y, z, nm and nm².
_D = slice(3, 6)
_D2 = slice(6, 9)


@dataclass(frozen=True)
class Score:
    """How complete and how exact a list of localizations is.

    tp, fp, fn: hits, false detections, misses;  ignored_truth, ignored_found: rows that count as
    neither (dim, or in the border);  jaccard = tp / (tp + fp + fn), precision, recall, f1: 0 to 1.
    Where there is nothing to get wrong a fraction is 1: recall without truth, precision without
    detections, jaccard and f1 without either.

    In nm over the pairs, detection minus truth; None where there is no pair: rmse_lateral is
    sqrt(mean(dx² + dy²)), the full lateral distance (not divided by √2); rmse_axial, rmse_x,
    rmse_y, rmse_3d; bias_x, bias_y, bias_z the means.
    Efficiency in per cent as in the SMLM challenge (Sage et al. 2019): 100 − sqrt((100 − J)² +
    (α·RMSE)²), J the Jaccard index in per cent, α = 1 / nm lateral and 0.5 / nm axial; 3D is the
    mean of both. It may fall below 0, and is None where there is no pair.
    """

    tp: int
    fp: int
    fn: int
    ignored_truth: int
    ignored_found: int
    jaccard: float
    precision: float
    recall: float
    f1: float
    rmse_lateral_nm: float | None
    rmse_axial_nm: float | None
    rmse_x_nm: float | None
    rmse_y_nm: float | None
    rmse_3d_nm: float | None
    bias_x_nm: float | None
    bias_y_nm: float | None
    bias_z_nm: float | None
    efficiency_lateral: float | None
    efficiency_axial: float | None
    efficiency_3d: float | None

    def to_mapping(self) -> dict[str, Any]:
        """Plain numbers and None, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class ScoreWithIntervals:
    """A score, with an interval from the bootstrap over frames for each of its real-valued figures.

    intervals: by name of the figure, (low, high), or None where fewer than two frames hold
    anything or the figure is undefined;  confidence: 0 to 1;  frames: those that hold anything.
    """

    score: Score
    intervals: Mapping[str, Interval | None]
    confidence: float
    frames: int

    def to_mapping(self) -> dict[str, Any]:
        """Plain numbers, lists and None, ready for JSON."""
        intervals = {name: None if pair is None else list(pair) for name, pair in self.intervals.items()}
        return {
            **self.score.to_mapping(),
            "frames": self.frames,
            "confidence": self.confidence,
            "intervals": intervals,
        }


def score(truth: Emitters, found: Localizations, matches: Matches) -> Score:
    """All figures over all frames; positions in µm, figures in nm (see `Score`)."""
    return _score_of(_sums_by_frame(truth, found, matches).sum(axis=0), matches)


def score_with_intervals(
    truth: Emitters,
    found: Localizations,
    matches: Matches,
    generator: np.random.Generator,
    *,
    resamples: int = 1000,
) -> ScoreWithIntervals:
    """All figures with 95 % percentile intervals by the bootstrap over frames.

    Whole frames are drawn with replacement, because the molecules of one frame share their noise and
    their density. Frames without truth and detections add nothing and are not drawn. A figure
    that is the same in every frame (no error at all) gets an interval of width 0.
    """
    if resamples < 1:
        raise ValueError(f"need resamples >= 1, got {resamples}")
    sums = _sums_by_frame(truth, found, matches)
    overall, frames = _score_of(sums.sum(axis=0), matches), len(sums)
    if frames < 2:
        intervals: dict[str, Interval | None] = dict.fromkeys(_figures(np.zeros((1, 9))))
        return ScoreWithIntervals(overall, intervals, _CONFIDENCE, frames)
    drawn = np.empty((resamples, sums.shape[1]))
    for k in range(resamples):
        times = np.bincount(generator.integers(frames, size=frames), minlength=frames)
        drawn[k] = times @ sums
    low, high = 0.5 * (1 - _CONFIDENCE), 0.5 * (1 + _CONFIDENCE)
    intervals = {name: _interval(values, low, high) for name, values in _figures(drawn).items()}
    return ScoreWithIntervals(overall, intervals, _CONFIDENCE, frames)


def _sums_by_frame(truth: Emitters, found: Localizations, matches: Matches) -> Floats:
    """(F, 9) for each frame that holds anything: tp, fp, fn, Σd and Σd² in nm for x, y, z."""
    t, f = _numbers(matches.truth_index), _numbers(matches.found_index)
    missed, false = ~_numbers(matches.truth_ignored), ~_numbers(matches.found_ignored)
    missed[t], false[f] = False, False
    truth_frame, found_frame = _numbers(truth.frame), _numbers(found.frame)
    offset = 1000.0 * (_numbers(found.xyz)[f].astype(float) - _numbers(truth.xyz)[t].astype(float))
    parts = [truth_frame[t], found_frame[false], truth_frame[missed]]
    frames, where = np.unique(np.concatenate(parts), return_inverse=True)
    hit, wrong, lost = np.split(where, np.cumsum([len(part) for part in parts[:-1]]))
    columns = [np.bincount(rows, minlength=len(frames)) for rows in (hit, wrong, lost)]
    columns += [np.bincount(hit, weights=d, minlength=len(frames)) for d in (*offset.T, *(offset**2).T)]
    return np.stack(columns, axis=1).astype(float)


def _numbers(column: Tensor) -> NDArray[Any]:
    return column.detach().cpu().numpy()


def _figures(sums: Floats) -> dict[str, Floats]:
    """Every real-valued figure from sums (B, 9); NaN where there is no pair."""
    tp, fp, fn = sums[:, _TP], sums[:, _FP], sums[:, _FN]
    pairs = np.where(tp > 0, tp, np.nan)
    bias = sums[:, _D] / pairs[:, None]
    mean_square = sums[:, _D2] / pairs[:, None]
    lateral, axial = np.sqrt(mean_square[:, 0] + mean_square[:, 1]), np.sqrt(mean_square[:, 2])
    jaccard = _fraction(tp, tp + fp + fn)
    efficiency = [100.0 - np.hypot(100.0 * (1.0 - jaccard), error) for error in (lateral, 0.5 * axial)]
    return {
        "jaccard": jaccard,
        "precision": _fraction(tp, tp + fp),
        "recall": _fraction(tp, tp + fn),
        "f1": _fraction(2 * tp, 2 * tp + fp + fn),
        "rmse_lateral_nm": lateral,
        "rmse_axial_nm": axial,
        "rmse_x_nm": np.sqrt(mean_square[:, 0]),
        "rmse_y_nm": np.sqrt(mean_square[:, 1]),
        "rmse_3d_nm": np.sqrt(mean_square.sum(axis=1)),
        "bias_x_nm": bias[:, 0],
        "bias_y_nm": bias[:, 1],
        "bias_z_nm": bias[:, 2],
        "efficiency_lateral": efficiency[0],
        "efficiency_axial": efficiency[1],
        "efficiency_3d": 0.5 * (efficiency[0] + efficiency[1]),
    }


def _fraction(part: Floats, whole: Floats) -> Floats:
    """part / whole, and 1 where there is nothing to get wrong."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), 1.0)


def _score_of(total: Floats, matches: Matches) -> Score:
    values = {name: float(value[0]) for name, value in _figures(total[None]).items()}
    figures: dict[str, Any] = {name: None if np.isnan(value) else value for name, value in values.items()}
    counts = {"tp": round(float(total[_TP])), "fp": round(float(total[_FP])), "fn": round(float(total[_FN]))}
    return Score(
        **counts,
        ignored_truth=int(matches.truth_ignored.sum()),
        ignored_found=int(matches.found_ignored.sum()),
        **figures,
    )


def _interval(values: Floats, low: float, high: float) -> Interval | None:
    defined = values[~np.isnan(values)]
    if len(defined) == 0:
        return None
    bounds = np.quantile(defined, [low, high])
    return float(bounds[0]), float(bounds[1])
