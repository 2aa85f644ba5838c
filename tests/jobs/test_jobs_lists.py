"""Jobs on lists: a perfect list scores 1, formats agree, pictures are written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from deepstorm3d.analysis.evaluation import MatchRule
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError, MissingPixelSize
from deepstorm3d.io.tables import read_header, read_table, write_table, write_truth
from deepstorm3d.jobs import reading_lists
from deepstorm3d.jobs.convert import convert_table
from deepstorm3d.jobs.evaluate import evaluate_table
from deepstorm3d.jobs.figure_files import FigureFiles
from deepstorm3d.jobs.render import render_table

pytestmark = pytest.mark.usefixtures("coarse_pictures")

PIXEL, SHAPE, FRAMES = 0.11, (50, 60), 10


def truth_table() -> Emitters:
    """Four molecules in each of ten frames, a micrometre apart."""
    x, frame = torch.tensor([1.0, 2.0, 3.0, 4.0]).repeat(FRAMES), torch.arange(FRAMES).repeat_interleave(4)
    return Emitters(
        xyz=torch.stack([x, x, x / 2], 1),
        frame=frame,
        photons=torch.tensor([500.0, 5000.0, 5000.0, 5000.0]).repeat(FRAMES),
        id=torch.arange(4 * FRAMES),
    )


def found_table(offset_um: float = 0.0) -> Localizations:
    truth = truth_table()
    xyz = truth.xyz + torch.tensor([offset_um, 0.0, 0.0])
    table = Localizations.proposals(xyz, truth.frame, torch.full((len(truth),), 0.9))
    return dataclasses.replace(table, photons=truth.photons)


def write_found(path: Path, table: Localizations) -> Path:
    write_table(path, table, pixel_um=PIXEL, frames=FRAMES, shape=SHAPE)
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "truth.csv"
    write_truth(path, truth_table(), pixel_um=PIXEL, frames=FRAMES, shape=SHAPE)
    return path


@pytest.mark.parametrize("ending", ["hdf5", "csv"])
def test_a_perfect_list_scores_one_in_either_format(tmp_path: Path, truth: Path, ending: str):
    locs = write_found(tmp_path / f"locs.{ending}", found_table())
    evaluation = evaluate_table(locs, truth)
    assert evaluation.result.score.jaccard == 1.0
    assert evaluation.result.score.rmse_3d_nm == pytest.approx(0.0, abs=0.1)
    assert (evaluation.truth_rows, evaluation.truth_frames, evaluation.found_rows) == (40, FRAMES, 40)
    assert evaluation.notes == []


def test_a_known_offset_is_the_bias_and_beyond_the_tolerance_a_miss(tmp_path: Path, truth: Path):
    locs = write_found(tmp_path / "locs.hdf5", found_table(0.1))
    assert evaluate_table(locs, truth).result.score.bias_x_nm == pytest.approx(100, abs=0.1)
    assert evaluate_table(locs, truth, MatchRule(tolerance_nm=50)).result.score.tp == 0


def test_dim_truth_counts_neither_as_hit_nor_as_miss(tmp_path: Path, truth: Path):
    result = evaluate_table(
        write_found(tmp_path / "locs.hdf5", found_table()), truth, MatchRule(min_photons=1000)
    ).result
    assert (result.score.tp, result.score.ignored_truth, result.score.ignored_found) == (30, 10, 10)


def test_the_challenge_leaves_out_the_outer_450_nm_of_the_frame(tmp_path: Path, truth: Path):
    found = found_table()
    edge = dataclasses.replace(found, xyz=found.xyz.clone())
    edge.xyz[0] = torch.tensor(
        [6.3, 2.0, 0.5]
    )  # the frame ends at 6.5 µm: a false detection, but in its border
    result = evaluate_table(write_found(tmp_path / "locs.hdf5", edge), truth, MatchRule(challenge=True)).result
    assert (result.score.fp, result.score.ignored_found) == (0, 1)


def test_figures_go_to_json_and_a_picture_shows_them(tmp_path: Path, truth: Path):
    locs = write_found(tmp_path / "locs.hdf5", found_table())
    figures, picture = tmp_path / "f.json", tmp_path / "f.png"
    evaluate_table(locs, truth, files=FigureFiles(json=figures, picture=picture))
    stored = json.loads(figures.read_text(encoding="utf-8"))
    assert stored["jaccard"] == 1.0
    assert stored["intervals"]["jaccard"] == [1.0, 1.0]
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"f\.json exists.*`overwrite=True`"):
        evaluate_table(locs, truth, files=FigureFiles(json=figures))


def test_a_list_of_a_few_frames_is_told_that_the_rest_counts_as_missed(tmp_path: Path, truth: Path):
    found = found_table()
    locs = write_found(tmp_path / "locs.hdf5", found.select(found.frame < 5))
    evaluation = evaluate_table(locs, truth)
    assert evaluation.result.score.recall == 0.5
    assert "20 of 40" in evaluation.notes[0]


def test_two_tables_without_a_pixel_size_ask_for_it(tmp_path: Path):
    bare = tmp_path / "bare.csv"
    bare.write_text('"frame","x [nm]","y [nm]","z [nm]"\n1,100,100,50\n', encoding="utf-8")
    with pytest.raises(MissingPixelSize, match=r"give the pixel size \(`pixel_um`\)"):
        evaluate_table(bare, bare)
    assert evaluate_table(bare, bare, pixel_nm=110.0).result.score.tp == 1
    with pytest.raises(InputError, match="`pixel_um`"):
        convert_table(bare, tmp_path / "out.hdf5")
    assert convert_table(bare, tmp_path / "out.hdf5", pixel_nm=110.0) == 1
    assert render_table(bare, tmp_path / "bare.png").localizations == 1


def test_a_table_without_a_pixel_size_takes_the_others(tmp_path: Path, truth: Path):
    """ThunderSTORM counts from the corner of the first pixel: half a pixel off, had the size been ignored."""
    bare = tmp_path / "bare.csv"
    rows = [
        f"{frame + 1},{1000 * x + 55},{1000 * y + 55},{1000 * z}"
        for frame, (x, y, z) in zip(truth_table().frame.tolist(), truth_table().xyz.tolist(), strict=True)
    ]
    bare.write_text("\n".join(['"frame","x [nm]","y [nm]","z [nm]"', *rows, ""]), encoding="utf-8")
    assert evaluate_table(bare, truth).result.score.bias_x_nm == pytest.approx(0.0, abs=0.1)


def test_a_damaged_table_is_said_to_be_damaged_and_not_tried_with_the_truths_pixel(
    tmp_path: Path, truth: Path, monkeypatch: pytest.MonkeyPatch
):
    damaged = tmp_path / "cut.hdf5"
    damaged.write_bytes(write_found(tmp_path / "whole.hdf5", found_table()).read_bytes()[:2000])
    read: list[Path] = []
    whole = reading_lists.read_list

    def counted(path: Path, **options: Any) -> Any:
        read.append(path)
        return whole(path, **options)

    monkeypatch.setattr(reading_lists, "read_list", counted)
    with pytest.raises(InputError, match=r"cut\.hdf5") as refused:
        evaluate_table(damaged, truth)
    assert not isinstance(refused.value, MissingPixelSize)
    assert read == [damaged]


@pytest.mark.parametrize(
    ("ending", "to"),
    [("csv", None), ("h5", None), ("csv", "smap"), ("h5", "decode"), ("hdf5", "decode"), ("csv", "challenge")],
)
def test_a_list_survives_the_way_through_another_format(tmp_path: Path, ending: str, to: str | None):
    first, other, last = tmp_path / "a.hdf5", tmp_path / f"b.{ending}", tmp_path / "c.hdf5"
    write_found(first, found_table(0.0123))
    assert convert_table(first, other, to=to) == 40
    assert convert_table(other, last, pixel_nm=110.0) == 40
    before, after = read_table(first), read_table(last)
    assert torch.allclose(before.xyz, after.xyz, atol=1e-5)
    assert torch.equal(before.frame, after.frame)
    assert torch.equal(before.photons, after.photons)
    if to not in ("smap", "challenge"):  # which have no place for it
        assert torch.allclose(before.probability, after.probability, atol=1e-5)
    assert read_header(last).pixel_um == pytest.approx(PIXEL)


@pytest.mark.parametrize(("ending", "to"), [("csv", None), ("h5", None), ("csv", "smap")])
def test_links_survive_the_way_through_another_format(tmp_path: Path, ending: str, to: str | None):
    first, other, last = tmp_path / "a.hdf5", tmp_path / f"b.{ending}", tmp_path / "c.hdf5"
    detections = torch.arange(40) % 5 + 1
    write_found(first, dataclasses.replace(found_table(), detections=detections))
    convert_table(first, other, to=to)
    convert_table(other, last, pixel_nm=110.0)
    after = read_table(last).detections
    assert after is not None and torch.equal(after, detections)


def test_converting_refuses_to_replace_a_file(tmp_path: Path):
    first = write_found(tmp_path / "a.hdf5", found_table())
    (tmp_path / "b.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="overwrite=True"):
        convert_table(first, tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text(encoding="utf-8") == "mine"
    assert convert_table(first, tmp_path / "b.csv", overwrite=True) == 40


def test_an_empty_list_has_nothing_to_render(tmp_path: Path):
    empty = write_found(tmp_path / "empty.hdf5", Localizations.empty())
    with pytest.raises(InputError, match="no localization"):
        render_table(empty, tmp_path / "r.png")
    assert not (tmp_path / "r.png").exists()
