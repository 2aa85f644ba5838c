"""Track: a list in, a list with trajectories out, and what is no list of moving molecules is refused."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from deepstorm3d.analysis.tracking import SearchRange
from deepstorm3d.analysis.trajectories import FrameTiming, TrackRule
from deepstorm3d.cli import app
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import TableHeader, read_header, read_table, write_list
from deepstorm3d.jobs.filter import filter_table
from deepstorm3d.jobs.track import track_table
from diffusing import diffusing

pytestmark = pytest.mark.usefixtures("coarse_pictures")

pytest.importorskip("trackpy")


def write(path: Path, table: Localizations) -> Path:
    write_list(
        path, table, TableHeader(pixel_um=0.11, frames=60, shape=(190, 190), provenance={"movie": "m.tif"})
    )
    return path


@pytest.fixture
def nucleus(tmp_path: Path) -> Path:
    return write(tmp_path / "a.hdf5", diffusing(40, 50)[0])


@pytest.mark.parametrize("ending", ["hdf5", "csv", "h5"])
def test_rows_stay_and_get_a_trajectory(nucleus: Path, ending: str):
    out = nucleus.with_name(f"t.{ending}")
    done = track_table(nucleus, out, TrackRule(gap=3, timing=FrameTiming(interval=2.0)))
    table = read_table(out)
    assert table.track is not None and table.detections is None
    assert (len(table), int(table.track.max()) + 1) == (done.kept, done.tracks)
    assert int(torch.bincount(table.track).min()) >= 3
    assert 40 <= done.tracks <= 44
    assert done.kept > 0.97 * 40 * 50 * 0.9
    assert done.diffusion is not None
    assert done.diffusion.coefficient == pytest.approx(7.5e-4, abs=4 * done.diffusion.coefficient_error)
    assert done.warnings == []


def test_the_step_is_on_record_and_trajectories_can_be_filtered(nucleus: Path):
    out = nucleus.with_name("t.hdf5")
    done = track_table(nucleus, out, TrackRule(least=5))
    made = read_header(out).provenance
    assert made["movie"] == "m.tif"
    (step,) = made["steps"]
    assert (step["step"], step["least"], step["tracks"]) == ("track", 5, done.tracks)
    filter_table(out, "track == 2", nucleus.with_name("one.hdf5"))
    one = read_table(nucleus.with_name("one.hdf5"))
    assert one.track is not None and one.track.unique().tolist() == [2] and len(one) >= 5


def test_trackpy_reads_the_csv(nucleus: Path):
    import trackpy

    pandas = pytest.importorskip("pandas")
    out = nucleus.with_name("t.csv")
    done = track_table(nucleus, out)
    rows = pandas.read_csv(out).rename(columns={"track": "particle"})
    moved = trackpy.emsd(rows, 1e-3, 1.0, max_lagtime=3, pos_columns=["x [nm]", "y [nm]", "z [nm]"])
    assert done.displacements.square_um2.sum(axis=1)[:3] == pytest.approx(moved.to_numpy(), rel=0.03)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.select(t.frame == 3), r"all \d+ rows are in frame 3: a trajectory needs two frames"),
        (lambda t: dataclasses.replace(t, detections=torch.full_like(t.frame, 2)), "the list is linked"),
        (lambda t: dataclasses.replace(t, track=torch.zeros_like(t.frame)), "has a column track already"),
    ],
)
def test_what_is_no_list_of_moving_molecules_is_refused(tmp_path: Path, change, message: str):
    source = write(tmp_path / "a.hdf5", change(diffusing(40, 10)[0]))
    with pytest.raises(InputError, match=message):
        track_table(source, tmp_path / "t.hdf5")
    assert not (tmp_path / "t.hdf5").exists()


def test_files_that_are_damaged_are_refused(tmp_path: Path):
    source = tmp_path / "a.csv"
    head = '"x [nm]","y [nm]","z [nm]"'
    source.write_text(f"{head}\n1,2,3\n")
    with pytest.raises(InputError, match="no column frame"):
        track_table(source, tmp_path / "t.csv", pixel_nm=100)
    source.write_text(f'"frame",{head}\n1,nan,2,3\n2,nan,2,3\n')
    with pytest.raises(InputError, match="no finite position"):
        track_table(source, tmp_path / "t.csv", pixel_nm=100)


def test_settings_out_of_range_are_refused_before_any_work():
    for made, message in (
        (lambda: TrackRule(gap=-1), "`gap`"),
        (lambda: TrackRule(least=0), "`least`"),
        (lambda: FrameTiming(interval=0.0), "above 0 s"),
        (lambda: FrameTiming(interval=1.0, exposure=2.0), "up to the interval"),
        (lambda: FrameTiming(exposure=2.0), "goes with `interval`"),
    ):
        with pytest.raises(InputError, match=message):
            made()


def test_no_rows_and_no_trajectory_are_written_with_a_warning(tmp_path: Path):
    source = write(tmp_path / "a.hdf5", Localizations.empty())
    done = track_table(source, tmp_path / "t.hdf5", picture=tmp_path / "t.png")
    assert (done.tracks, done.diffusion, done.warnings) == (0, None, ["the list has no rows"])
    track = read_table(tmp_path / "t.hdf5").track
    assert track is not None and len(track) == 0
    assert (tmp_path / "t.png").stat().st_size > 1000
    source = write(tmp_path / "b.hdf5", diffusing(2, 2, missed=0.0, false=0.0)[0])
    done = track_table(source, tmp_path / "u.hdf5", TrackRule(SearchRange(0.4, 0.4)))
    assert (done.kept, done.warnings) == (
        0,
        ["no trajectory is long enough; see `least`, `gap` and `range_nm`"],
    )


def test_motion_that_is_not_free_is_told(tmp_path: Path):
    """Bound to a place by a spring, moved by the stage, or listed with σ that are too small."""
    g = np.random.default_rng(1)
    place, paths = np.zeros((60, 3)), []
    for _ in range(60):
        place = 0.6 * place + 0.05 * g.normal(size=place.shape)
        paths.append(place)
    table, who = diffusing(60, 60, 0.0, false=0)
    bound = table.xyz + torch.from_numpy(np.stack(paths).astype(np.float32))[table.frame, who]
    source = write(tmp_path / "a.hdf5", dataclasses.replace(table, xyz=bound))
    assert "on x, y, z molecules have got 0." in " ".join(track_table(source, tmp_path / "b.hdf5").warnings)
    source = write(tmp_path / "c.hdf5", diffusing(40, 50, drift_um=0.05)[0])
    assert "motion of all molecules together" in " ".join(track_table(source, tmp_path / "d.hdf5").warnings)
    table, _ = diffusing(40, 50, 1e-4)
    source = write(tmp_path / "e.hdf5", dataclasses.replace(table, sigma_xyz=table.sigma_xyz / 2))
    told = track_table(source, tmp_path / "f.hdf5").warnings
    assert re.match("on z the steps show a localization error of (19|20|21) nm, the rows say 10 nm", told[-1])


def test_the_command_prints_what_it_found_and_draws_it(nucleus: Path):
    out, picture = nucleus.with_name("t.hdf5"), nucleus.with_name("t.png")
    arguments = ["track", nucleus, "--out", out, "--interval", 1, "--picture", picture]
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    assert done.exit_code == 0
    assert "σ of the steps of" in done.stdout and "D = 0.001" in done.stdout and "µm²/s" in done.stdout
    assert picture.stat().st_size > 20_000
    given = ["track", nucleus, "--out", out, "--overwrite", "--range", 400, "--axial-range", 500]
    done = CliRunner().invoke(app, [str(each) for each in given])
    assert "search range 400 nm in x and y, 500 nm in z: as given" in done.stdout
    assert "µm²/frame" in done.stdout
    done = CliRunner().invoke(app, ["track", str(nucleus), "--out", str(out), "--axial-range", "5"])
    assert (done.exit_code, "goes with --range" in done.stderr) == (2, True)


def test_the_stated_sigma_is_that_of_the_rows_whose_error_the_steps_tell(nucleus: Path):
    """Rows at the ends of a trajectory have no step before or behind them: what they state is not compared."""
    table = read_table(nucleus)
    with_ends = write(
        nucleus.with_name("ends.hdf5"),
        dataclasses.replace(table, sigma_xyz=table.sigma_xyz.clone().index_fill_(0, ends(table, nucleus), 0.2)),
    )
    before = track_table(nucleus, nucleus.with_name("a.csv"))
    after = track_table(with_ends, nucleus.with_name("b.csv"), TrackRule(before.reach))
    assert after.stated_sigma_um == pytest.approx(before.stated_sigma_um, rel=1e-6)


def ends(table: Localizations, source: Path) -> torch.Tensor:
    """The first row of each trajectory."""
    out = source.with_name("tracked.hdf5")
    track_table(source, out, TrackRule(least=1))
    tracked = read_table(out)
    assert tracked.track is not None
    return torch.tensor([int((tracked.track == each).nonzero()[0]) for each in tracked.track.unique()])
