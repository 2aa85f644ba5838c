"""Commands that make lists of lists and report on them: arguments, messages, and lists without rows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from deepstorm3d.cli import app
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.io.tables import read_table, write_table, write_truth


def call(*arguments: object) -> SimpleNamespace:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return SimpleNamespace(status=done.exit_code, out=done.stdout, err=done.stderr)


@pytest.fixture
def locs(tmp_path: Path) -> Path:
    """Ten molecules in three frames in a row, without σ; the later rows are the more probable."""
    place = torch.arange(30.0).reshape(-1, 3).repeat(3, 1) / 10
    table = Localizations.proposals(place, torch.arange(30) // 10, torch.linspace(0.1, 1.0, 30))
    write_table(tmp_path / "a.hdf5", table, pixel_um=0.11, frames=3, shape=(40, 40))
    return tmp_path / "a.hdf5"


def test_filter_says_how_many_rows_stay(locs: Path):
    out = locs.with_name("b.csv")
    done = call("filter", locs, "probability > 0.55 & z_nm > 0", "--out", out)
    assert (done.status, done.err) == (0, "")
    assert done.out == f"{out}: 15 of 30 localizations kept, 50.0 %\n"
    assert len(read_table(out)) == 15


def test_link_joins_by_distance_where_there_is_no_sigma(locs: Path):
    out = locs.with_name("b.hdf5")
    missing = call("link", locs, "--out", out)
    assert missing.status == 2
    assert "--radius-nm" in missing.err
    half = call("link", locs, "--out", out, "--axial-nm", 30)
    assert "goes with --radius-nm" in half.err
    done = call("link", locs, "--out", out, "--radius-nm", 30)
    assert done.out == f"{out}: 10 molecules of 30 localizations, 0 seen once\n"


def test_a_typo_names_the_column_and_lists_all(locs: Path):
    done = call("filter", locs, "probabilty > 0.5", "--out", locs.with_name("b.hdf5"))
    assert done.status == 2
    assert "did you mean 'probability'" in done.err
    assert "sigma_z_nm (nm)" in done.err
    assert not locs.with_name("b.hdf5").exists()


def test_every_command_takes_a_list_without_rows(locs: Path):
    empty, linked, page = (locs.with_name(name) for name in ("e.hdf5", "l.hdf5", "r.html"))
    done = call("filter", locs, "probability > 2", "--out", empty)
    assert done.status == 0
    assert "warning: no row of a.hdf5 meets the condition" in done.err
    assert done.out.endswith("0 of 30 localizations kept, 0.0 %\n")
    assert call("filter", empty, "photons > 1", "--out", locs.with_name("ee.csv")).status == 0
    done = call("link", empty, "--out", linked)
    assert "0 molecules of 0 localizations" in done.out
    done = call("report", linked, "--out", page)
    assert done.out.startswith(f"{page}: At a glance, Conditions")
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("convert", "e.hdf5", "e.csv"), None),
        (("evaluate", "e.hdf5", "--truth", "t.csv", "--pixel-nm", 110), None),
        (("render", "e.hdf5", "--out", "e.png"), "nothing to render"),
        (("drift", "e.hdf5", "--out", "d.hdf5"), "localization"),
        (("drift", "e.hdf5", "--out", "d.hdf5", "--apply", "c.csv"), "nothing to move"),
        (("resolution", "e.hdf5"), "needs thousands"),
    ],
)
def test_no_command_stumbles_over_a_list_without_rows(
    locs: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[object, ...], words: str | None
):
    monkeypatch.chdir(locs.parent)
    write_table("e.hdf5", Localizations.empty(), pixel_um=0.11, frames=3, shape=(40, 40))
    write_truth("t.csv", Emitters.empty(), pixel_um=0.11, frames=3, shape=(40, 40))
    Path("c.csv").write_text("frame,dx,dy,dz\n0,1,2,3\n1,1,2,3\n2,1,2,3\n")
    done = call(*command)
    if words is None:
        assert done.status == 0
    else:
        assert done.status == 2
        assert words in done.err.replace("\n", " ")


def test_the_method_of_older_scripts_is_accepted_and_the_one_that_is_gone_explained(locs: Path):
    out = locs.parent / "fixed.hdf5"
    gone = call("drift", locs, "--out", out, "--method", "comet")
    assert gone.status == 2 and not out.exists()
    assert "COMET left 2 to 560 nm" in gone.err.replace("\n", " ") and "leave --method out" in gone.err
    assert "--method" not in call("drift", "--help").out
    kept = call("drift", locs, "--out", out, "--method", "overlap")
    assert "comet" not in kept.err


def test_report_asks_for_movie_and_model_together(locs: Path):
    done = call("report", locs, "--out", locs.with_name("r.html"), "--model", "tetrapod")
    assert done.status == 2
    assert "--movie" in done.err
    assert not locs.with_name("r.html").exists()
