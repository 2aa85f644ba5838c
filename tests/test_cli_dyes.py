"""The command that tells dyes apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from deepstorm3d.cli.app import app
from deepstorm3d.emitters import Localizations
from deepstorm3d.io.tables import TableHeader, read_list, read_table, write_list


@pytest.fixture
def two_dyes(tmp_path: Path) -> Path:
    """A list of 200 molecules, every fourth of which has 0.7 of its light in the second channel."""
    g, count = torch.Generator().manual_seed(0), 200
    table = Localizations.proposals(
        3 * torch.rand(count, 3, generator=g), torch.arange(count), torch.ones(count)
    )
    share = torch.where(torch.arange(count) % 4 == 0, 0.7, 0.3) + 0.03 * torch.randn(count, generator=g)
    path = tmp_path / "found.hdf5"
    write_list(
        path,
        replace(table, share=share, sigma_share=torch.full((count,), 0.03)),
        TableHeader(0.1, 200, (40, 40)),
    )
    return path


@pytest.mark.parametrize("how", [["--dye", "red=0.3", "--dye", "far red=0.7"], ["--dyes", "2"]])
def test_a_list_gets_its_dyes_a_picture_and_a_record(two_dyes: Path, tmp_path: Path, how: list[str]):
    out, picture = tmp_path / "dyes.hdf5", tmp_path / "dyes.png"
    done = CliRunner().invoke(app, ["dyes", str(two_dyes), *how, "--out", str(out), "--picture", str(picture)])
    assert done.exit_code == 0, done.output
    assert "150" in done.output and "50" in done.output and picture.stat().st_size > 1000
    table, header = read_list(out)
    assert table["dye"][:5].tolist() == [2, 1, 1, 1, 2]
    assert header.provenance["steps"][-1]["molecules"][1:] == [150, 50]


def test_what_is_wrong_is_said_with_what_to_write_instead(two_dyes: Path, tmp_path: Path):
    out = tmp_path / "dyes.hdf5"
    for how, said in (
        ([], "NAME=SHARE"),
        (["--dye", "red"], "red=0.2"),
        (["--dye", "red=x"], "red=0.2"),
        (["--dye", "a=.1", "--dye", "a=.2"], "twice"),
    ):
        done = CliRunner().invoke(app, ["dyes", str(two_dyes), *how, "--out", str(out)])
        assert done.exit_code != 0 and said in done.output and not out.exists()
    plain = tmp_path / "plain.hdf5"
    write_list(
        plain, replace(read_table(two_dyes), share=None, sigma_share=None), TableHeader(0.1, 200, (40, 40))
    )
    done = CliRunner().invoke(app, ["dyes", str(plain), "--dyes", "2", "--out", str(out)])
    assert done.exit_code != 0 and "both channels" in done.output
