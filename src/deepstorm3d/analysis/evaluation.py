"""A list of localizations against the truth: matched, and scored with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..brief import Brief
from ..emitters import Emitters, Localizations
from ..errors import InputError, refuse_um
from ..extent import Extent
from .dye_errors import DyeErrors, dye_errors
from .fit_quality import judge_list
from .matching import Matches, match, match_challenge, match_molecules
from .metrics import Score, ScoreWithIntervals, score_with_intervals
from .point_registration import register_points

__all__ = ["TOLERANCE_NM", "Evaluation", "MatchRule", "evaluate_list"]

# Seed of the bootstrap.
_SEED = 1
TOLERANCE_NM = 150.0
"""Radius of the ball within which a detection is a hit, nm, as in the DeepSTORM3D paper."""


@dataclass(frozen=True)
class MatchRule:
    """Rule by which rows of a list are matched with true molecules, frame by frame.

    tolerance_nm: radius of the ball around a molecule within which a detection is a hit;  challenge: match as
    the SMLM challenge 2016 does instead (Sage et al. 2019): 250 nm lateral, 500 nm axial, an outer 450 nm of
    the field left out;  min_photons: true molecules dimmer than this are neither hits nor misses.
    """

    tolerance_nm: float = TOLERANCE_NM
    challenge: bool = False
    min_photons: float = 0.0

    def __post_init__(self) -> None:
        tolerance = self.tolerance_nm
        if not 0 < tolerance < math.inf:
            raise InputError(f"the radius of a hit (`tolerance_nm`) must be above 0 nm, not {tolerance:g}")
        refuse_um("a radius of a hit", tolerance)
        if not 0 <= self.min_photons < math.inf:
            raise InputError(f"the least photons (`min_photons`) are 0 or more, not {self.min_photons:g}")

    def in_words(self, *, border: bool) -> str:
        """The matching in words; border: whether the edges of the frames are known."""
        if self.challenge:
            left_out = "outer 450 nm" if border else "no border"
            return f"SMLM challenge 2016: 250 nm lateral, 500 nm axial, nearest first, {left_out} left out"
        return f"Hungarian, within {self.tolerance_nm:g} nm in 3D"

    def pairs(self, truth: Emitters, found: Localizations, *, field_um: Extent | None = None) -> Matches:
        """Matches of the two tables; field_um: edges of the frames, for `challenge` (None: no border)."""
        if self.challenge:
            return match_challenge(truth, found, field_um=field_um, min_photons=self.min_photons)
        return match(truth, found, tolerance_um=self.tolerance_nm / 1000, min_photons=self.min_photons)

    def molecules(self, truth: Emitters, found: Localizations, rows: Matches) -> Matches:
        """Matches of the molecules over all their frames (`match_molecules`); rows: from `pairs`."""
        reach = (0.25, 0.5) if self.challenge else (self.tolerance_nm / 1000, None)
        return match_molecules(truth, found, rows, lateral_um=reach[0], axial_um=reach[1])


@dataclass(frozen=True, repr=False)
class Evaluation(Brief):
    """Figures of a list, and how they were computed.

    result: the figures with their intervals;  matches: which row is which molecule;  truth_rows, truth_frames,
    found_rows: sizes of the two tables compared;  conditions: settings of the matching, plain values;
    notes: what a reader of the figures should know;  by_molecule: the figures of molecules over all their
    frames, where both tables say which rows are one molecule in several (their intervals are over the frames in
    which molecules begin);  dyes: how many have the wrong dye, where both tables have dyes: of molecules where
    `by_molecule` is known, else of rows.
    """

    result: ScoreWithIntervals
    matches: Matches
    truth_rows: int
    truth_frames: int
    found_rows: int
    conditions: Mapping[str, Any]
    notes: list[str]
    by_molecule: ScoreWithIntervals | None = None
    dyes: DyeErrors | None = None

    @property
    def score(self) -> Score:
        """The figures without their intervals: ``evaluation.score.jaccard``."""
        return self.result.score

    def __str__(self) -> str:
        """The main figures, in two lines; one more each for molecules over their frames and for dyes."""
        score = self.score
        shift = f"RMSE {_nm(score.rmse_lateral_nm)} lateral, {_nm(score.rmse_axial_nm)} axial"
        told = (
            f"{self.truth_rows} molecules, {self.found_rows} localizations ({self.conditions['matching']})\n"
            f"Jaccard {score.jaccard:.3f}, recall {score.recall:.3f}, precision {score.precision:.3f}, {shift}"
        )
        if self.by_molecule is not None:
            whole = self.by_molecule.score
            figures = f"Jaccard {whole.jaccard:.3f}, recall {whole.recall:.3f}"
            told += f"\nby molecule over all its frames: {figures}"
        return told if self.dyes is None else f"{told}\ndyes: {self.dyes}"

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        counts = {
            "truth_rows": self.truth_rows,
            "truth_frames": self.truth_frames,
            "found_rows": self.found_rows,
        }
        whole: dict[str, Any] = {}
        if self.by_molecule is not None:
            whole["by_molecule"] = self.by_molecule.to_mapping()
        if self.dyes is not None:
            whole["dyes"] = self.dyes.to_mapping()
        told = {"conditions": dict(self.conditions), **counts, "notes": self.notes}
        return {**told, **self.result.to_mapping(), **whole}


def evaluate_list(
    found: Localizations,
    truth: Emitters,
    rule: MatchRule | None = None,
    *,
    register: bool = False,
    field_um: Extent | None = None,
) -> Evaluation:
    """Match a list with the truth frame by frame and score it, with 95 % intervals over frames.

    rule: of the matching; None: the one without arguments;  register: first shift the list onto the truth, as
    a rigid body in x, y and z; the conditions state the shift;  field_um: edges of the frames, for the rule of
    the challenge (`extent.frame_extent`; None: no border is left out).
    Raises InputError for positions that are not finite and a tolerance that is not positive.
    """
    rule = MatchRule() if rule is None else rule
    matching = rule.in_words(border=field_um is not None)
    conditions: dict[str, Any] = {"matching": matching, "min_photons": rule.min_photons}
    if register:
        found, conditions["shift_nm"] = _registered(truth, found)
    pairs = rule.pairs(truth, found, field_um=field_um)
    molecules = _molecules(truth, found, pairs, rule)
    return Evaluation(
        result=_scored(truth, found, pairs),
        matches=pairs,
        truth_rows=len(truth),
        truth_frames=len(truth.frame.unique()),
        found_rows=len(found),
        conditions=conditions,
        notes=_notes(truth, found),
        by_molecule=None if molecules is None else _scored(*molecules),
        dyes=dye_errors(*(molecules or (truth, found, pairs))),
    )


def _scored(truth: Emitters, found: Localizations, pairs: Matches) -> ScoreWithIntervals:
    return score_with_intervals(truth, found, pairs, np.random.default_rng(_SEED))


def _molecules(
    truth: Emitters, found: Localizations, rows: Matches, rule: MatchRule
) -> tuple[Emitters, Localizations, Matches] | None:
    """A row for each molecule of both, and their pairs; None where one has molecules of single frames only."""
    if found.molecule is None or len(truth.id.unique()) == len(truth):
        return None
    # A row each, in the order of their numbers.
    true = truth.select(_first_rows(truth.id))
    seen = found.select(_first_rows(found.molecule))
    return true, seen, rule.molecules(truth, found, rows)


def _first_rows(number: Tensor) -> Tensor:
    """The first row of each number, in order of the numbers."""
    return torch.from_numpy(np.unique(number.cpu().numpy(), return_index=True)[1]).to(number.device)


def _nm(value: float | None) -> str:
    return "not known" if value is None else f"{value:.1f} nm"


def _registered(truth: Emitters, found: Localizations) -> tuple[Localizations, list[float]]:
    """The list moved onto the truth, and the shift in nm; all frames together determine one shift."""
    shift = register_points(
        found.xyz.double().numpy(), truth.xyz.double().numpy(), (found.frame.numpy(), truth.frame.numpy())
    )
    x, y, z = shift.xyz.tolist()
    return found.shift(xyz=(x, y, z)), [round(1000 * value, 1) for value in (x, y, z)]


def _notes(truth: Emitters, found: Localizations) -> list[str]:
    """Circumstances that change the meaning of the figures."""
    if not len(truth) or not len(found):
        empty = "the truth" if not len(truth) else "the list"
        return [f"{empty} has no rows"]
    assessment = judge_list(found)
    quiet = [assessment.text] if assessment.kind == "too quiet" else []
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
