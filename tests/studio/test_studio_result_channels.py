"""The panel "Result" with dyes and molecules: their colours, their names, and a molecule over its frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepstorm3d.emitters import Localizations
from deepstorm3d.io.tables import TableHeader, write_list
from deepstorm3d.rendering.categories import category_colours
from deepstorm3d.rendering.packed import POINT
from deepstorm3d.studio.folder import Folder
from deepstorm3d.studio.result.legend import hex_of, legend_of, offered_colours
from deepstorm3d.studio.result.look import ResultLook
from deepstorm3d.studio.result.molecule import (
    FRAMES_OF_MOLECULES,
    durations_chart,
    lifetime_chart,
    rows_of_molecule,
)
from deepstorm3d.studio.result.opened import OpenList
from deepstorm3d.studio.result.picture import Window, draw
from deepstorm3d.studio.result.same import shown_by_command

MOLECULE = torch.tensor([0, 1, 0, 2, 0, 1, 3, 0])
FRAME = torch.tensor([3, 3, 4, 4, 5, 5, 6, 9])
DYE = torch.tensor([1, 2, 1, 0, 1, 2, 2, 1])


def table() -> Localizations:
    """Eight rows of four molecules, the first in frames 3, 4, 5 and 9; two dyes."""
    places = torch.tensor([[1.0, 1.0, 0.5], [2.0, 1.0, 0.6], [3.0, 2.0, 0.2], [4.0, 1.5, 0.9]])[MOLECULE]
    rows = Localizations.proposals(places, FRAME, torch.ones(8))
    share = torch.tensor([0.25, 0.6, 0.25, 0.5, 0.25, 0.6, 0.6, 0.25])
    return replace(
        rows,
        photons=torch.arange(1, 9) * 1000.0,
        molecule=MOLECULE,
        dye=DYE,
        dye_probability=torch.full((8,), 0.9),
        share=share,
        sigma_share=share / 50,
    )


@pytest.fixture
def look(tmp_path: Path) -> ResultLook:
    made = {"steps": [{"step": "dyes", "dyes": {"red": 0.25, "far red": 0.6}}]}
    write_list(tmp_path / "dyes.hdf5", table(), TableHeader(0.1, 10, (32, 64), made))
    look = ResultLook()
    look.open(tmp_path / "dyes.hdf5")
    look.opening.wait()
    for latest in (look.binning, look.sieving, look.counting):
        latest.wait()
    return look


def opened(look: ResultLook) -> OpenList:
    assert look.opened is not None
    return look.opened


def test_dyes_of_one_channel_have_their_names_in_the_legend(tmp_path: Path) -> None:
    rows = replace(table(), share=None, sigma_share=None)
    write_list(tmp_path / "one.hdf5", rows, TableHeader(0.1, 10, (32, 64), {"dyes": ["orange", "red"]}))
    look = ResultLook()
    look.open(tmp_path / "one.hdf5")
    look.opening.wait()
    assert legend_of(opened(look), "dye")[1] == ["orange", "red", "none"]


def test_a_picture_shows_each_dye_in_the_colour_that_its_legend_has(look: ResultLook) -> None:
    assert list(offered_colours(look.opened)) == ["depth", "dye", "molecule", "none"]
    colours, names = legend_of(opened(look), "dye")
    assert names == ["red", "far red", "none"]
    look.picture.use(colour="dye", method="histogram")
    assert look.kept is not None
    # Pixels of 0.5 µm: the molecules at x = 1 and 2 µm have one each.
    shown = draw(look.kept, look.picture.drawing, Window(0.75, 0.75, 0.5, 8, 4)).view.rgb
    for column, colour in ((0, colours[0]), (2, colours[1])):
        # Hue at full brightness: densities above the percentile are not scaled.
        pixel = shown[0, column] / shown[0, column].max()
        wanted = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        np.testing.assert_allclose(pixel, wanted / wanted.max(), atol=0.02)
    assert "--colour dye" in shown_by_command(look, Folder(opened(look).path.parent))[-1]


def test_molecules_of_several_frames_have_a_colour_of_their_own_and_others_none(look: ResultLook) -> None:
    numbers = opened(look).tiles.numbers["molecule"]
    by_row = {int(row): int(number) for row, number in zip(opened(look).tiles.rows, numbers, strict=True)}
    assert [by_row[row] for row in range(8)] == [1, 2, 1, 0, 1, 2, 0, 1]
    assert len({tuple(rgb) for rgb in category_colours("molecule")[:20].round(3).tolist()}) == 20
    look.picture.use(colour="molecule")
    assert look.kept is not None
    assert draw(look.kept, look.picture.drawing, Window(0.0, 0.0, 0.1, 64, 32)).view.rgb.max() > 0


def test_a_list_without_them_offers_neither(tmp_path: Path) -> None:
    write_list(
        tmp_path / "plain.hdf5",
        replace(table(), molecule=None, dye=None, dye_probability=None),
        TableHeader(0.1, 10, (32, 64)),
    )
    look = ResultLook()
    look.open(tmp_path / "plain.hdf5")
    look.opening.wait()
    assert list(offered_colours(look.opened)) == ["depth", "none"]
    assert rows_of_molecule(opened(look), 0) is None


def test_the_points_of_the_cloud_carry_the_number_of_the_dye(look: ResultLook) -> None:
    look.cloud.colour_by("dye")
    assert look.kept is not None
    header = look.cloud.header(look.kept)
    assert header["palette"] == hex_of("dye") and header["legend"] == legend_of(opened(look), "dye")
    points = np.frombuffer(look.cloud.chunk(look.kept, 0), POINT)
    assert sorted(points["shade"].tolist()) == sorted(DYE.tolist())
    look.cloud.colour_by("z_nm")
    assert look.cloud.header(look.kept)["palette"] is None


def test_a_molecule_is_told_over_its_frames(look: ResultLook) -> None:
    rows = rows_of_molecule(opened(look), 0)
    assert rows is not None
    assert rows.frame.tolist() == [3, 4, 5, 9] and rows.photons.tolist() == [1000, 3000, 5000, 8000]
    assert "molecule 0: 4 frames (3–5, 9), 17,000 photons in all, 25.0% in the second channel" in str(rows)
    chart = lifetime_chart(rows)
    assert chart["xAxis"]["data"] == list(range(2, 11))
    first, second = (part["data"] for part in chart["series"])
    assert first == [None, 750, 2250, 3750, None, None, None, 6000, None]
    assert second[1] == 250 and rows_of_molecule(opened(look), 77) is None


def test_the_statistics_count_frames_of_molecules(look: ResultLook) -> None:
    found = look.distributions[FRAMES_OF_MOLECULES]
    assert (found.rows, found.counts, found.most) == (4, [2, 1, 0, 1], 4.0)
    assert durations_chart(found.counts, 4.0)["xAxis"]["data"] == ["1", "2", "3", "4"]
    assert durations_chart(found.counts, 9.0)["xAxis"]["data"][-1] == "4 +"
