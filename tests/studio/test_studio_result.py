"""The panel "Result" without a browser: the filter in words, the rows it keeps, pictures, points and steps."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import deepstorm3d as ds
from deepstorm3d.cli.app import app
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError, MissingPixelSize
from deepstorm3d.io.tables import TableHeader, read_table, write_list
from deepstorm3d.rendering.packed import POINT
from deepstorm3d.studio.folder import Folder
from deepstorm3d.studio.result import picture
from deepstorm3d.studio.result.cloud import CHUNK
from deepstorm3d.studio.result.conditions import Conditions
from deepstorm3d.studio.result.facts import facts
from deepstorm3d.studio.result.look import ResultLook
from deepstorm3d.studio.result.opened import Wanted, open_list
from deepstorm3d.studio.result.picture import Window, as_png, draw, nearest
from deepstorm3d.studio.result.same import python_lines, shown_by_command, step_lines
from deepstorm3d.studio.result.steps import DriftStep, ExportStep, LinkStep, ReportStep, ResolutionStep, endings

HEADER = TableHeader(0.1, 200, (64, 64))


def scattered(rows: int = 4000) -> Localizations:
    """Rows over 6 × 6 × 2 µm in 200 frames, with photons and σ."""
    g = torch.Generator().manual_seed(2)
    xyz = torch.rand(rows, 3, generator=g) * torch.tensor([6.0, 6.0, 2.0])
    plain = Localizations.proposals(xyz, torch.arange(rows) * 200 // rows, torch.ones(rows))
    return replace(
        plain,
        photons=500 + 3000 * torch.rand(rows, generator=g),
        background=torch.full((rows,), 10.0),
        sigma_xyz=0.005 + 0.03 * torch.rand(rows, 3, generator=g),
        sigma_source="fit",
    )


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "found.hdf5"
    write_list(path, scattered(), HEADER)
    return path


@pytest.mark.parametrize("wide_um", [6.0, 40.0, 100.0, 3000.0])
def test_every_row_of_a_field_of_any_size_is_in_the_cloud(wide_um: float, tmp_path: Path) -> None:
    table = scattered(500)
    wide = replace(table, xyz=table.xyz * torch.tensor([wide_um / 6, wide_um / 6, 1.0]))
    write_list(tmp_path / "wide.hdf5", wide, HEADER)
    assert len(open_list(Wanted(tmp_path / "wide.hdf5")).order) == len(table)
    look = opened_look(tmp_path / "wide.hdf5")
    assert "far beyond" not in facts(look)


def opened_look(path: Path, pixel_nm: float | None = None) -> ResultLook:
    """A panel with a list, once all of it is counted."""
    look = ResultLook()
    look.open(path, pixel_nm)
    settle(look)
    return look


def settle(look: ResultLook) -> None:
    """Wait until every thread of the panel has answered."""
    for latest in (look.opening, look.binning, look.sieving, look.counting):
        if latest.busy:
            latest.wait()


def by_command(*words: str) -> None:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output


def test_a_list_is_opened_with_its_columns_and_all_rows(stored: Path):
    look = opened_look(stored)
    assert look.opened is not None and look.kept is not None and look.problem is None
    assert look.kept.rows == 4000 and look.kept.table is look.opened.table
    assert {"photons", "sigma_z_nm", "frame"} <= set(look.columns)
    assert sum(look.distributions["frame"].counts) == 4000
    assert look.picture.drawing.method == "gaussian" and look.picture.drawing.depths[1] < 2.01


def test_what_is_kept_is_what_the_command_keeps(stored: Path, tmp_path: Path):
    look = opened_look(stored)
    look.limit("photons", (1000.1234567, None))
    look.limit("z_nm", (250.0, 1500.0))
    look.say("sigma_xy_nm < 20 | frame >= 150")
    settle(look)
    expression = look.conditions.expression
    assert expression == ("photons >= 1000 & 250 <= z_nm <= 1500 & (sigma_xy_nm < 20 | frame >= 150)")
    expected = ds.filter(stored, expression)
    assert look.kept is not None and 0 < look.kept.rows == len(expected) < 4000
    assert torch.equal(look.kept.table.xyz, expected.xyz)
    assert sum(look.distributions["frame"].counts) == len(expected)
    for name in ("frame", "photons", "z_nm"):
        # Of the rows that are kept, not of the whole list.
        values, told = expected[name], look.distributions[name]
        assert (told.rows, told.least, told.most) == (len(expected), values.min(), values.max())
        assert told.quantiles[2] == np.median(values)
    by_command("filter", str(stored), expression, "--out", str(tmp_path / "kept.hdf5"))
    assert len(read_table(tmp_path / "kept.hdf5")) == len(expected)


def test_a_range_that_is_opened_again_leaves_the_expression():
    one = Conditions().within("photons", (10.0, None), 100.0).within("z_nm", (None, 5.5), 100.0)
    assert one.expression == "photons >= 10 & z_nm <= 5.5"
    assert one.within("photons", (20.0, None), 100.0).expression == "photons >= 20 & z_nm <= 5.5"
    assert one.within("photons", (None, None), 100.0).expression == "z_nm <= 5.5"
    assert Conditions().expression == ""


def test_a_condition_that_cannot_be_read_is_refused_and_the_last_one_stays(stored: Path):
    look = opened_look(stored)
    look.say("photons > 2000")
    with pytest.raises(InputError, match="no column 'brightness'"):
        look.say("brightness > 3")
    assert look.conditions.expression == "photons > 2000"


def test_a_column_without_values_cannot_be_limited(stored: Path):
    with pytest.raises(InputError, match="no values in a column 'track'"):
        opened_look(stored).limit("track", (1.0, None))


def test_a_file_that_is_no_list_leaves_the_open_one(stored: Path, tmp_path: Path):
    look = opened_look(stored)
    (tmp_path / "words.csv").write_text("hello\nworld\n")
    look.open(tmp_path / "words.csv")
    settle(look)
    assert isinstance(look.problem, InputError)
    assert look.opened is not None and look.opened.path == stored
    assert facts(look).startswith(f"still shown: {stored.name}; 4,000 rows")
    look.open(stored)
    settle(look)
    assert facts(look).startswith("4,000 rows")


def test_a_list_without_its_pixel_asks_for_it(tmp_path: Path):
    write_list(tmp_path / "found.hdf5", scattered(50), HEADER)
    path = tmp_path / "pixels.csv"
    path.write_text("frame,x [px],y [px],z [nm],intensity [photon]\n1,5,6,100,900\n2,7,8,300,800\n")
    look = ResultLook()
    look.open(path)
    settle(look)
    assert isinstance(look.problem, MissingPixelSize) and look.opened is None
    look.open(path, 100.0)
    settle(look)
    assert look.opened is not None and len(look.opened.table) == 2


def test_an_empty_list_is_shown_as_one(tmp_path: Path):
    write_list(tmp_path / "none.hdf5", Localizations.empty(), HEADER)
    look = opened_look(tmp_path / "none.hdf5")
    assert look.kept is not None and look.kept.rows == 0 and look.columns == {}
    picture = draw(look.kept, look.picture.drawing, Window(0.0, 0.0, 0.01, 40, 30))
    assert not picture.view.rgb.any() and picture.inside == 0
    assert look.cloud.header(look.kept)["points"] == 0 and look.cloud.chunk(look.kept, 0) == b""
    assert nearest(look.kept, look.picture.drawing, (1.0, 1.0), 1.0) == {}


def test_rows_without_a_position_are_left_out_and_told(tmp_path: Path):
    path = tmp_path / "some.csv"
    lines = [
        "frame,x [nm],y [nm],z [nm],intensity [photon]",
        "1,500,600,100,900",
        "2,nan,800,300,800",
        "3,,1,2,3",
    ]
    path.write_text("\n".join(lines) + "\n")
    look = opened_look(path, 100.0)
    assert look.opened is not None and len(look.opened.table) == 1
    assert "2 of 3 rows" in " ".join(look.opened.header.notes)
    assert look.kept is not None and look.cloud.header(look.kept)["points"] == 1


def test_values_that_are_not_known_keep_no_row(tmp_path: Path):
    table = scattered(100)
    table.photons[:40] = 0.0
    write_list(tmp_path / "some.hdf5", table, HEADER)
    look = opened_look(tmp_path / "some.hdf5")
    look.limit("photons", (1.0, None))
    settle(look)
    assert look.kept is not None and look.kept.rows == 60
    assert look.columns["photons"].rows == 60


def test_the_picture_is_of_the_kept_rows_in_the_window(stored: Path):
    from PIL import Image

    look = opened_look(stored)
    look.limit("x_nm", (None, 3000.0))
    settle(look)
    assert look.kept is not None
    look.picture.use(method="histogram")
    picture = look.picture.draw(look.kept, Window(1.0, 1.0, 0.05, 80, 40), rough=False, screen="a", number=1)
    assert picture is not None
    x, y, _ = look.kept.table.xyz.numpy().T
    assert picture.inside == ((x >= 1) & (x < 5) & (y >= 1) & (y < 3)).sum()
    shown = np.asarray(Image.open(io.BytesIO(as_png(picture))))
    assert shown.shape == (40, 80, 3)
    assert shown[:, :38].any() and not shown[:, 42:].any()


def test_a_section_through_depth_and_a_side_view_draw_what_lies_there(stored: Path):
    look = opened_look(stored)
    assert look.kept is not None
    look.picture.cut("z", (0.5, 0.6))
    look.picture.use(method="histogram", seen="xz")
    picture = draw(look.kept, look.picture.drawing, Window(0.0, 0.0, 0.05, 120, 40))
    z = look.kept.table.xyz[:, 2].numpy()
    assert picture.inside == ((z >= 0.5) & (z < 0.6)).sum() > 0
    lines = np.flatnonzero(picture.view.density.sum(axis=1))
    assert lines.min() >= 9 and lines.max() <= 12


def test_a_picture_that_was_asked_for_anew_is_not_drawn(stored: Path):
    look, window = opened_look(stored), Window(0.0, 0.0, 0.1, 10, 10)
    assert look.kept is not None
    assert look.picture.draw(look.kept, window, rough=True, screen="a", number=5) is not None
    assert look.picture.draw(look.kept, window, rough=True, screen="a", number=4) is None
    assert look.picture.draw(look.kept, window, rough=True, screen="b", number=1) is not None


def test_a_first_look_does_not_wait_for_a_whole_picture(stored: Path, monkeypatch: pytest.MonkeyPatch):
    look, window = opened_look(stored), Window(0.0, 0.0, 0.1, 10, 10)
    kept, begun, go_on, drawn = look.kept, threading.Event(), threading.Event(), picture.draw
    assert kept is not None

    def slowly(*given: Any, rough: bool) -> Any:
        if not rough:
            begun.set()
            assert go_on.wait(30)
        return drawn(*given, rough=rough)

    monkeypatch.setattr(picture, "draw", slowly)
    ask = partial(look.picture.draw, kept, window, screen="a")
    with ThreadPoolExecutor(1) as pool:
        whole = pool.submit(ask, rough=False, number=1)
        assert begun.wait(30)
        first = ask(rough=True, number=2)
        assert first is not None and not whole.done()
        go_on.set()
        assert whole.result(30) is not None


def test_windows_that_no_screen_has_are_refused(stored: Path):
    look = opened_look(stored)
    assert look.kept is not None
    for window in (Window(0, 0, 0.01, 0, 10), Window(0, 0, 0.01, 10, 99_999), Window(0, 0, float("nan"), 9, 9)):
        with pytest.raises(InputError, match="cannot be drawn"):
            draw(look.kept, look.picture.drawing, window)


def test_a_single_molecule_is_told_with_its_values(stored: Path):
    look = opened_look(stored)
    assert look.kept is not None
    x, y, _ = look.kept.table.xyz[17].tolist()
    values = nearest(look.kept, look.picture.drawing, (x + 0.001, y), 0.02)
    assert values["x_nm"] == pytest.approx(1000 * x, abs=0.01)
    assert values["photons"] == pytest.approx(float(look.kept.table.photons[17]))
    assert "probability" in values and "track" in values


def test_the_cloud_is_the_kept_rows_in_packed_chunks(stored: Path):
    look = opened_look(stored)
    look.limit("frame", (100.0, None))
    settle(look)
    assert look.kept is not None
    header = look.cloud.header(look.kept)
    assert header["points"] == look.kept.rows == 2000 and header["chunk"] == CHUNK
    packed = np.frombuffer(look.cloud.chunk(look.kept, 0), POINT)
    assert look.cloud.chunk(look.kept, 1) == b""
    low, high = np.array(header["low"]), np.array(header["high"])
    found = low + packed["at"] / 65535 * (high - low)
    rows = look.kept.opened.tiles.rows[look.kept.order]
    assert np.array_equal(np.sort(rows), np.flatnonzero(look.kept.mask))
    assert np.abs(found - look.kept.opened.table.xyz.numpy()[rows]).max() < 1e-4


def test_the_cloud_is_coloured_by_any_column(stored: Path):
    look = opened_look(stored)
    assert look.kept is not None
    look.cloud.colour_by("photons")
    header = look.cloud.header(look.kept)
    assert header["label"] == "photons (photons)" and 500 < header["ends"][0] < 600
    shade = np.frombuffer(look.cloud.chunk(look.kept, 0), POINT)["shade"]
    photons = look.kept.table.photons.numpy()[look.opened.tiles.rows[look.kept.order]]
    assert np.corrcoef(shade, photons)[0, 1] > 0.999
    with pytest.raises(InputError, match="no column"):
        look.cloud.colour_by("brightness")


def test_the_same_by_command_filters_and_draws(stored: Path):
    look, folder = opened_look(stored), Folder(stored.parent)
    look.limit("photons", (1000.0, None))
    settle(look)
    look.picture.cut("z", (0.5, 1.0))
    look.picture.window = Window(1.0, 2.0, 0.02, 100, 50)
    lines = shown_by_command(look, folder)
    assert lines == [
        "deepstorm3d filter found.hdf5 'photons >= 1000' --out kept.hdf5",
        "deepstorm3d render kept.hdf5 --out picture.png --method gaussian --pixel-nm 20 "
        "--x 1:3 --y 2:3 --z 0.5:1",
    ]
    assert "ds.filter(found, 'photons >= 1000')" in python_lines(look, folder)


@pytest.mark.parametrize("name", list(endings()))
def test_kept_rows_are_exported_to_every_format_and_read_back(stored: Path, name: str):
    out = stored.with_name(f"out{endings()[name][1]}")
    step = ExportStep(Wanted(stored), out, name, "photons >= 2000")
    look = ResultLook()
    look.stepping.ask(step)
    outcome = look.stepping.wait().result
    assert outcome is not None and outcome.made == out
    expected = ds.filter(stored, "photons >= 2000")
    found = read_table(out, pixel_um=0.1)
    assert len(found) == len(expected) > 0
    order, other = (np.lexsort(each.xyz.numpy().T) for each in (found, expected))
    assert np.abs(found.xyz.numpy()[order] - expected.xyz.numpy()[other]).max() < 1e-3


@pytest.mark.parametrize("name", list(endings()))
def test_export_by_command_writes_the_same(stored: Path, tmp_path: Path, name: str):
    step = ExportStep(Wanted(stored), tmp_path / f"out{endings()[name][1]}", name, "photons >= 2000")
    for words in step.commands:
        by_command(*words)
    assert len(read_table(step.out, pixel_um=0.1)) == len(ds.filter(stored, "photons >= 2000"))


def test_drift_is_subtracted_and_the_list_can_be_opened(tmp_path: Path):
    g = torch.Generator().manual_seed(5)
    spots = torch.rand(300, 3, generator=g) * torch.tensor([6.0, 6.0, 1.0])
    frame = torch.arange(200).repeat_interleave(20)
    xyz = spots[torch.randint(0, 300, (4000,), generator=g)] + 0.01 * torch.randn(4000, 3, generator=g)
    xyz[:, 0] += 0.3 * frame / 200
    table = replace(scattered(), xyz=xyz, frame=frame, sigma_xyz=torch.full((4000, 3), 0.01))
    write_list(tmp_path / "found.hdf5", table, HEADER)
    step = DriftStep(Wanted(tmp_path / "found.hdf5"), tmp_path / "found.drift.hdf5")
    look = ResultLook()
    look.stepping.ask(step)
    outcome = look.stepping.wait().result
    assert outcome is not None and outcome.made == step.out and outcome.picture.startswith(b"\x89PNG")
    moved = read_table(step.out)
    late, early = moved.frame >= 150, moved.frame < 50
    shift = (
        xyz[late, 0].mean() - xyz[early, 0].mean() - (moved.xyz[late, 0].mean() - moved.xyz[early, 0].mean())
    )
    assert float(shift) == pytest.approx(0.3 * 0.75, abs=0.02)
    assert step_lines(step, Folder(tmp_path)) == ["deepstorm3d drift found.hdf5 --out found.drift.hdf5"]


def test_a_step_that_is_refused_says_why_and_writes_nothing(stored: Path):
    out = stored.with_name("linked.hdf5")
    write_list(out, scattered(10), HEADER)
    look = ResultLook()
    look.stepping.ask(LinkStep(Wanted(stored), out))
    error = look.stepping.wait().error
    assert isinstance(error, InputError) and "exists" in str(error)
    assert len(read_table(out)) == 10


def test_linking_resolution_and_report_tell_what_they_found(stored: Path):
    folder = stored.parent
    for step, word in (
        (LinkStep(Wanted(stored), folder / "linked.hdf5", radius_nm=50.0), "molecules of 4,000"),
        (ResolutionStep(Wanted(stored)), "x–y"),
        (ReportStep(Wanted(stored), folder / "report.html"), "At a glance"),
    ):
        look = ResultLook()
        look.stepping.ask(step)
        answer = look.stepping.wait(120)
        assert answer.error is None and answer.result is not None
        assert word in " ".join(answer.result.lines)
        for path in answer.result.written:
            assert path.stat().st_size > 0
