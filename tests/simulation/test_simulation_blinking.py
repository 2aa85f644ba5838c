"""Blinking: when molecules shine, and how their photons fall into frames."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.emitters import Emitters
from deepstorm3d.simulation import blink


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def movie(molecules: int = 4000, frames: int = 2000, **given: float) -> Emitters:
    return blink(torch.rand(molecules, 3), torch.full((molecules,), 500.0), frames, seeded(), **given)


def test_blinking_conserves_the_photons_of_each_molecule() -> None:
    # The same seed in a movie ten times as fine: the sum over frames must not depend on the frames.
    xyz, photons = torch.rand(300, 3), torch.linspace(100, 1000, 300)
    coarse = blink(xyz, photons, 5_000, seeded(), on_time=3, off_time=100)
    fine = blink(xyz, photons / 10, 50_000, seeded(), on_time=30, off_time=1000)
    total_coarse, total_fine = (
        torch.zeros(300).index_add(0, table.id, table.photons) for table in (coarse, fine)
    )
    assert total_coarse.min() > 0
    torch.testing.assert_close(total_coarse, total_fine, rtol=1e-4, atol=1e-2)


def test_frames_between_the_first_and_the_last_of_a_blink_are_full_and_the_ends_are_parts() -> None:
    table = movie(on_time=5, off_time=500)
    assert table.photons.min() > 0 and table.photons.max() <= 500 * (1 + 1e-5)
    for molecule in range(50):
        rows = table.select(table.id == molecule)
        assert rows.frame.diff().eq(1).all()
        assert rows.photons[1:-1].eq(500).all()


def test_on_times_and_first_moments_are_exponential() -> None:
    table = movie(on_time=4, off_time=200)
    lit = torch.zeros(4000).index_add(0, table.id, table.photons / 500)
    assert lit.mean().item() == pytest.approx(4, rel=0.06)
    assert lit.std().item() == pytest.approx(4, rel=0.1)
    first = torch.full((4000,), 2000).scatter_reduce(0, table.id, table.frame, "amin").float() + 0.5
    assert first.mean().item() == pytest.approx(200, rel=0.06)
    assert first.std().item() == pytest.approx(200, rel=0.1)


def test_a_molecule_blinks_as_often_as_asked_on_average() -> None:
    table = movie(frames=100_000, on_time=4, off_time=200, blinks=3)
    lit = torch.zeros(4000).index_add(0, table.id, table.photons / 500)
    assert lit.mean().item() == pytest.approx(3 * 4, rel=0.06)


def test_rows_are_in_order_of_frame_and_a_molecule_has_one_row_a_frame() -> None:
    xyz = torch.rand(200, 3)
    table = blink(xyz, torch.ones(200), 50, seeded(), on_time=0.3, off_time=0.3, blinks=20)
    assert table.frame.diff().ge(0).all()
    assert table.frame.min() >= 0 and table.frame.max() < 50
    assert len(torch.unique(table.frame * 200 + table.id)) == len(table)
    assert table.photons.max() <= 1 + 1e-5
    assert torch.equal(table.xyz, xyz[table.id])


def test_a_seed_repeats_and_nothing_gives_an_empty_table() -> None:
    first, again = (blink(torch.rand(9, 3), torch.ones(9), 90, seeded(2), off_time=30) for _ in range(2))
    assert torch.equal(first.frame, again.frame) and torch.equal(first.photons, again.photons)
    assert len(blink(torch.zeros(0, 3), torch.zeros(0), 90, seeded())) == 0
    assert len(blink(torch.rand(9, 3), torch.ones(9), 0, seeded())) == 0


def test_times_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="on_time"):
        movie(on_time=0)
