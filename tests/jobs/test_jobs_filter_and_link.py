"""Filter and link: lists made from lists, with the step on record, down to no row at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from deepstorm3d.analysis.linking import LinkRule
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import TableHeader, read_header, read_table, write_list
from deepstorm3d.jobs.filter import filter_table
from deepstorm3d.jobs.link import link_table


def found(molecules: int = 30, frames: int = 4) -> Localizations:
    """Molecules 1 µm apart, each in `frames` frames in a row, σ 10 nm."""
    g = torch.Generator().manual_seed(4)
    place = torch.arange(molecules * 3).reshape(-1, 3).repeat_interleave(frames, 0) / 3.0
    table = Localizations.proposals(
        place + 0.01 * torch.randn(place.shape, generator=g),
        torch.arange(frames).repeat(molecules),
        torch.full((molecules * frames,), 0.9),
    )
    photons = 1000.0 * (1 + torch.arange(molecules)).repeat_interleave(frames)
    sigma = torch.full_like(place, 0.01)
    return dataclasses.replace(table, photons=photons, sigma_xyz=sigma, sigma_source="fit").sort()


def write(path: Path, table: Localizations) -> Path:
    write_list(
        path, table, TableHeader(pixel_um=0.11, frames=10, shape=(400, 400), provenance={"movie": "m.tif"})
    )
    return path


@pytest.mark.parametrize("ending", ["hdf5", "csv", "h5"])
def test_a_filtered_list_holds_the_rows_that_meet_the_condition(tmp_path: Path, ending: str):
    source = write(tmp_path / f"a.{ending}", found())
    summary = filter_table(source, "photons > 10500 & sigma_z_nm < 40", tmp_path / f"b.{ending}")
    assert (summary.before, summary.after, summary.warnings) == (120, 80, [])
    assert float(read_table(tmp_path / f"b.{ending}").photons.min()) == 11000.0


def test_every_step_stays_on_record(tmp_path: Path):
    source = write(tmp_path / "a.hdf5", found())
    filter_table(source, "photons > 10500", tmp_path / "b.hdf5")
    link_table(tmp_path / "b.hdf5", tmp_path / "c.hdf5", LinkRule())
    made = read_header(tmp_path / "c.hdf5").provenance
    assert made["movie"] == "m.tif"
    first, second = made["steps"]
    assert (first["step"], first["expression"], first["rows"]) == ("filter", "photons > 10500", [120, 80])
    assert (second["step"], second["source"], second["dark"], second["rows"]) == ("link", "b.hdf5", 1, [80, 20])


def test_a_linked_list_has_a_row_for_each_molecule(tmp_path: Path):
    source = write(tmp_path / "a.hdf5", found())
    summary = link_table(source, tmp_path / "b.hdf5", LinkRule())
    assert (summary.rows, summary.molecules, summary.seen_once) == (120, 30, 0)
    assert summary.spread_over_sigma == pytest.approx((1, 1, 1), abs=0.35)
    merged = read_table(tmp_path / "b.hdf5")
    assert merged.frame.tolist() == [0] * 30
    assert sorted(merged.photons.tolist()) == [4000.0 * (1 + k) for k in range(30)]
    assert merged.sigma_xyz.flatten().tolist() == pytest.approx([0.005] * 90, rel=1e-5)
    with pytest.raises(InputError, match="is linked already"):
        link_table(tmp_path / "b.hdf5", tmp_path / "c.hdf5", LinkRule())


def test_sigma_that_are_too_small_are_noticed(tmp_path: Path):
    table = found()
    source = write(tmp_path / "a.hdf5", dataclasses.replace(table, sigma_xyz=table.sigma_xyz / 2))
    (warning,) = link_table(source, tmp_path / "b.hdf5", LinkRule()).warnings
    assert "times their σ" in warning and "pairs" in warning
    assert link_table(source, tmp_path / "c.hdf5", LinkRule(radius_um=0.1, axial_um=0.1)).warnings == []


def test_two_pairs_do_not_show_that_sigma_are_too_small(tmp_path: Path):
    few = found(molecules=1, frames=3)
    far = torch.tensor([[0.0, 0, 0], [0.0028, 0, 0], [0, 0, 0]])
    table = dataclasses.replace(few, xyz=few.xyz.mean(0) + far, sigma_xyz=torch.full((3, 3), 0.001))
    summary = link_table(write(tmp_path / "a.hdf5", table), tmp_path / "b.hdf5", LinkRule())
    assert summary.spread_over_sigma is not None and max(summary.spread_over_sigma) > 1.3
    assert summary.warnings == []


def test_no_row_left_is_written_with_a_warning(tmp_path: Path):
    source = write(tmp_path / "a.hdf5", found())
    summary = filter_table(source, "photons < 0", tmp_path / "b.hdf5")
    assert summary.after == 0
    assert "no row of a.hdf5 meets the condition" in summary.warnings[0]
    assert len(read_table(tmp_path / "b.hdf5")) == 0
    again = filter_table(tmp_path / "b.hdf5", "photons < 0", tmp_path / "c.hdf5")
    assert (again.before, again.after, again.share) == (0, 0, 0.0)
    linked = link_table(tmp_path / "b.hdf5", tmp_path / "d.hdf5", LinkRule())
    assert (linked.molecules, linked.spread_over_sigma) == (0, None)
    assert "has no rows" in linked.warnings[0]


def test_a_column_that_the_list_does_not_have_is_named(tmp_path: Path):
    source = write(tmp_path / "a.hdf5", found())
    summary = filter_table(source, "fit_quality < 2", tmp_path / "b.hdf5")
    assert (summary.after, len(summary.warnings)) == (0, 2)
    assert "fit_quality is not known in any row" in summary.warnings[0]


def test_a_slip_of_the_pen_and_a_name_that_is_taken_are_told_before_any_work(tmp_path: Path):
    source = write(tmp_path / "a.hdf5", found())
    with pytest.raises(InputError, match="did you mean 'photons'"):
        filter_table(tmp_path / "nowhere.hdf5", "photon > 1", tmp_path / "b.hdf5")
    with pytest.raises(InputError, match="must be a condition"):
        filter_table(tmp_path / "nowhere.hdf5", "photons", tmp_path / "b.hdf5")
    for write_again in (
        lambda: filter_table(source, "photons > 1", source),
        lambda: link_table(source, source, LinkRule()),
    ):
        with pytest.raises(InputError, match="overwrite=True"):
            write_again()
    assert len(read_table(source)) == 120
    assert not (tmp_path / "b.hdf5").exists()
