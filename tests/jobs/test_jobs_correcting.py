"""Drift and resolution from file to file: what is written, recorded, refused and doubted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from deepstorm3d.analysis.drift import DriftCurve
from deepstorm3d.analysis.resolution import resolution_of
from deepstorm3d.cli import app
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import TableHeader, read_header, read_list, read_table, write_list, write_table
from deepstorm3d.jobs.drift import correct_drift, move_by_curve
from deepstorm3d.jobs.figure_files import FigureFiles
from deepstorm3d.jobs.resolution import measure_resolution

FRAMES, SIGMA = 400, 0.01


def blinking(rows: int = 4000) -> Localizations:
    """60 molecules that shine again and again for two frames, while the sample drifts 0.1 µm along x."""
    rng = np.random.default_rng(1)
    molecules = 1 + 2 * rng.random((60, 3))
    who = np.repeat(rng.integers(60, size=rows // 2), 2)
    frame = np.repeat(rng.integers(FRAMES - 1, size=rows // 2), 2) + np.tile([0, 1], rows // 2)
    xyz = molecules[who] + SIGMA * rng.normal(size=(len(who), 3)) + np.outer(frame / FRAMES, [0.1, 0, 0])
    table = Localizations.proposals(torch.from_numpy(xyz), torch.from_numpy(frame), torch.ones(len(who))).sort()
    return dataclasses.replace(table, sigma_xyz=torch.full((len(who), 3), SIGMA), sigma_source="fit")


def write(path: Path, table: Localizations) -> Path:
    write_list(path, table, TableHeader(pixel_um=0.1, frames=FRAMES, shape=(40, 40), provenance={"model": "m"}))
    return path


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corrected")
    correct_drift(write(folder / "found.hdf5", blinking()), folder / "still.hdf5", segments=2)
    return folder


def test_the_list_its_curve_and_a_picture_are_written_and_the_step_is_recorded(corrected: Path):
    curve = DriftCurve.from_csv((corrected / "still.drift.csv").read_text(), "curve")
    assert len(curve.frames) == FRAMES
    assert np.ptp(curve.shift_um[:, 0]) == pytest.approx(0.1, abs=0.006)
    assert np.ptp(curve.shift_um[:, 1:], axis=0).max() < 0.008
    assert (corrected / "still.drift.png").stat().st_size > 10_000
    provenance = read_header(corrected / "still.hdf5").provenance
    assert provenance["model"] == "m"
    (step,) = provenance["steps"]
    assert (step["step"], step["method"], step["segments"]) == ("drift", "overlap", 2)


def test_frames_without_rows_bend_nothing(tmp_path: Path):
    """The list of a part of a longer movie: the same drift, and none is made up for the rest."""
    table = blinking(1600)
    correct_drift(write(tmp_path / "whole.hdf5", table), tmp_path / "still.hdf5", segments=2)
    later = table.shift(frames=1000)
    write_table(tmp_path / "part.hdf5", later, pixel_um=0.1, frames=9000, shape=(40, 40))
    done = correct_drift(tmp_path / "part.hdf5", tmp_path / "out.hdf5", segments=2)
    alone = DriftCurve.from_csv((tmp_path / "still.drift.csv").read_text(), "curve").shift_um
    shift = done.drift.curve.shift_um
    assert len(shift) == 9000
    assert np.allclose(shift[1000:1399] - shift[1000], alone[:399] - alone[0], atol=2e-3)
    assert np.array_equal(shift[:1000], np.tile(shift[1000], (1000, 1)))
    assert np.ptp(shift[1400:], axis=0).max() == 0


def test_a_curve_is_applied_and_undone_to_the_rounding_of_the_file(corrected: Path, tmp_path: Path):
    still, curve = tmp_path / "still.hdf5", corrected / "still.drift.csv"
    assert move_by_curve(corrected / "found.hdf5", still, curve) == 4000
    assert torch.allclose(read_table(still).xyz, read_table(corrected / "still.hdf5").xyz, atol=1e-6)
    move_by_curve(still, tmp_path / "back.hdf5", curve, undo=True)
    back, before = read_table(tmp_path / "back.hdf5"), read_table(corrected / "found.hdf5")
    assert float((back.xyz.double() - before.xyz.double()).abs().max()) < 1e-6
    steps = read_header(tmp_path / "back.hdf5").provenance["steps"]
    assert [step["step"] for step in steps] == ["drift", "drift undone"]


def test_correcting_the_drift_brings_the_resolution_of_the_list(corrected: Path, tmp_path: Path):
    out, plot = tmp_path / "r.json", tmp_path / "r.png"
    after = measure_resolution(corrected / "still.hdf5", splits=2, files=FigureFiles(json=out, picture=plot))
    before = measure_resolution(corrected / "found.hdf5", splits=2)
    fine, coarse = after.correlations["x–y"].resolution_um, before.correlations["x–y"].resolution_um
    assert fine is not None and coarse is not None
    # m = 33 localizations of each molecule in a half.
    assert fine == pytest.approx(2 * np.pi * SIGMA / np.sqrt(np.log(200)), rel=0.1)
    assert coarse > 1.3 * fine
    written = json.loads(out.read_text())
    assert written["fourier"]["x–y"]["resolution_nm"] == pytest.approx(1000 * fine)
    assert written["nena_sigma_nm"] == pytest.approx([10, 10, 10], rel=0.1)
    assert written["stated_sigma_nm"] == pytest.approx([10, 10, 10], rel=1e-3)
    assert plot.stat().st_size > 10_000
    # The molecules shine in the whole movie, and nothing else is to be said.
    (note,) = after.notes
    assert "molecules come back" in note


def test_a_wrongly_stated_sigma_is_noted(tmp_path: Path):
    table = blinking()
    proud = dataclasses.replace(table, sigma_xyz=table.sigma_xyz / 3)
    report = measure_resolution(write(tmp_path / "proud.hdf5", proud), splits=1)
    assert any("stated σ" in note for note in report.notes)


def with_dim_ones(table: Localizations) -> Localizations:
    """Three times as many molecules that shine in one frame, with ten times the σ."""
    rng = np.random.default_rng(5)
    rows = 3 * len(table)
    xyz = torch.from_numpy(rng.random((rows, 3)) * [4.0, 4.0, 1.0]).to(table.xyz.dtype)
    again = table.select(torch.arange(rows) % len(table))
    dim = dataclasses.replace(again, xyz=xyz, sigma_xyz=10 * again.sigma_xyz)
    return Localizations.concat([table, dim]).sort()


def test_the_stated_sigma_is_held_against_the_rows_that_the_neighbours_are(tmp_path: Path):
    """Bright molecules shine through many frames, dim ones in one: a median over all rows is that of others."""
    table = with_dim_ones(blinking())
    report = measure_resolution(
        write(tmp_path / "both.hdf5", table), splits=1, files=FigureFiles(json=tmp_path / "r.json")
    )
    assert report.stated_nm == pytest.approx((100, 100, 100), rel=0.01)
    assert report.stated_of_pairs_nm == pytest.approx([10, 10, 10], rel=0.01)
    assert not any("stated σ" in note for note in report.notes)
    assert json.loads((tmp_path / "r.json").read_text())["stated_sigma_of_these_pairs_nm"] == pytest.approx(
        [10, 10, 10], rel=0.01
    )
    proud = dataclasses.replace(table, sigma_xyz=table.sigma_xyz / 3)
    again = measure_resolution(write(tmp_path / "proud.hdf5", proud), splits=1)
    assert any("stated σ" in note and "stated 3.3 nm" in note for note in again.notes)


def test_a_steady_motion_is_told_as_drift_and_not_as_a_wrong_sigma(tmp_path: Path):
    table = blinking()
    moved = table.xyz.clone()
    moved[:, 0] += 0.015 * table.frame
    report = measure_resolution(write(tmp_path / "m.hdf5", dataclasses.replace(table, xyz=moved)), splits=1)
    assert any(
        "from each frame to the next: x 1" in note and "y" not in note.split(":")[1] for note in report.notes
    )
    assert not any("stated σ" in note for note in report.notes)


REAL = Path(__file__).parents[2].parent / "shared" / "data" / "public" / "smap_dstorm_data.mat"


@pytest.mark.skipif(not REAL.exists(), reason="needs the real list of ../shared/data")
def test_a_real_list_states_true_sigma_of_the_molecules_that_shine_longer():
    """SMAP's own σ: 19, 24 and 58 nm where molecules were seen again, a median of 120, 77 and 336 of all rows.

    Every molecule moves by −17 nm from each frame to the next: those followed over 20 to 100 frames do, too.
    """
    table, _ = read_list(REAL)
    report = resolution_of(table, splits=1)
    assert report.precision is not None and report.stated_of_pairs_nm is not None
    ratio = [
        1000 * fit.sigma_um / said
        for fit, said in zip(report.precision, report.stated_of_pairs_nm, strict=True)
    ]
    assert 0.8 < ratio[0] < 1.25 and 0.8 < ratio[2] < 1.25
    assert report.precision[0].motion_um == pytest.approx(-0.0167, abs=0.002)


def test_a_list_that_tells_no_drift_is_refused_and_nothing_is_written(tmp_path: Path):
    rng = np.random.default_rng(2)
    xyz = torch.from_numpy(10 * rng.random((300, 3)))
    noise = Localizations.proposals(xyz, torch.arange(300), torch.ones(300))
    source = write(tmp_path / "noise.hdf5", noise)
    with pytest.raises(InputError, match=r"noise\.hdf5: the list tells no drift: only \d+ pairs"):
        correct_drift(source, tmp_path / "out.hdf5")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("job", ["drift", "resolution"])
@pytest.mark.parametrize(("rows", "words"), [(0, "holds 0|0 localizations in 0 frames"), (200, "1 frame")])
def test_no_rows_and_one_frame_are_errors_that_say_what_is_needed(
    tmp_path: Path, job: str, rows: int, words: str
):
    table = Localizations.proposals(
        torch.rand(rows, 3, generator=torch.Generator().manual_seed(1)),
        torch.zeros(rows, dtype=torch.int64),
        torch.ones(rows),
    )
    source = write(tmp_path / "l.hdf5", table)
    with pytest.raises(InputError, match=words):
        if job == "drift":
            correct_drift(source, tmp_path / "out.hdf5")
        else:
            measure_resolution(source)
    assert [path.name for path in tmp_path.glob("out*")] == []


def test_nothing_is_replaced_unasked(corrected: Path):
    with pytest.raises(InputError, match="exists"):
        correct_drift(corrected / "found.hdf5", corrected / "still.hdf5")
    with pytest.raises(InputError, match="exists"):
        measure_resolution(corrected / "found.hdf5", files=FigureFiles(json=corrected / "found.hdf5"))


def test_the_commands_print_what_they_found(corrected: Path, tmp_path: Path):
    def call(*words: object) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.stdout

    found = write(tmp_path / "found.hdf5", blinking(1600))
    said = call("drift", found, "--out", tmp_path / "a.csv", "--frames-per-segment", 200)
    assert "2 segments" in said
    assert (tmp_path / "a.drift.csv").exists()
    undone = call("drift", tmp_path / "a.csv", "--out", tmp_path / "b.csv", "--undo", tmp_path / "a.drift.csv")
    assert "added back" in undone
    said = call("resolution", corrected / "still.hdf5", "--splits", 1)
    assert all(name in said for name in ("x–y", "x–z", "y–z", "3D", "NeNA"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--apply", "a.csv", "--undo", "a.csv"], "not both"),
        (["--apply", "a.csv", "--segments", "3"], "belong to an estimate"),
        (["--apply", "a.csv"], "cannot read the drift curve"),
        (["--segments", "3", "--frames-per-segment", "10"], "not both"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    corrected: Path, tmp_path: Path, words: list[str], told: str
):
    done = CliRunner().invoke(
        app, ["drift", str(corrected / "found.hdf5"), "--out", str(tmp_path / "o.hdf5"), *words]
    )
    assert done.exit_code == 2
    assert told in done.stderr
