"""What a list says against the dyes that were named: shares that are others, and dyes that are not there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.dye_doubts import shown_shares
from deepstorm3d.analysis.dye_mixture import fitted_weights
from deepstorm3d.analysis.dyes import DyeRule, find_dyes
from deepstorm3d.emitters import Localizations


def molecules(
    shares: Mapping[float, float], count: int, seed: int = 0, *, sigma: tuple[float, float] = (0.02, 0.06)
) -> Localizations:
    """A list of molecules with these shares of light (and parts of the molecules), 4 % of them of no dye."""
    rng = np.random.default_rng(seed)
    own = rng.choice(list(shares), count, p=list(shares.values())) + 0.02 * rng.standard_normal(count)
    own = np.where(rng.uniform(size=count) < 0.04, rng.uniform(size=count), own)
    known_to = rng.uniform(*sigma, count)
    share = own + known_to * rng.standard_normal(count)
    table = Localizations.proposals(torch.zeros(count, 3), torch.arange(count), torch.ones(count))
    return replace(table, share=torch.from_numpy(share).float(), sigma_share=torch.from_numpy(known_to).float())


def told(table: Localizations, dyes: Mapping[str, float] | int) -> list[str]:
    said = find_dyes(table, DyeRule(dyes)).warnings
    return [text for text in said if "other shares" in text or "hardly any" in text]


@pytest.mark.parametrize(
    ("given", "off"),
    [
        ({"a": 0.44, "b": 0.56}, {"a", "b"}),
        ({"a": 0.40, "b": 0.56}, {"b"}),
        ({"a": 0.37, "b": 0.52}, {"a"}),
        ({"a": 0.41, "b": 0.53}, {"a", "b"}),
        ({"a": 0.40, "b": 0.52}, set()),
    ],
)
def test_given_shares_that_are_not_those_of_the_molecules_are_told_with_the_right_ones(
    given: dict[str, float], off: set[str]
):
    truth = {"a": 0.40, "b": 0.52}
    said = told(molecules({0.40: 0.5, 0.52: 0.5}, 20_000), given)
    assert len(said) == bool(off)
    shown = re.findall(r"([ab]) (0\.\d+) ± (0\.\d+) \(given: (0\.\d+)\)", "".join(said))
    assert {name for name, *_ in shown} == off
    for name, share, error, at in shown:
        assert float(at) == given[name] and abs(float(share) - truth[name]) < 5 * float(error) < 0.01
    assert all("(2)" in text for text in said)


def test_a_dye_without_molecules_hides_no_wrong_share_and_shares_of_several_dyes_are_called_that():
    alone = told(molecules({0.40: 1.0}, 10_000), {"a": 0.43, "b": 0.56})
    (said,) = (text for text in alone if "other shares" in text)
    assert "(given: 0.43)" in said and "hardly any molecule is likeliest b, so these may be of several" in said
    mixed = told(molecules({0.40: 0.5, 0.52: 0.5}, 10_000), {"a": 0.52, "b": 0.56})
    assert all("may be of several dyes" in text for text in mixed if "(given: 0.52)" in text)


@pytest.mark.parametrize("sigma", [(0.02, 0.06), (0.2, 0.3)])
@pytest.mark.parametrize("count", [60, 300, 3000])
def test_right_shares_are_not_doubted_in_lists_of_any_length_and_of_broad_shares(
    count: int, sigma: tuple[float, float]
):
    for seed in range(10 if count < 1000 else 2):
        table = molecules({0.3: 0.6, 0.6: 0.4}, count, seed, sigma=sigma)
        assert not any("other shares" in text for text in told(table, {"a": 0.3, "b": 0.6}))


def test_the_error_of_a_share_is_its_scatter_over_lists():
    off = []
    for seed in range(60):
        table = molecules({0.3: 0.7, 0.6: 0.3}, 500, seed)
        assert table.share is not None and table.sigma_share is not None
        share, sigma = table.share.double().numpy(), table.sigma_share.double().numpy()
        shown = shown_shares(fitted_weights(np.array([0.3, 0.6]), share, sigma), share, sigma)
        off.append((shown.shown - shown.given) / shown.errors)
    rms = np.sqrt(np.square(off).mean(0))
    assert (rms > 0.75).all() and (rms < 1.3).all()


def test_a_dye_that_hardly_any_molecule_has_is_told_and_a_rare_one_is_not():
    alone, rare = molecules({0.40: 1.0}, 10_000), molecules({0.40: 0.98, 0.62: 0.02}, 10_000)
    absent = {"a": 0.40, "z": 0.9999}
    for table, dyes, name, remedy in (
        (alone, absent, "z", "is it in the sample"),
        (alone, 2, "dye ", "fewer dyes"),
    ):
        (said,) = told(table, dyes)
        assert f"likeliest {name}" in said and remedy in said and "10,000" in said
    assert not told(rare, {"a": 0.40, "b": 0.62}) and not told(rare, 2)
