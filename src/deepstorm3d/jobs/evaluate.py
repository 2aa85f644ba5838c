"""Evaluate: a list of localizations against the truth, in figures with intervals, and in a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.fit_quality import judge_list
from ..analysis.matching import Matches, match, match_challenge
from ..analysis.metrics import ScoreWithIntervals, score_with_intervals
from ..analysis.point_registration import register_points
from ..emitters import Emitters, Localizations
from ..errors import InputError
from ..extent import Extent, frame_extent
from ..io.parts import claim_name, write_text
from ..io.tables import TableHeader, read_truth_list
from ..plot import truth_figure
from .reading_lists import read_localizations

__all__ = ["Evaluation", "evaluate_table"]

_SEED = 1
TOLERANCE_NM = 150.0


@dataclass(frozen=True)
class Evaluation:
    """Figures of a list, and how they were taken.

    result: the figures with their intervals;  truth_rows, truth_frames, found_rows: what was compared;
    conditions: of the matching, plain values;  notes: what a reader of the figures should know.
    """

    result: ScoreWithIntervals
    truth_rows: int
    truth_frames: int
    found_rows: int
    conditions: Mapping[str, Any]
    notes: list[str]

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        counts = {
            "truth_rows": self.truth_rows,
            "truth_frames": self.truth_frames,
            "found_rows": self.found_rows,
        }
        return {"conditions": dict(self.conditions), **counts, "notes": self.notes, **self.result.to_mapping()}


def evaluate_table(
    locs: Path,
    truth: Path,
    *,
    tolerance_nm: float = TOLERANCE_NM,
    challenge: bool = False,
    min_photons: float = 0.0,
    pixel_nm: float | None = None,
    json_out: Path | None = None,
    plot: Path | None = None,
    register: bool = False,
    overwrite: bool = False,
) -> Evaluation:
    """Match a list with the truth frame by frame and score it, with 95 % intervals over frames.

    tolerance_nm: radius of the ball within which a detection is a hit;  challenge: match as the SMLM
    challenge 2016 does instead (250 nm lateral, 500 nm axial, an outer 450 nm left out);
    min_photons: truth dimmer than this is neither hit nor miss;  pixel_nm: camera pixel in the sample, for
    lists that do not name it;  json_out, plot: files for the figures and for a picture;  register: shift the
    list onto the truth first, as one body in x, y and z; the conditions say by how much.
    """
    for path in (json_out, plot):
        if path is not None:
            claim_name(path, overwrite=overwrite)
    found, header = _read_found(locs, truth, pixel_nm)
    true, true_header = read_truth_list(truth, pixel_um=header.pixel_um)
    conditions = _conditions(locs, truth, tolerance_nm, challenge, min_photons)
    if register:
        found, conditions["shift_nm"] = _registered(true, found)
    field = frame_extent(_shape(header, true), header.pixel_um)
    pairs = _match(true, found, field, tolerance_nm=tolerance_nm, challenge=challenge, min_photons=min_photons)
    result = score_with_intervals(true, found, pairs, np.random.default_rng(_SEED))
    evaluation = Evaluation(
        result=result,
        truth_rows=len(true),
        truth_frames=len(true.frame.unique()),
        found_rows=len(found),
        conditions=conditions,
        notes=[*header.notes, *true_header.notes, *_notes(true, found)],
    )
    if json_out is not None:
        write_text(json_out, json.dumps(evaluation.to_mapping(), indent=2) + "\n")
    if plot is not None:
        truth_figure(true, found, pairs, plot, title=locs.name)
    return evaluation


def _match(
    truth: Emitters,
    found: Localizations,
    field: Extent,
    *,
    tolerance_nm: float,
    challenge: bool,
    min_photons: float,
) -> Matches:
    if challenge:
        return match_challenge(truth, found, field_um=field, min_photons=min_photons)
    return match(truth, found, tolerance_um=tolerance_nm / 1000, min_photons=min_photons)


def _registered(truth: Emitters, found: Localizations) -> tuple[Localizations, list[float]]:
    """The list moved onto the truth, and by how much, nm; all frames vote for one shift."""
    # Frames lie apart by more than a shift may be.
    places = [
        table.xyz.double().numpy() + 1e4 * table.frame.double().numpy()[:, None] * np.array([1.0, 0.0, 0.0])
        for table in (found, truth)
    ]
    shift = register_points(places[0], places[1])
    x, y, z = shift.xyz.tolist()
    return found.shift(xyz=(x, y, z)), [round(1000 * value, 1) for value in (x, y, z)]


def _read_found(locs: Path, truth: Path, pixel_nm: float | None) -> tuple[Localizations, TableHeader]:
    """The list; a pixel size that its file does not name is taken from the truth's file."""
    try:
        return read_localizations(locs, pixel_nm)
    except InputError:
        if pixel_nm is not None or not truth.is_file():
            raise
        try:
            _, header = read_localizations(truth)
        except InputError:
            header = None
        if header is None:
            raise
    return read_localizations(locs, header.pixel_nm)


def _shape(header: TableHeader, truth: Emitters) -> tuple[int, int]:
    """Size of a frame, at least what the truth reaches: a CSV does not tell it."""
    if len(truth) == 0:
        return header.shape
    x, y, _ = (truth.xyz.amax(dim=0) / header.pixel_um).tolist()
    return max(header.shape[0], round(y) + 1), max(header.shape[1], round(x) + 1)


def _conditions(
    locs: Path, truth: Path, tolerance_nm: float, challenge: bool, min_photons: float
) -> dict[str, Any]:
    if challenge:
        rule = "SMLM challenge 2016: 250 nm lateral, 500 nm axial, nearest first, outer 450 nm left out"
    else:
        rule = f"Hungarian, within {tolerance_nm:g} nm in 3D"
    return {"locs": str(locs), "truth": str(truth), "matching": rule, "min_photons": min_photons}


def _notes(truth: Emitters, found: Localizations) -> list[str]:
    """What makes figures mean something else than they seem to."""
    if not len(truth) or not len(found):
        empty = "the truth" if not len(truth) else "the list"
        return [f"{empty} has no rows"]
    verdict = judge_list(found)
    quiet = [verdict.text] if verdict.kind == "too quiet" else []
    first, last = int(truth.frame.min()), int(truth.frame.max())
    begin, end = int(found.frame.min()), int(found.frame.max())
    if end < first or begin > last:
        return [
            *quiet,
            f"no frame in common: truth in frames {first} to {last}, localizations in {begin} to {end} "
            "(counted from 0); do the two belong together?",
        ]
    missed = int(((truth.frame < begin) | (truth.frame > end)).sum())
    if missed > 0.05 * len(truth):
        return [
            *quiet,
            f"{missed} of {len(truth)} true emitters lie in frames before the first or after the last "
            f"localization ({begin} to {end}, counted from 0); they count as missed",
        ]
    return quiet
