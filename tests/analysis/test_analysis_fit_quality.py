"""A deviance is judged on both sides of 1, and only from enough pixels or rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.fit_quality import QualitySample, judge_deviance, judge_list
from deepstorm3d.analysis.linking import least_spread
from deepstorm3d.emitters import Localizations


@pytest.mark.parametrize(
    ("deviance", "kind"),
    [
        (0.19, "too quiet"),
        (0.7, "too quiet"),
        (0.95, "fits"),
        (1.2, "fits"),
        (1.6, "doubtful"),
        (3.0, "misfit"),
    ],
)
def test_both_sides_of_one_are_judged(deviance: float, kind: str) -> None:
    assessment = judge_deviance(deviance)
    assert assessment.kind == kind
    assert assessment.fits == (assessment.text == "")
    assert assessment.fits or f"{deviance:.2f} times" in assessment.text


def test_few_pixels_say_little_and_none_nothing() -> None:
    assert judge_deviance(0.5, pixels=20).kind == "fits"
    assert judge_deviance(0.5, pixels=2000).kind == "too quiet"
    for nothing in (judge_deviance(float("nan")), judge_deviance(0.2, pixels=0)):
        assert nothing.kind == "unknown" and not nothing.text


def rows(quality: float, number: int, background: float = 20.0) -> Localizations:
    table = Localizations.proposals(torch.zeros(number, 3), torch.arange(number), torch.ones(number))
    return dataclasses.replace(
        table, fit_quality=torch.full((number,), quality), background=torch.full((number,), background)
    )


def test_a_list_is_judged_by_enough_rows_with_light_under_them() -> None:
    assert judge_list(rows(0.19, 100)).kind == "too quiet"
    assert judge_list(rows(1.0, 100)).kind == "fits"
    for nothing in (rows(0.19, 5), rows(0.0, 100), rows(0.19, 100, background=0.1), rows(1.0, 0)):
        assert judge_list(nothing).kind == "unknown"


def test_rows_of_several_blocks_count_together() -> None:
    sample = QualitySample()
    for _ in range(4):
        sample.add(rows(0.19, 6))
    assert sample.assessment.kind == "too quiet"


@pytest.mark.parametrize("pairs", [10, 30, 100])
def test_a_scatter_is_sure_to_the_confidence_that_is_named(pairs: int) -> None:
    # Of many sets of pairs with true σ, the lower bound of the scatter lies above 1 in about 1 %.
    ratios = np.abs(np.random.default_rng(0).normal(size=(4000, pairs)))
    least = [least_spread(float(s), pairs) for s in 1.4826 * np.median(ratios, axis=1)]
    assert np.mean(np.array(least) > 1) < 0.02
    assert least_spread(2.0, 1000) > 1.8
