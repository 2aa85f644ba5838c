"""What the lists of single channels lack is looked for in all channels together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_fitting_channels import after_candidates, seen
from torch import Tensor

from deepstorm3d.emitters import Localizations
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.sites.channels import ChannelsFit, FoundInChannels

PLACE = torch.tensor([[1.3, 1.2, 0.4], [3.7, 1.3, 0.5], [1.4, 3.0, 0.6], [3.7, 3.0, 0.7]])


def listed(fit: ChannelsFit, place: Tensor, lights: list[Likelihood]) -> list[Localizations]:
    """The list of each channel, of molecules near these places alone."""
    lists = []
    for number, light in enumerate(lights):
        start = place if number == 0 else fit.models(lights)[1].places(place.double()).float()
        single = replace(fit.first, rounds=0)
        frame = torch.zeros(len(start), dtype=torch.int64)
        lists.append(single(Localizations.proposals(start, frame, torch.ones(len(start))), light))
    return lists


def fitted(fit: ChannelsFit, place: Tensor, lights: list[Likelihood]) -> FoundInChannels:
    return fit(listed(fit, place, lights), lights)


def errors(found: FoundInChannels, place: Tensor) -> Tensor:
    """Of the row nearest to each place, over its σ."""
    rows = found.localizations
    nearest = torch.cdist(place, rows.xyz).argmin(1)
    return (rows[nearest].xyz - place) / rows[nearest].sigma_xyz


@pytest.mark.parametrize("seed", range(3))
def test_a_molecule_that_both_lists_lack_is_found(seed: int) -> None:
    lights, _ = seen(PLACE, [0.5] * 4, seed)
    fit = after_candidates().channels
    found = fitted(fit, PLACE[:3], lights)
    assert len(found.localizations) == 4 and found.filled == 2 and found.removed == 0
    assert float(errors(found, PLACE).abs().max()) < 4.5
    # Not where nothing is to be added.
    alone = fitted(replace(fit, first=replace(fit.first, rounds=0)), PLACE[:3], lights)
    assert len(alone.localizations) == 3


# From two that nearly coincide to two whose images hardly overlap.
@pytest.mark.parametrize("half", [(0.09, 0.0, 0.1), (0.0, 0.12, 0.05), (0.12, 0.1, -0.05), (0.17, 0.0, 0.05)])
def test_two_that_both_lists_have_as_one_are_divided(half: tuple[float, float, float]) -> None:
    middle, off = torch.tensor([2.6, 2.1, 0.5]), torch.tensor(half)
    place = torch.stack([middle - off, middle + off])
    lights, _ = seen(place, [0.5, 0.5], seed=4, total=6000.0)
    found = fitted(after_candidates().channels, middle[None], lights)
    assert len(found.localizations) == 2
    assert float(errors(found, place).abs().max()) < 4.5


def test_where_channels_disagree_beyond_sigma_nothing_is_added() -> None:
    lights, _ = seen(PLACE, [0.5] * 4, seed=3)
    fit = after_candidates().channels
    held = replace(fit, others=(replace(fit.others[0], excess_um=(0.06, 0.06, 0.0)),))
    assert len(fitted(held, PLACE[:3], lights).localizations) == 3
