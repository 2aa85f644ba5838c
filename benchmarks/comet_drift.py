"""Drift by COMET (Reinkensmeier & Bates 2026, doi:10.64898/2026.03.27.714864), to compare ours with.

Needs comet-smlm: ``pip install comet-smlm``.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from deepstorm3d.analysis.drift import DriftCurve
from deepstorm3d.analysis.overlap_drift import DriftEstimate, check_enough, chequerboard
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.watch import SILENT, Watcher

__all__ = ["comet_drift"]

Floats = NDArray[np.float64]

# Pairs further apart are not sought: the greatest difference of drift within the movie that is found.
_REACH_NM, _FIRST_NM, _LAST_NM = 600.0, 100.0, 10.0
# Bounds the number of pairs, which grows with the square of a segment's localizations.
_MOST_PER_SEGMENT = 300
_SEGMENTS, _FRAMES_PER_SEGMENT = 50, 4
_SEED = 1


def comet_drift(
    table: Localizations, frames: int, *, segments: int | None = None, watch: Watcher = SILENT
) -> DriftEstimate:
    """Estimate the drift with COMET's processor backend; its σ from halves of the field.

    Arguments and errors as in `overlap_drift.estimate_drift`, and InputError where COMET finds no curve.
    segments: None: 50.
    """
    check_enough(table, frames, segments)
    run = importlib.import_module("comet").comet_run_kd
    wanted = min(segments or _SEGMENTS, frames // _FRAMES_PER_SEGMENT)
    place, frame = 1000 * table.xyz.cpu().double().numpy(), table.frame.cpu().numpy()
    steps = ("all localizations", "first half of the field", "second half of the field")
    curves, pairs = [], []
    shift = np.zeros((frames, 3))
    for index, step in enumerate(steps):
        watch.progress(index, len(steps), step)
        rows = np.ones(len(frame), dtype=np.bool_)
        if index:
            rows = chequerboard((place - shift[frame]) / 1000) == (index == 1)
        curve, details = _one_run(run, np.column_stack([place, frame])[rows], frames, wanted)
        curves.append(curve)
        pairs.append(details.n_pairs)
        shift = curves[0]
    watch.progress(len(steps), len(steps))
    apart = gaussian_filter1d((curves[1] - curves[2]) ** 2, 1.5 * frames / wanted, axis=0, mode="nearest")
    curve = DriftCurve(np.arange(frames), shift / 1000, np.sqrt(apart) / 2000)
    return DriftEstimate(curve, wanted, int(pairs[0]))


def _one_run(run: Any, rows: Floats, frames: int, segments: int) -> tuple[Floats, Any]:
    """The curve (F, 3) nm, its mean 0, and what COMET says of the run."""
    seen = len(np.unique(rows[:, 3]))
    try:
        drift, details = run(
            rows,
            segmentation_mode=2,
            segmentation_var=max(1, seen // segments),
            max_locs_per_segment=_MOST_PER_SEGMENT,
            initial_sigma_nm=_FIRST_NM,
            target_sigma_nm=_LAST_NM,
            max_drift_nm=_REACH_NM,
            min_max_frames=(0, frames - 1),
            mode="cpu",
            random_state=_SEED,
            return_details=True,
        )
    except ValueError as error:
        raise InputError(f"COMET finds no drift curve: {error}") from error
    if not np.isfinite(drift).all():
        raise InputError("COMET finds no drift curve: its result is not finite")
    return drift[:, :3] - drift[:, :3].mean(0), details
