"""Rows without σ, rows of failed fits, a row a millimetre away: what every job on lists makes of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.fourier import Grid, block_halves, correlate
from deepstorm3d.analysis.linking import LinkRule, spread_over_sigma
from deepstorm3d.analysis.merging import merge_rows
from deepstorm3d.analysis.overlap_drift import typical_sigma
from deepstorm3d.analysis.quality import list_quality
from deepstorm3d.analysis.resolution import resolution_of
from deepstorm3d.emitters import UNKNOWN_SIGMA_UM, Localizations
from deepstorm3d.io.tables import read_list, write_table
from deepstorm3d.jobs.filter import filter_table
from deepstorm3d.jobs.link import link_table
from deepstorm3d.jobs.render import Drawing, render_table
from deepstorm3d.jobs.report import page, write_report
from deepstorm3d.jobs.resolution import measure_resolution
from deepstorm3d.rendering.gaussians import Gaussians
from deepstorm3d.rendering.sections import Box
from deepstorm3d.studio.movie.panel_frames import _depth_words, _marks
from watchers import Recorder

pytestmark = pytest.mark.usefixtures("coarse_pictures")


def molecules(rows: int = 120) -> Localizations:
    """Molecules that shine in four frames each, 1 µm apart, with σ of 10, 10 and 20 nm."""
    g = torch.Generator().manual_seed(4)
    who = torch.arange(rows) // 4
    sigma = torch.tensor([0.01, 0.01, 0.02]).repeat(rows, 1)
    place = torch.stack([who % 6 + 0.5, who // 6 + 0.5, 0.1 * (who % 5)], dim=1).float()
    table = Localizations.proposals(
        place + sigma * torch.randn(rows, 3, generator=g), torch.arange(rows) % 4, torch.ones(rows)
    )
    table = dataclasses.replace(
        table,
        photons=torch.full((rows,), 1000.0),
        background=torch.full((rows,), 5.0),
        sigma_xyz=sigma,
        sigma_photons=torch.full((rows,), 30.0),
        sigma_background=torch.full((rows,), 1.0),
        sigma_source="fit",
    )
    return table


def without_sigma(table: Localizations, rows: slice) -> Localizations:
    sigma = table.sigma_xyz.clone()
    sigma[rows] = 0.0
    return dataclasses.replace(table, sigma_xyz=sigma)


def far(table: Localizations) -> Localizations:
    xyz = table.xyz.clone()
    xyz[7] = torch.tensor([1000.0, 3.0, 0.2])
    return dataclasses.replace(table, xyz=xyz)


def failed(table: Localizations, rows: int = 4) -> Localizations:
    sigma = table.sigma_xyz.clone()
    sigma[:rows] = 1000.0
    return dataclasses.replace(table, sigma_xyz=sigma)


def write(path: Path, table: Localizations) -> Path:
    write_table(path, table.sort(), pixel_um=0.1, frames=4, shape=(64, 64))
    return path


@pytest.mark.parametrize("ending", [".hdf5", ".csv", ".h5"])
def test_a_filter_keeps_no_row_whose_sigma_is_not_known(ending: str, tmp_path: Path):
    source = write(tmp_path / f"a{ending}", without_sigma(molecules(), slice(0, 3)))
    summary = filter_table(source, "sigma_xy_nm < 50", tmp_path / "b.hdf5")
    assert (summary.before, summary.after) == (120, 117)
    assert "sigma_xy_nm is not known in 3 of 120 rows" in summary.warnings[0]
    assert filter_table(source, "~(sigma_xy_nm < 50)", tmp_path / "c.hdf5").after == 0


def test_medians_are_of_the_rows_that_have_a_sigma():
    table = without_sigma(molecules(), slice(0, 50))
    assert typical_sigma(table).tolist() == pytest.approx([0.01, 0.01, 0.02])
    assert list_quality(table, 4).columns["sigma_x_nm"].quantiles[0] == pytest.approx(10.0)
    report = resolution_of(table, splits=1)
    assert report.stated_nm == pytest.approx((10, 10, 20))


@pytest.mark.parametrize("held", [6, 70])
def test_a_depth_at_the_end_of_the_fit_does_not_count_as_a_sigma(held: int):
    table, axis = molecules(), 2
    table.sigma_xyz[:held, axis] = UNKNOWN_SIGMA_UM
    assert typical_sigma(table).tolist() == pytest.approx([0.01, 0.01, 0.02])
    quality = list_quality(table, 4)
    sigma = quality.columns["sigma_z_nm"]
    assert sigma.rows == len(table) - held and sigma.edges[-1] < 100 and sigma.quantiles[-1] < 100
    assert quality.depth is None or float(quality.depth.quartiles.max()) < 100
    assert f"median σ 10 · 10 · 20 nm, {held} of unknown depth" in repr(table)
    table.sigma_xyz[:, axis] = UNKNOWN_SIGMA_UM
    assert "sigma_z_nm" not in list_quality(table, 4).columns
    assert "median σ" not in repr(table) and "120 of unknown depth" in repr(table)


def test_a_tip_says_where_a_depth_is_not_known():
    assert _depth_words(4200.0, 30.0, known=True) == "z 4,200 ± 30 nm"
    table = molecules(2)
    table.sigma_xyz[0, 2] = UNKNOWN_SIGMA_UM
    seen = SimpleNamespace(pixel_um=0.1, z_um=(0.0, 1.0))
    unknown, known = _marks(table, seen).tips  # pyright: ignore[reportArgumentType]
    assert "z unknown" in unknown and "±" not in unknown and "± 20 nm" in known


def test_what_a_molecule_does_not_know_whole_is_not_known_of_it():
    table = molecules(8)
    table.photons[0] = table.sigma_photons[5] = table.background[1] = table.sigma_background[1] = 0.0
    merged = merge_rows(table, torch.arange(8) // 4)
    assert merged.photons.tolist() == [0.0, 4000.0]
    assert merged.sigma_photons.tolist() == pytest.approx([60.0, 0.0])
    assert merged.background.tolist() == [5.0, 5.0]


def test_the_scatter_of_a_molecule_is_taken_from_rows_with_a_sigma():
    table, track = molecules(), torch.arange(120) // 4
    whole = spread_over_sigma(table, track)
    some = spread_over_sigma(without_sigma(table, slice(0, 8)), track)
    assert whole is not None and some is not None
    assert some == pytest.approx(whole, rel=0.2)
    assert spread_over_sigma(without_sigma(table, slice(0, 120)), track) is None


def test_a_localization_of_no_sigma_is_not_drawn_as_the_sharpest(tmp_path: Path):
    watch = Recorder()
    notes = watch.messages
    source = write(tmp_path / "a.hdf5", without_sigma(molecules(), slice(0, 3)))
    drawn = render_table(source, tmp_path / "a.tif", Drawing(Gaussians(), 20), watch=watch)
    assert drawn.localizations == 117
    assert "3 of 120 localizations have no σ and are not drawn" in notes[0]
    assert render_table(source, tmp_path / "b.tif", Drawing(None, 20), watch=watch).localizations == 120
    assert len(notes) == 1


def test_one_row_a_millimetre_away_does_not_make_a_dot_of_the_others(tmp_path: Path):
    watch = Recorder()
    notes = watch.messages
    source = write(tmp_path / "a.hdf5", far(molecules()))
    drawn = render_table(source, tmp_path / "a.png", watch=watch)
    left, top, right, bottom = drawn.xy.edges_um
    assert 5 < right - left < 7 and 4 < bottom - top < 6
    assert (drawn.localizations, drawn.pixel_um) == (119, pytest.approx(0.01))
    assert "1 of 120 localizations lie far beyond all others (the first at x 1000" in notes[0]
    asked = Drawing(None, 5000, Box(x=(0.0, 1001.0)))
    assert render_table(source, tmp_path / "b.png", asked, watch=watch).localizations == 120
    assert len(notes) == 1


def test_failed_fits_are_named_and_do_not_blur_the_others(tmp_path: Path):
    source = write(tmp_path / "a.hdf5", failed(molecules()))
    report = measure_resolution(source, splits=1)
    assert report.stated_nm == pytest.approx((10, 10, 20))
    told = next(note for note in report.notes if "these fits failed" in note)
    assert told.startswith("4 of 120 rows state that their place is not known (a σ of 1 mm)")
    cure = told.split("filter '")[1].split("'")[0]
    assert filter_table(source, cure, tmp_path / "b.hdf5").after == 116
    assert "these fits failed" in link_table(source, tmp_path / "c.hdf5", LinkRule()).warnings[0]
    assert not any("failed" in note for note in measure_resolution(tmp_path / "b.hdf5", splits=1).notes)


def test_a_bead_localized_many_times_resolves_as_its_scatter_says():
    rng = np.random.default_rng(0)
    points, frame = 2 + 0.01 * rng.normal(size=(4000, 2)), np.arange(4000)
    for side in (16, 64):  # with the smaller tile there are fewer rings than a window of the smoothing has
        found = correlate(points, block_halves(frame, 40, 5, rng), Grid((0.005, 0.005), (side, side), 6))
        assert found.smooth.shape[1] == found.noise.shape[0]
    one = resolution_of(spot(1000))
    # One molecule, 500 localizations in each half: FRC = m g / (1 + m g).
    expected = 2 * np.pi * 0.01 / np.sqrt(np.log(6 * 500))
    assert one.correlations["x–y"].resolution_um == pytest.approx(expected, rel=0.25)


def spot(rows: int) -> Localizations:
    g = torch.Generator().manual_seed(1)
    xyz = torch.randn(rows, 3, generator=g) * 0.01 + torch.tensor([2.0, 2.0, 0.5])
    return Localizations.proposals(xyz, torch.arange(rows), torch.ones(rows))


def test_a_section_that_fails_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(page, "quality_section", fail)
    source, watch = write(tmp_path / "a.hdf5", far(molecules())), Recorder()
    titles = write_report(source, tmp_path / "r.html", resolution=False, watch=watch)
    assert titles == ["At a glance", "Conditions", "Picture", "Quality", "Steps", "How it was made"]
    written = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "ZeroDivisionError: of all things" in written
    assert "lie far beyond all others" in written
    assert "the section Quality could not be made" in watch.messages[0]


def test_rows_left_out_are_told_by_the_jobs(tmp_path: Path):
    (tmp_path / "a.csv").write_text(
        "frame,x [nm],y [nm],z [nm]\n1,100,200,300\n2,nan,200,300\n2,101,200,300\n", encoding="utf-8"
    )
    summary = filter_table(tmp_path / "a.csv", "z_nm > 0", tmp_path / "b.csv", pixel_nm=100)
    assert (summary.before, summary.after) == (2, 2)
    assert "1 of 3 rows have no finite position or no frame (row 2, counted from 1)" in summary.warnings[0]
    assert read_list(tmp_path / "b.csv")[1].notes == ()
