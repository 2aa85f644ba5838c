"""A list that cannot be written is told before any work, by every job that makes one, and blocks no retry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deepstorm3d.analysis.dyes import DyeRule
from deepstorm3d.analysis.linking import LinkRule
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.presets import preset
from deepstorm3d.jobs.axial_scan import FocalPlanes, scan_stack
from deepstorm3d.jobs.convert import convert_table
from deepstorm3d.jobs.drift import correct_drift, move_by_curve
from deepstorm3d.jobs.dyes import dyes_of_table
from deepstorm3d.jobs.filter import filter_table
from deepstorm3d.jobs.link import link_table
from deepstorm3d.jobs.register import move_list
from deepstorm3d.jobs.track import track_table
from deepstorm3d.localizing.excerpt import Excerpt

# None of these files is there: what is told of the output is told before they are asked for.
SOURCE = Path("nowhere.hdf5")
JOBS: dict[str, Callable[[Path], object]] = {
    "convert": lambda out: convert_table(SOURCE, out),
    "drift": lambda out: correct_drift(SOURCE, out),
    "drift, a given curve": lambda out: move_by_curve(SOURCE, out, Path("nowhere.csv")),
    "dyes": lambda out: dyes_of_table(SOURCE, out, DyeRule({"a": 0.2, "b": 0.8})),
    "filter": lambda out: filter_table(SOURCE, "photons > 1", out),
    "link": lambda out: link_table(SOURCE, out, LinkRule()),
    "register": lambda out: move_list(SOURCE, out, Path("nowhere.yaml")),
    "track": lambda out: track_table(SOURCE, out),
}


@pytest.mark.parametrize("job", JOBS)
def test_an_ending_of_no_list_is_told_before_any_work(job: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no list is written as '.tif'"):
        JOBS[job](tmp_path / "fixed.tif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("job", JOBS)
def test_a_file_of_the_users_in_place_of_the_sidecar_is_told_before_any_work(job: str, tmp_path: Path) -> None:
    (tmp_path / "exp.yaml").write_text("microscope: {na: 1.45}\n")
    with pytest.raises(InputError, match=r"exp.yaml exists and does not belong to a table"):
        JOBS[job](tmp_path / "exp.hdf5")
    assert [path.name for path in tmp_path.iterdir()] == ["exp.yaml"]


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("names", [("run.raw", "run.yaml"), ("run.RAW", "run.yml"), ("run.dat", "run.json")])
def test_what_describes_a_raw_movie_is_never_replaced(job: str, tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        (tmp_path / name).write_text("Width: 64\nHeight: 64\nFrames: 20\nData Type: uint16\nByte Order: '<'\n")
    with pytest.raises(InputError, match=rf"run.yaml describes the raw movie {names[0]}; it would be"):
        JOBS[job](tmp_path / "run.hdf5")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_format_that_is_asked_for_decides_the_ending(tmp_path: Path) -> None:
    asked: tuple[Callable[[Path], object], ...] = (
        lambda out: convert_table(SOURCE, out, to="smap"),
        lambda out: filter_table(SOURCE, "photons > 1", out, to="smap"),
    )
    for job in asked:
        with pytest.raises(InputError, match=r"SMAP CSV is written as .csv"):
            job(tmp_path / "a.hdf5")


def test_spots_of_an_axial_scan_are_a_csv(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"written as .csv, not '.hdf5'"):
        scan_stack(Excerpt(Path("nowhere.tif")), preset("quickstart"), tmp_path / "a.hdf5", FocalPlanes(0.1))
    assert list(tmp_path.iterdir()) == []
