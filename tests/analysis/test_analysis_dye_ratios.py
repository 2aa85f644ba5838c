"""Dyes by the ratio of likelihoods: what is claimed about them is true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deepstorm3d.analysis.dye_ratios import DyesByImage, ImageEvidence, dyes_by_image
from deepstorm3d.emitters import Localizations

Values = NDArray[Any]


def drawn(count: int, weights: tuple[float, float, float], seed: int = 0) -> tuple[Values, Values, Values]:
    """Deviances, excesses and true dyes: PSFs that differ by 1 to 6 σ of noise, from molecule to molecule."""
    rng = np.random.default_rng(seed)
    dye = rng.choice(3, count, p=weights)
    apart = rng.uniform(1.0, 6.0, count)
    # −2 ln of the ratio of likelihoods of two normal laws d apart: d² ± 2 d times a standard normal.
    ratio = apart**2 + 2 * apart * rng.standard_normal(count)
    ratio = np.where(dye == 2, -ratio, ratio)
    deviance = np.column_stack([np.zeros(count), ratio])
    excess = np.where(dye == 0, rng.uniform(-3, 40, count), 0.5 + 1.2 * rng.standard_normal(count))
    return deviance, excess, dye


def told(deviance: Values, excess: Values, **options: Any) -> DyesByImage:
    count = len(deviance)
    table = Localizations.proposals(torch.zeros(count, 3), torch.arange(count), torch.ones(count))
    others = options.pop("others", np.zeros((count, 0)))
    return dyes_by_image(table, ImageEvidence(deviance, others, excess), ("a", "b"), **options)


def dyes_of(found: DyesByImage) -> tuple[Values, Values]:
    dye, sure = found.localizations.dye, found.localizations.dye_probability
    assert dye is not None and sure is not None
    return dye.numpy(), sure.double().numpy()


def test_posteriors_are_the_frequencies_that_they_claim() -> None:
    deviance, excess, true = drawn(20_000, (0.1, 0.6, 0.3))
    found = told(deviance, excess)
    np.testing.assert_allclose(found.weights, (0.1, 0.6, 0.3), atol=0.02)
    dye, sure = dyes_of(found)
    for low, high in ((0.4, 0.6), (0.6, 0.8), (0.8, 0.95), (0.95, 1.01)):
        rows = (sure >= low) & (sure < high)
        assert (dye == true)[rows].mean() == pytest.approx(sure[rows].mean(), abs=0.03)
    given = dye > 0
    assert found.misassigned == pytest.approx((dye != true)[given].mean(), abs=0.005)
    assert sum(found.molecules) == 20_000


def test_only_the_sure_ones() -> None:
    deviance, excess, true = drawn(5000, (0.05, 0.5, 0.45), seed=1)
    every, sure = told(deviance, excess), told(deviance, excess, sure=0.95)
    assert sure.misassigned < 0.02 < every.misassigned
    dye, probability = dyes_of(sure)
    assert probability[dye > 0].min() >= 0.95
    assert (dye != true)[dye > 0].mean() < 0.02


def test_given_numbers_of_molecules_are_kept() -> None:
    # A molecule that says nothing has the weights as its posterior.
    found = told(np.zeros((30, 2)), np.zeros(30), weights=(3.0, 1.0))
    assert found.weights[1] / found.weights[2] == pytest.approx(3.0)
    assert dyes_of(found)[1] == pytest.approx(0.75, abs=0.05)


def test_a_list_that_fits_worse_as_a_whole_is_not_none() -> None:
    """The PSF of real beads is never quite that of the molecules: the middle of the list is its own."""
    deviance, excess, true = drawn(4000, (0.0, 0.5, 0.5))
    found = told(deviance, excess + 8)
    assert found.weights[0] < 0.02
    assert (dyes_of(found)[0] == true).mean() > 0.85


def test_an_empty_list_and_a_single_molecule() -> None:
    assert told(np.zeros((0, 2)), np.zeros(0)).molecules == (0, 0, 0)
    assert told(np.array([[9.0, 0.0]]), np.array([0.3])).molecules == (0, 0, 1)


def test_what_a_reader_should_know_is_said() -> None:
    deviance, excess, _ = drawn(3000, (0.5, 0.25, 0.25))
    assert any("explained by no dye" in text for text in told(deviance, excess).warnings)
    assert any("expected to be wrong" in text for text in told(0.02 * deviance, excess).warnings)


def test_molecules_of_another_wavelength_are_none() -> None:
    """Three PSFs 4 σ of noise apart from each other, the third of which is no dye's."""
    rng = np.random.default_rng(3)
    true = rng.choice(3, 6000, p=(0.1, 0.5, 0.4))
    # Images as points in two dimensions: the deviance is the squared distance from each PSF's point.
    centres = 4.0 * np.array([[0.5, np.sqrt(0.75)], [0.0, 0.0], [1.0, 0.0]])
    places = centres[true] + rng.standard_normal((6000, 2))
    deviance = ((places[:, None] - centres) ** 2).sum(2)
    found = told(deviance[:, 1:], rng.standard_normal(6000), others=deviance[:, :1])
    np.testing.assert_allclose(found.weights, (0.1, 0.5, 0.4), atol=0.015)
    dye, sure = dyes_of(found)
    assert (dye == true).mean() == pytest.approx(sure.mean(), abs=0.01)
    assert (dye == 0)[true == 0].mean() > 0.85
