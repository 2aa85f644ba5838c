"""Molecules that come back are told from structures whose molecules are each seen once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from deepstorm3d.analysis.reappearing import rows_again, spot_resolution_um
from deepstorm3d.analysis.resolution import _about_spots, resolution_of
from deepstorm3d.emitters import Localizations

SIGMA = np.array([0.012, 0.012, 0.024])
FRAMES = 5000


def area(number: int, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0, [8, 8, 1], (number, 3))


def filaments(number: int, rng: np.random.Generator) -> np.ndarray:
    angle = 0.3 * rng.integers(0, 40, number)
    along = rng.uniform(-8, 8, number)
    return np.column_stack([along * np.cos(angle), along * np.sin(angle), 0.3 * np.sin(along)])


def tubes(number: int, rng: np.random.Generator) -> np.ndarray:
    turn = rng.uniform(0, 2 * np.pi, number)
    around = np.column_stack([np.cos(turn), np.cos(turn), np.sin(turn)])
    return filaments(number, rng) + 0.03 * around


def clumps(number: int, rng: np.random.Generator) -> np.ndarray:
    middle = area(number // 30, rng)
    return middle[rng.integers(0, len(middle), number)] + 0.04 * rng.normal(size=(number, 3))


def seen(places: np.ndarray, times: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each molecule in so many frames at random."""
    xyz = np.repeat(places, times, 0) + SIGMA * rng.normal(size=(len(places) * times, 3))
    return xyz, rng.integers(0, FRAMES, len(xyz))


@pytest.mark.parametrize("structure", [area, filaments, tubes, clumps])
@pytest.mark.parametrize("number", [3000, 40_000])
def test_molecules_that_are_seen_once_are_not_said_to_come_back(structure, number: int):
    rng = np.random.default_rng(1)
    assert rows_again(*seen(structure(number, rng), 1, rng), 100, SIGMA) == 0


def test_bursts_within_a_block_are_not_molecules_that_come_back():
    rng = np.random.default_rng(2)
    xyz, _ = seen(filaments(2000, rng), 10, rng)
    frame = (rng.integers(0, FRAMES, 2000)[:, None] + np.arange(10)).ravel()
    assert rows_again(xyz, frame, 100, SIGMA) == 0


@pytest.mark.parametrize(
    ("structure", "number", "times"), [(area, 3000, 10), (area, 20_000, 3), (filaments, 2000, 10)]
)
def test_molecules_that_come_back_are_counted(structure, number: int, times: int):
    rng = np.random.default_rng(3)
    again = rows_again(*seen(structure(number, rng), times, rng), 100, SIGMA)
    # Of the others of a molecule 4 % lie in frames that are near; what surrounds it is at most too much.
    assert 0.7 * (times - 1) < again < 1.02 * (times - 1)


@pytest.mark.parametrize(("pairs", "surely"), [(20, False), (35, True)])
def test_a_pair_that_is_counted_from_both_ends_is_one_pair(pairs: int, surely: bool):
    """Five standard errors of a number of pairs are 25 pairs."""
    alone = np.column_stack([np.arange(2000.0), np.zeros(2000), np.zeros(2000)])
    xyz = np.concatenate([alone, alone[:pairs]])
    frame = np.repeat([0, 1000], [2000, pairs])
    assert (rows_again(xyz, frame, 100, SIGMA) > 0) == surely


def test_beads_in_all_frames_are_looked_up_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch):
    found: list[int] = []

    class Counted(KDTree):
        def query_ball_point(self, *args: Any, **kwargs: Any) -> Any:
            near = super().query_ball_point(*args, **kwargs)
            found.append(sum(map(len, near)))
            return near

    monkeypatch.setattr("scipy.spatial.KDTree", Counted)
    rng = np.random.default_rng(6)
    xyz, frame = np.repeat(np.eye(3), 10_000, 0), np.tile(np.arange(10_000), 3)
    assert rows_again(xyz + SIGMA * rng.normal(size=xyz.shape), frame, 100, SIGMA) > 9000
    assert max(found) < 400_000


def table(xyz: np.ndarray, frame: np.ndarray) -> Localizations:
    order, number = np.argsort(frame, kind="stable"), len(frame)
    return Localizations(
        xyz=torch.tensor(xyz[order]).float(),
        frame=torch.tensor(frame[order]),
        photons=torch.full((number,), 1000.0),
        background=torch.full((number,), 10.0),
        probability=torch.ones(number),
        sigma_xyz=torch.tensor(SIGMA).float().expand(number, 3),
        sigma_photons=torch.full((number,), 50.0),
        sigma_background=torch.ones(number),
        fit_quality=torch.ones(number),
        sigma_source="fit",
    )


def test_the_resolution_of_molecules_that_come_back_says_that_it_is_that_of_their_spots():
    rng = np.random.default_rng(4)
    places = area(2000, rng)
    report = resolution_of(table(*seen(places, 10, rng)), splits=1)
    (note,) = [each for each in report.notes if "come back" in each]
    told = spot_resolution_um(report.again, 0.012)
    measured = report.correlations["x–y"].resolution_um
    assert measured is not None
    assert told is not None
    assert told == pytest.approx(measured, rel=0.1)
    assert f"{1000 * told:.0f} nm" in note
    once = resolution_of(table(*seen(area(20_000, rng), 1, rng)), splits=1)
    assert once.again == 0
    assert not any("come back" in each for each in once.notes)


def test_a_structure_that_is_resolved_finer_than_its_spots_has_no_note_about_them():
    rng = np.random.default_rng(5)
    xyz, frame = seen(area(2000, rng), 10, rng)
    report = resolution_of(table(xyz, frame), splits=1)
    plane = report.correlations["x–y"]
    assert plane.resolution_um is not None
    for ratio, notes in ((0.9, 1), (1.2, 1), (1.4, 0), (3.0, 0)):
        assert len(_about_spots(report.again, ratio * plane.resolution_um, plane)) == notes
