"""Dyes by their share of light: what is claimed about them is true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deepstorm3d.analysis.dye_mixture import DyeMixture, fitted_mixture, fitted_weights
from deepstorm3d.analysis.dyes import DyeRule, find_dyes, shares_of_molecules
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.rendering.colour import dye_colours
from deepstorm3d.rendering.view import Look
from deepstorm3d.rendering.views import render_depth

TRUTH = DyeMixture(np.array([0.3, 0.6]), np.array([0.02, 0.01]), np.array([0.05, 0.7, 0.25]))


def drawn(
    truth: DyeMixture, count: int, seed: int = 0, *, sigma: tuple[float, float] = (0.01, 0.08)
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Shares, their σ, and true dyes (0: none) of molecules."""
    rng = np.random.default_rng(seed)
    dye = rng.choice(len(truth.weights), count, p=truth.weights)
    known_to = rng.uniform(*sigma, count)
    own = np.concatenate([[0.0], truth.shares])[dye] + np.concatenate([[0.0], truth.spreads])[
        dye
    ] * rng.standard_normal(count)
    share = np.where(dye == 0, rng.uniform(0, 1, count), own + known_to * rng.standard_normal(count))
    return share, known_to, dye


def listed(share: NDArray[np.float64], sigma: NDArray[np.float64]) -> Localizations:
    count = len(share)
    table = Localizations.proposals(torch.zeros(count, 3), torch.arange(count), torch.ones(count))
    return replace(table, share=torch.from_numpy(share).float(), sigma_share=torch.from_numpy(sigma).float())


def test_shares_scatters_and_numbers_of_unknown_dyes_are_found():
    share, sigma, _ = drawn(TRUTH, 8000)
    found = fitted_mixture(2, share, sigma)
    np.testing.assert_allclose(found.shares, TRUTH.shares, atol=0.004)
    np.testing.assert_allclose(found.spreads, TRUTH.spreads, atol=0.006)
    np.testing.assert_allclose(found.weights, TRUTH.weights, atol=0.02)


def test_a_rare_dye_beside_a_common_one_is_found():
    truth = DyeMixture(np.array([0.35, 0.7]), np.zeros(2), np.array([0.01, 0.96, 0.03]))
    share, sigma, _ = drawn(truth, 6000, sigma=(0.03, 0.05))
    np.testing.assert_allclose(fitted_mixture(2, share, sigma).shares, truth.shares, atol=0.02)


def test_posteriors_are_the_frequencies_that_they_claim():
    share, sigma, dye = drawn(TRUTH, 20_000, seed=1)
    posterior = fitted_weights(TRUTH.shares, share, sigma).posterior(share, sigma)
    np.testing.assert_allclose(posterior.sum(1), 1.0)
    for kind in range(3):
        for low in (0.05, 0.3, 0.6, 0.9):
            rows = (posterior[:, kind] >= low) & (posterior[:, kind] < low + 0.1)
            claimed, true = posterior[rows, kind].mean(), (dye[rows] == kind).mean()
            assert abs(true - claimed) < 4 * np.sqrt(claimed * (1 - claimed) / rows.sum()) + 0.01


@pytest.mark.parametrize("seed", range(3))
def test_as_many_are_wrong_as_expected_and_none_where_only_the_sure_are_given(seed: int):
    share, sigma, dye = drawn(TRUTH, 10_000, seed=seed)
    rule = {"red": 0.3, "far red": 0.6}
    found = find_dyes(listed(share, sigma), DyeRule(rule))
    given = found.localizations["dye"]
    wrong = (given != dye)[given > 0].mean()
    assert abs(wrong - found.misassigned) < 0.008
    assert sum(found.molecules) == len(share)
    sure = find_dyes(listed(share, sigma), DyeRule(rule, sure=0.99))
    given = sure.localizations["dye"]
    assert sure.misassigned < 0.01 and (given != dye)[given > 0].mean() < 0.015
    assert sure.molecules[0] > found.molecules[0]


def test_a_molecule_of_no_dye_is_said_to_be_none():
    share, sigma, _ = drawn(TRUTH, 500, sigma=(0.01, 0.02))
    share[0], sigma[0] = 0.95, 0.01
    found = find_dyes(listed(share, sigma), DyeRule({"red": 0.3, "far red": 0.6})).localizations
    assert found["dye"][0] == 0 and found["dye_probability"][0] > 0.999


def test_rows_of_one_molecule_get_one_answer_from_all_of_them():
    share, sigma, _ = drawn(TRUTH, 400, sigma=(0.02, 0.03))
    share[:4], sigma[:4] = [0.42, 0.47, 0.25, 0.30], 0.1
    alone = listed(share, sigma)
    number = torch.arange(400)
    number[:4] = 0
    table = replace(alone, molecule=number)
    shares = shares_of_molecules(table)
    assert len(shares.share) == 397
    assert shares.share[0] == pytest.approx(0.36) and shares.sigma[0] == pytest.approx(0.05)
    found = find_dyes(table, DyeRule({"red": 0.3, "far red": 0.6})).localizations
    assert len(set(found["dye_probability"][:4].tolist())) == 1 and found["dye"][:4].tolist() == [1] * 4


def test_names_follow_the_order_of_the_shares():
    share, sigma, dye = drawn(TRUTH, 1000, sigma=(0.01, 0.02))
    found = find_dyes(listed(share, sigma), DyeRule({"b": 0.6, "a": 0.3}))
    assert found.names == ("a", "b")
    assert (found.localizations["dye"] == dye).mean() > 0.97


def test_a_picture_shows_dyes_by_hue_and_none_in_grey():
    table = Localizations.proposals(
        torch.tensor([[1.0, 1, 1], [2, 1, 1], [3, 1, 1]]), torch.arange(3), torch.ones(3)
    )
    table = replace(table, dye=torch.tensor([1, 2, 0]))
    drawn = render_depth(table, pixel_nm=100.0, look=Look("dye"))
    bright = [drawn.xy.rgb[:, columns].max((0, 1)) for columns in (slice(0, 7), slice(9, 14), slice(18, None))]
    first, second, none = bright
    assert first[2] > first[0] + 0.2 and second[0] > second[2] + 0.2
    assert np.ptp(none) < 0.02 and none.max() < 0.8 * first.max()
    assert drawn.dyes == 2
    assert np.ptp(dye_colours(4)[1:].max(1)) < 0.3
    with pytest.raises(InputError, match="which dye"):
        render_depth(replace(table, dye=None), look=Look("dye"))


def test_doubts_are_told():
    share, sigma, _ = drawn(TRUTH, 1000, sigma=(0.2, 0.3))
    close = find_dyes(listed(share, sigma), DyeRule({"a": 0.3, "b": 0.6}))
    assert any("can be either" in text for text in close.warnings)
    share, sigma, _ = drawn(TRUTH, 1000, sigma=(0.01, 0.02))
    missing = find_dyes(listed(share, sigma), DyeRule({"a": 0.3}))
    assert any("a dye missing" in text for text in missing.warnings)
    sigma[:10] = 0
    unknown = find_dyes(listed(share, sigma), DyeRule({"a": 0.3, "b": 0.6}))
    assert any("10 of 1000 rows" in text for text in unknown.warnings)
    assert unknown.localizations["dye"][:10].tolist() == [0] * 10


@pytest.mark.parametrize(
    ("dyes", "sure", "said"),
    [
        ({}, 0.0, "no dye"),
        ({"a": 1.2}, 0.0, "1.2"),
        ({"a": 0.3, "b": 0.3}, 0.0, "same share"),
        (5, 0.0, "5 dyes"),
        (2, 1.0, "got 1"),
    ],
)
def test_rules_that_cannot_be_are_refused(dyes: dict[str, float] | int, sure: float, said: str):
    with pytest.raises(InputError, match=said):
        DyeRule(dyes, sure)


def test_lists_without_shares_or_with_too_few_molecules_are_refused():
    share, sigma, _ = drawn(TRUTH, 30)
    with pytest.raises(InputError, match="both channels"):
        find_dyes(replace(listed(share, sigma), share=None), DyeRule(2))
    with pytest.raises(InputError, match="from 30 molecules: at least 40"):
        find_dyes(listed(share, sigma), DyeRule(2))
    with pytest.raises(InputError, match="no row"):
        find_dyes(listed(share, 0 * sigma), DyeRule({"a": 0.3}))
