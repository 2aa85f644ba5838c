"""Crops in files of their own get their places in the field, by order or by name; messages name files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bead_stacks import CENTRES, bead_stack, small_experiment, write_stack
from deepstorm3d.calibration.beads.reading import read_beads
from deepstorm3d.calibration.beads.settings import BeadSettings
from deepstorm3d.calibration.beads.stack_places import read_places
from deepstorm3d.calibration.beads.stacks import BeadPlace
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.optics import whole_mask

STACKS = [Path("a/one.tif"), Path("a/two.tif"), Path("b/three.tif")]


@pytest.mark.parametrize(
    "text",
    [
        "# column, row\n10, 20\n300, 5\n7, 400\n",
        "7 400\n",
        "two.tif 300 5\nthree.tif\t7\t400 # far\none.tif;10;20\n",
    ],
)
def test_places_are_read_in_order_or_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "places.txt").write_text(text, encoding="utf-8")
    if "\n" in text.strip():
        assert read_places(tmp_path / "places.txt", STACKS) == [(10, 20), (300, 5), (7, 400)]
    else:
        with pytest.raises(InputError, match=r"1 lines of 'column row' .* 3 stacks"):
            read_places(tmp_path / "places.txt", STACKS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one.tif 1 2\ntwo.tif 3 4\n", r"no line for three\.tif"),
        ("1 2\n3 four\n5 6\n", "line 2"),
        ("1 2\n3 -4\n5 6\n", "line 2"),
        ("17\n", "line 1"),
    ],
)
def test_places_that_do_not_fit_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "places.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_places(tmp_path / "places.txt", STACKS)


def test_crops_lie_in_the_field_where_their_places_say(tmp_path: Path) -> None:
    half, beads = 12, []
    for name, (x, y) in zip("ab", CENTRES[:2], strict=True):
        box = [slice(round(at) - half, round(at) + half + 1) for at in (y, x)]
        beads.append(write_stack(tmp_path / f"{name}.tif", bead_stack()[:, box[0], box[1]]))
    (tmp_path / "places.txt").write_text("b.tif 700 30\na.tif 5 400\n", encoding="utf-8")
    experiment = small_experiment()
    asked = BeadSettings(step_um=0.1, first_um=-1.0, places=tmp_path / "places.txt", chip_px=(800, 500))
    stacks = read_beads(experiment, beads, asked, whole_mask(experiment))
    assert stacks.size_px == (500, 800)
    expected = torch.tensor([[5 + half, 400 + half], [700 + half, 30 + half]])
    assert int((stacks.on_chip() - expected).abs().max()) <= 1
    assert str(stacks.places[1]).startswith("b.tif: bead at column")
    with pytest.raises(InputError, match="`chip_px`"):
        small = BeadSettings(step_um=0.1, first_um=-1.0, places=tmp_path / "places.txt", chip_px=(600, 500))
        read_beads(experiment, beads, small, whole_mask(experiment))


def test_a_bead_of_one_stack_is_told_without_its_file() -> None:
    assert str(BeadPlace(0, 3, 4)) == "bead at column 3, row 4"
