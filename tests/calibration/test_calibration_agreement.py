"""Whether a given transform fits two lists: wrong, mirrored and swapped ones are told with the numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from deepstorm3d.calibration.registration.agreement import agreement, doubts_of_transform
from deepstorm3d.calibration.registration.registration import ChannelList
from deepstorm3d.channels import ChannelPair, Transform
from deepstorm3d.errors import InputError
from deepstorm3d.field import Field
from two_channels import DEPTH_UM, FIELD_UM, TwoChannels, rows_of

SIDE = round(FIELD_UM / 0.1)


def pair_of(transform: Transform) -> ChannelPair:
    return ChannelPair(transform, (DEPTH_UM, 0.002), (Field(SIDE, SIDE, 0.1), Field(SIDE, SIDE, 0.1)))


def lists(made: TwoChannels) -> tuple[ChannelList, ChannelList]:
    first, second = made.lists()
    return ChannelList(first), ChannelList(second)


def test_the_right_transform_brings_the_pairs_together_and_is_not_doubted() -> None:
    made = TwoChannels(pairs=400)
    first, second = lists(made)
    found = agreement(first.table, second.table, pair_of(made.transform()))
    # 0.27 % of the pairs are beyond 3 σ; false rows find few partners.
    assert 385 <= found.pairs <= 420 and found.by_chance < 20 and not found.is_chance
    assert doubts_of_transform(first, second, pair_of(made.transform()), "t.yaml") == []


def test_a_mirrored_transform_and_a_shifted_one_are_refused_with_what_the_lists_say() -> None:
    made = TwoChannels(pairs=400)
    flip = Transform.affine(torch.diag(torch.tensor([-1.0, 1.0])), torch.tensor([FIELD_UM, 0.0]))
    with pytest.raises(InputError, match=r"by t.yaml of \d+ rows .* one of the two is mirrored"):
        doubts_of_transform(*lists(made), pair_of(flip.then(made.transform())), "t.yaml")
    shift = Transform.affine(torch.eye(2), torch.tensor([0.6, 0.0]))
    with pytest.raises(InputError, match=r"found from these lists .* they are 6\d\d nm apart"):
        doubts_of_transform(*lists(made), pair_of(made.transform().then(shift)), "t.yaml")


def test_channels_in_the_wrong_order_are_told() -> None:
    made = TwoChannels(pairs=400)
    first, second = lists(made)
    with pytest.raises(InputError, match=r"in the other order (39\d|40\d) do; give the movies"):
        doubts_of_transform(second, first, pair_of(made.transform()), "t.yaml")


def test_a_shift_that_the_other_order_makes_smaller_is_told_as_a_shift() -> None:
    generator = np.random.default_rng(3)
    place, frame = generator.uniform(1, 25, (400, 3)) * [1, 1, 0.1], np.arange(400) // 10
    sigma = np.array([0.02, 0.02, 0.04])
    seen = [
        rows_of(place + by + generator.normal(size=place.shape) * sigma, frame, sigma)
        for by in ([0.0, 0.0, 0.0], [-0.2, 0.0, DEPTH_UM])
    ]
    first, second = (ChannelList(table) for table in seen)
    given = pair_of(Transform.affine(torch.eye(2), torch.tensor([0.12, 0.0])))
    # The other order is wrong by 80 nm only, and brings many rows together.
    with pytest.raises(InputError, match=r"found from these lists .* they are 3\d\d nm apart"):
        doubts_of_transform(first, second, given, "t.yaml")


def test_channels_without_a_common_molecule_and_short_lists_are_doubted() -> None:
    made = TwoChannels(pairs=300)
    first, _ = lists(made)
    _, second = lists(replace(made, seed=7))
    told = doubts_of_transform(first, second, pair_of(made.transform()), "t.yaml")
    assert len(told) == 1 and "no molecule is seen in both" in told[0]
    few = ChannelList(first.table[:4])
    assert "could not be checked: 4 rows" in doubts_of_transform(few, second, pair_of(made.transform()), "t")[0]
