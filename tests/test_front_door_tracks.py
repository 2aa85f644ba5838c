"""`ds.track`: the list of the command, its doubts as warnings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

import deepstorm3d as ds
from deepstorm3d.analysis.trajectories import FrameTiming, TrackRule
from deepstorm3d.jobs.track import track_table
from diffusing import diffusing

pytest.importorskip("trackpy")


def test_a_list_in_memory_is_tracked_as_the_command_tracks_its_file(tmp_path: Path):
    table = diffusing(20, 20)[0]
    source = tmp_path / "a.hdf5"
    ds.write_table(source, table, pixel_um=0.11, frames=20, shape=(190, 190))
    of_file = track_table(source, tmp_path / "t.hdf5", TrackRule(least=4, timing=FrameTiming(interval=2.0)))
    for found in (table, source):
        tracked = ds.track(found, timing=ds.FrameTiming(2.0), least=4)
        written = ds.read_table(tmp_path / "t.hdf5").track
        assert written is not None and tracked.localizations.track is not None
        torch.testing.assert_close(tracked.localizations.track, written)
        assert tracked.diffusion is not None and of_file.diffusion is not None
        assert tracked.diffusion.coefficient == pytest.approx(of_file.diffusion.coefficient)


def test_stage_motion_is_told_as_a_warning():
    with pytest.warns(ds.DoubtfulResult) as told:
        ds.track(diffusing(40, 50, drift_um=0.05)[0])
    assert any("motion of all molecules together" in str(each.message) for each in told)


def test_that_one_trajectory_has_most_steps_is_told_as_a_warning():
    long, short = (diffusing(n, frames, missed=0.0, false=0.0)[0] for n, frames in ((1, 200), (12, 4)))
    table = dataclasses.replace(
        long,
        **{name: torch.cat([column, short.columns()[name]]) for name, column in long.columns().items()},
    ).sort()
    with pytest.warns(ds.DoubtfulResult) as told:
        ds.track(table)
    assert any("has 199 of 235 steps" in str(each.message) for each in told)


def test_one_range_serves_in_depth_too_and_two_are_lateral_and_axial():
    table = diffusing(20, 20)[0]
    for given, expected in ((400.0, (0.4, 0.4)), ((400.0, 700.0), (0.4, 0.7))):
        reach = ds.track(table, range_nm=given).reach
        assert reach is not None and (reach.lateral_um, reach.axial_um) == pytest.approx(expected)
