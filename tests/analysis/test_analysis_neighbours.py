"""The precision from adjacent frames is the σ that was put in, axis by axis, whatever it starts from."""

from __future__ import annotations

import numpy as np
import pytest
from drift_scenes import SIGMA_UM, shining
from numpy.typing import NDArray

from deepstorm3d.analysis.neighbours import neighbour_precision

Floats = NDArray[np.float64]


@pytest.mark.parametrize("start_um", [SIGMA_UM, (0.006, 0.006, 0.01), (0.03, 0.03, 0.06)])
def test_the_sigma_put_in_comes_out_within_five_percent(start_um: tuple[float, float, float]):
    table = shining(3000, 1000)
    found = neighbour_precision(table.xyz.numpy(), table.frame.numpy(), np.array(start_um))
    assert not isinstance(found, str)
    for fit, true in zip(found, SIGMA_UM, strict=True):
        assert fit.sigma_um == pytest.approx(true, rel=0.05)
        assert abs(fit.sigma_um - true) < 4 * fit.error_um
        assert fit.counts.sum() == pytest.approx(fit.fitted.sum(), rel=0.02)


def test_crowded_strangers_in_adjacent_frames_do_not_widen_it():
    rng = np.random.default_rng(1)
    table = shining(3000, 1000)
    strangers = rng.random((40_000, 3)) * [8.0, 8.0, 2.0]
    xyz = np.concatenate([table.xyz.numpy(), strangers])
    frame = np.concatenate([table.frame.numpy(), rng.integers(1000, size=40_000)])
    found = neighbour_precision(xyz, frame, np.array(SIGMA_UM))
    assert not isinstance(found, str)
    for fit, true in zip(found, SIGMA_UM, strict=True):
        assert fit.sigma_um == pytest.approx(true, rel=0.05)


def test_a_drift_from_frame_to_frame_is_found_and_does_not_widen_it():
    table = shining(3000, 1000)
    motion = np.array([0.02, 0.0, -0.012])
    xyz = table.xyz.numpy() + motion * table.frame.numpy()[:, None]
    found = neighbour_precision(xyz, table.frame.numpy(), np.array(SIGMA_UM))
    assert not isinstance(found, str)
    for fit, true, moved in zip(found, SIGMA_UM, motion, strict=True):
        assert fit.sigma_um == pytest.approx(true, rel=0.05)
        assert abs(fit.motion_um - moved) < 4 * fit.motion_error_um < 0.004


@pytest.mark.parametrize("strangers", [6_000, 40_000])
def test_the_stated_sigma_is_that_of_the_rows_that_were_paired(strangers: int):
    """Molecules that shine once, with ten times the σ, do not count: neither few nor many."""
    rng = np.random.default_rng(1)
    table = shining(3000, 1000)
    own = np.array(SIGMA_UM) * rng.choice([0.8, 1.0, 1.2], (len(table), 1))
    xyz = np.concatenate([table.xyz.numpy(), rng.random((strangers, 3)) * [8.0, 8.0, 2.0]])
    frame = np.concatenate([table.frame.numpy(), rng.integers(1000, size=strangers)])
    stated = np.concatenate([own, np.tile(10 * np.array(SIGMA_UM), (strangers, 1))])
    found = neighbour_precision(xyz, frame, np.array(SIGMA_UM), stated)
    assert not isinstance(found, str)
    assert [fit.stated_um for fit in found] == pytest.approx(SIGMA_UM, rel=0.05)
    stated[::2] = 0.0  # not known: the pairs of two others tell
    half = neighbour_precision(xyz, frame, np.array(SIGMA_UM), stated)
    assert not isinstance(half, str) and [fit.stated_um for fit in half] == pytest.approx(SIGMA_UM, rel=0.05)
    none = neighbour_precision(xyz, frame, np.array(SIGMA_UM))
    assert not isinstance(none, str) and [fit.stated_um for fit in none] == [None, None, None]


def test_molecules_that_shine_in_one_frame_alone_tell_nothing():
    rng = np.random.default_rng(2)
    xyz, frame = rng.random((20_000, 3)) * 8, rng.integers(1000, size=20_000)
    for rows in (slice(None), slice(0)):
        assert "too few" in str(neighbour_precision(xyz[rows], frame[rows], np.array(SIGMA_UM)))


def _on_filaments(rows: int, frames: int) -> tuple[Floats, NDArray[np.int64]]:
    """Molecules along twelve lines, each seen in one frame."""
    rng = np.random.default_rng(3)
    line, place = rng.integers(12, size=rows), rng.uniform(-3, 3, (rows, 1))
    direction = np.array([[np.cos(angle), np.sin(angle), 0.02] for angle in rng.uniform(0, 2 * np.pi, 12)])
    begin = rng.uniform([0, 0, 0.5], [8, 8, 1.5], (12, 3))
    xyz = begin[line] + place * direction[line] + rng.normal(size=(rows, 3)) * SIGMA_UM
    return xyz, np.sort(rng.integers(frames, size=rows))


def test_neighbours_by_chance_along_a_structure_pass_for_no_molecule_however_many_rows():
    xyz, frame = _on_filaments(120_000, 4000)
    assert "by chance" in str(neighbour_precision(xyz, frame, np.array(SIGMA_UM)))


def test_molecules_that_shine_on_are_told_from_their_neighbours_along_a_structure():
    rng = np.random.default_rng(4)
    once, frame = _on_filaments(60_000, 4000)
    again = _on_filaments(6000, 3999)
    xyz = np.concatenate([once, again[0], again[0] + rng.normal(size=(6000, 3)) * SIGMA_UM * np.sqrt(2)])
    found = neighbour_precision(xyz, np.concatenate([frame, again[1], again[1] + 1]), np.array(SIGMA_UM))
    assert not isinstance(found, str)
    for fit, true in zip(found, SIGMA_UM, strict=True):
        assert fit.sigma_um == pytest.approx(true, rel=0.08)


def test_a_long_list_whose_frames_lie_in_one_block_is_not_thinned_to_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("deepstorm3d.analysis.neighbours._MOST_ROWS", 2000)
    xyz, frame = _on_filaments(9000, 40)
    early, late = (str(neighbour_precision(xyz, frame + first, np.array(SIGMA_UM))) for first in (0, 150))
    assert early == late


@pytest.mark.parametrize("frames", [8, 400])
def test_beads_that_never_go_dark_tell_their_sigma(frames: int):
    rng = np.random.default_rng(5)
    place = np.tile(rng.random((40, 3)) * [8.0, 8.0, 2.0], (frames, 1))
    xyz = place + rng.normal(size=place.shape) * SIGMA_UM
    found = neighbour_precision(xyz, np.repeat(np.arange(frames), 40), np.array(SIGMA_UM))
    assert not isinstance(found, str)
    for fit, true in zip(found, SIGMA_UM, strict=True):
        assert abs(fit.sigma_um - true) < 4 * fit.error_um
