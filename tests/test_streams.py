"""Streams of random numbers: named, far apart, and the same as ever."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from deepstorm3d.streams import STREAMS, stream, stream_seed


def test_the_first_numbers_of_a_stream_are_those_of_earlier_versions():
    for name, seed in (("training", 5), ("movie", 2_000_008), ("limit", 3_000_022), ("validation", 1_000_008)):
        expected = torch.rand(3, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(torch.rand(3, generator=stream(5, name)), expected)
    later = torch.Generator().manual_seed(5 + 2 * 7_919 + 30 * 1_000_000_007)
    assert torch.equal(
        torch.rand(3, generator=stream(5, "training", process=2, step=30)), torch.rand(3, generator=later)
    )


def test_no_two_streams_meet_for_seeds_that_people_use():
    # Only the scene that is matched and the movie drawn for the picture beside it are neighbours.
    close = [
        {one, other} for one, other in combinations(STREAMS, 2) if abs(STREAMS[one] - STREAMS[other]) < 900_000
    ]
    assert close == [{"matched scene", "estimated movie"}]


def test_a_stream_without_a_name_is_refused():
    with pytest.raises(KeyError):
        stream_seed(1, "something")
