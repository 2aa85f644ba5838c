"""The molecule column in files: rows with one number are one molecule, in each format with a place for it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import TableHeader, open_list_writer, read_table, read_truth, write_list
from deepstorm3d.io.tables.followed_table import FollowedTable

HEADER = TableHeader(0.11, 30, (40, 50))
HOLD_MOLECULES = {"picasso": ".hdf5", "thunderstorm": ".csv", "smap": ".csv", "smappy": ".h5", "decode": ".h5"}
GROWING = [".hdf5", ".csv"]


def tied(numbers: list[int], first: int = 0) -> Localizations:
    """A row in each frame from the first on; rows with one number have one place and one σ of it."""
    number = torch.tensor(numbers, dtype=torch.int64)
    place = 1.0 + 0.1 * number.double()[:, None] * torch.tensor([1.0, 2.0, 0.5])
    table = Localizations.proposals(place.float(), first + torch.arange(len(number)), torch.ones(len(number)))
    sigma = 0.01 + 0.001 * number[:, None] * torch.ones(3)
    photons = 1000.0 + torch.arange(len(number))
    return replace(table, photons=photons, sigma_xyz=sigma, sigma_source="fit", molecule=number)


def numbers(path: Path) -> list[int] | None:
    found = read_table(path, pixel_um=0.11).molecule
    assert found is None or found.dtype == torch.int64
    return None if found is None else found.tolist()


@pytest.mark.parametrize("name", HOLD_MOLECULES)
def test_molecules_survive_and_lists_without_stay_without(name: str, tmp_path: Path):
    path = tmp_path / f"tied{HOLD_MOLECULES[name]}"
    write_list(path, tied([5, 2, 5, 0, 5]), HEADER, format=name)
    assert numbers(path) == [5, 2, 5, 0, 5]
    write_list(path, replace(tied([5, 2]), molecule=None), HEADER, format=name, overwrite=True)
    assert numbers(path) is None
    write_list(path, tied([]), HEADER, format=name, overwrite=True)
    assert len(read_table(path, pixel_um=0.11)) == 0


@pytest.mark.parametrize("suffix", GROWING)
def test_a_list_of_molecules_grows_and_goes_on_after_an_interruption(suffix: str, tmp_path: Path):
    path, like = tmp_path / f"l{suffix}", tied([])
    writer = open_list_writer(path, HEADER, like)
    writer.append(tied([0, 1, 0]), frames_done=3)
    writer.append(Localizations.empty(), frames_done=10)
    followed = FollowedTable(path).new_rows()["molecule"].tolist() if suffix == ".hdf5" else [0, 1, 0]
    with open_list_writer(path, HEADER, like, resume=True) as writer:
        assert writer.next_frame == 10
        writer.append(tied([4, 1], first=10), frames_done=12)
    assert numbers(path) == [0, 1, 0, 4, 1] and followed == [0, 1, 0]


@pytest.mark.parametrize("suffix", GROWING)
def test_blocks_with_and_without_molecules_do_not_mix(suffix: str, tmp_path: Path):
    path, single = tmp_path / f"l{suffix}", replace(tied([0, 1]), molecule=None)
    writer = open_list_writer(path, HEADER, single)
    writer.append(single, frames_done=2)
    with pytest.raises(ValueError, match="same columns"):
        writer.append(tied([2], first=5), frames_done=6)
    with pytest.raises(InputError, match="other columns"):
        open_list_writer(path, HEADER, tied([]), resume=True)
    assert open_list_writer(path, HEADER, single, resume=True).next_frame == 2


def test_picasso_colours_molecules_by_their_group_and_trajectories_come_first(tmp_path: Path):
    for track, group in ((None, [3, 1, 3]), (torch.tensor([8, 9, 8]), [8, 9, 8])):
        write_list(tmp_path / "l.hdf5", replace(tied([3, 1, 3]), track=track), HEADER, overwrite=True)
        with h5py.File(tmp_path / "l.hdf5") as file:
            rows: Any = file["locs"]
            assert rows["group"].tolist() == group and rows["molecule"].tolist() == [3, 1, 3]


def test_a_list_of_molecules_is_a_truth_whose_rows_say_which_are_one(tmp_path: Path):
    write_list(tmp_path / "l.hdf5", tied([3, 1, 3]), HEADER)
    assert read_truth(tmp_path / "l.hdf5").id.tolist() == [3, 1, 3]
    write_list(tmp_path / "l.hdf5", replace(tied([3, 1, 3]), molecule=None), HEADER, overwrite=True)
    assert read_truth(tmp_path / "l.hdf5").id.tolist() == [0, 1, 2]


def test_a_row_without_a_number_is_a_molecule_of_its_own(tmp_path: Path):
    path = tmp_path / "l.csv"
    write_list(path, tied([3, 1, 3, 7]), HEADER)
    text = path.read_text().splitlines()
    for line, word in ((2, "-1"), (4, "")):
        text[line] = text[line].rsplit(",", 2)[0] + f",{word},110.0"
    path.write_text("\n".join(text) + "\n")
    assert numbers(path) == [3, 4, 3, 5]


@pytest.mark.parametrize(("name", "column"), [("smap", "groupindex"), ("smappy", "group_id")])
def test_groups_are_numbered_and_counted_as_their_programs_do(name: str, column: str, tmp_path: Path):
    path = tmp_path / f"l{HOLD_MOLECULES[name]}"
    write_list(path, tied([0, 4, 0, 2, 0]), HEADER, format=name)
    counts = "numberInGroup" if name == "smap" else "n_in_group"
    if name == "smap":
        rows = list(csv.DictReader(path.read_text().splitlines()))
        told = {key: [int(row[key]) for row in rows] for key in (column, counts)}
    else:
        with h5py.File(path) as file:
            locs: Any = file["locs"]
            told = {key: locs[key][()].tolist() for key in (column, counts)}
    assert told == {column: [1, 5, 1, 3, 1], counts: [3, 1, 3, 1, 3]}
    assert read_table(path, pixel_um=0.11).detections is None


@pytest.mark.parametrize("name", ["smap", "smappy", "decode"])
def test_groups_that_were_only_linked_are_rows_of_single_frames(name: str, tmp_path: Path):
    path, table = tmp_path / f"l{HOLD_MOLECULES[name]}", tied([1, 0, 1, 2])
    apart = table.xyz + torch.tensor([[0.0], [0.0], [0.001], [0.0]])
    write_list(path, replace(table, xyz=apart), HEADER, format=name)
    back = read_table(path, pixel_um=0.11)
    assert back.molecule is None and back.detections is None


def test_a_linked_list_of_smap_keeps_the_frames_of_each_row(tmp_path: Path):
    """SMAP numbers the groups of such a list too; each has one row."""
    path = tmp_path / "l.csv"
    linked = replace(tied([0, 1, 2]), detections=torch.tensor([4, 1, 2]))
    write_list(path, linked, HEADER, format="smap")
    back = read_table(path, pixel_um=0.11)
    assert back.detections is not None and back.detections.tolist() == [4, 1, 2] and back.molecule is None
