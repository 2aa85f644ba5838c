"""Who is outdone by a neighbour: the same as all pairs say, without all pairs in memory."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.fitting import rivals
from deepstorm3d.fitting.rivals import outdone


@pytest.mark.parametrize("at_once", [1, 7, 1024])
@pytest.mark.parametrize("number", [0, 1, 60])
def test_the_same_as_all_pairs_say(at_once: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "_ROWS", at_once)
    generator = torch.Generator().manual_seed(0)
    place = 3 * torch.rand(number, 2, generator=generator)
    frame = torch.randint(0, 4, (number,), generator=generator)
    # Equal values: neither outdoes the other.
    value = torch.randint(0, 9, (number,), generator=generator).double()
    reach = torch.where(frame == 2, torch.inf, 0.7)
    far = (place[:, None] - place).square().sum(2).sqrt()
    rival = (far < reach[:, None]) & (frame[:, None] == frame) & (value > value[:, None])
    found = outdone(place, frame, value, reach)
    assert found.tolist() == rival.any(1).tolist()
    assert number < 60 or 0 < int(found.sum()) < number


def test_a_tenth_of_a_micrometre_is_told_anywhere_in_a_large_field() -> None:
    # A matrix product would lose it in the square of the position: so it did with more than 25 rows.
    place = torch.full((40, 2), 180.0)
    place[:, 0] += 0.15 * torch.arange(40)
    frame, value = torch.zeros(40, dtype=torch.int64), torch.arange(40.0)
    assert not bool(outdone(place, frame, value, torch.full((40,), 0.1)).any())
    assert int(outdone(place, frame, value, torch.full((40,), 0.2)).sum()) == 39
