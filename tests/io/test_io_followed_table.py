"""A list that another process writes is read block by block, and each row once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import TableHeader, open_list_writer, open_table_writer, read_table
from deepstorm3d.io.tables.followed_table import FollowedTable


def block(first: int, frames: int, rows: int) -> Localizations:
    """Rows in frames first ... first + frames - 1."""
    generator = torch.Generator().manual_seed(first)
    numbers = [torch.rand(rows, generator=generator) for _ in range(8)]
    return Localizations(
        xyz=torch.stack(numbers[:3], dim=1) * 4,
        frame=torch.arange(rows) % frames + first,
        photons=1000 * numbers[3],
        background=10 * numbers[4],
        probability=numbers[5],
        sigma_xyz=torch.full((rows, 3), 0.01),
        sigma_photons=numbers[6],
        sigma_background=numbers[7],
        fit_quality=torch.ones(rows),
        sigma_source="crlb",
    )


def test_each_row_is_read_once_while_the_table_grows_and_after_its_end(tmp_path: Path) -> None:
    path = tmp_path / "found.hdf5"
    followed = FollowedTable(path)
    assert len(followed.new_rows()) == 0
    writer = open_table_writer(path, pixel_um=0.11, frames=40, shape=(30, 50))
    read = [followed.new_rows()]
    writer.append(block(0, 10, 25), frames_done=10)
    writer.append(Localizations.empty(), frames_done=20)
    read.append(followed.new_rows())
    assert (followed.frames_done, followed.rows_done) == (20, 25)
    assert followed.pixel_um == pytest.approx(0.11) and followed.shape == (30, 50)
    assert len(followed.new_rows()) == 0
    writer.append(block(20, 10, 5), frames_done=30)
    read.append(followed.new_rows())
    state = followed.state
    writer.append(block(30, 10, 7), frames_done=40)
    assert followed.state != state
    writer.finish()
    read.append(followed.new_rows(complete=True))
    assert [len(rows) for rows in read] == [0, 25, 5, 7]
    assert len(followed.new_rows(complete=True)) == 0
    whole, written = Localizations.concat(read[1:]), read_table(path)
    assert torch.equal(whole.frame, written.frame)
    assert torch.equal(whole.xyz, written.xyz) and torch.equal(whole.sigma_xyz, written.sigma_xyz)


def test_a_block_that_is_half_written_waits_for_its_other_half(tmp_path: Path) -> None:
    path = tmp_path / "found.hdf5"
    writer = open_table_writer(path, pixel_um=0.1, frames=20, shape=(30, 30))
    writer.append(block(0, 10, 8), frames_done=10)
    journal = tmp_path / "found.part.rows"
    before = journal.stat().st_size
    writer.append(block(10, 10, 9), frames_done=20)
    whole = journal.read_bytes()
    followed = FollowedTable(path)
    journal.write_bytes(whole[: before + (len(whole) - before) // 2])
    assert len(followed.new_rows()) == 8
    journal.write_bytes(whole)
    assert len(followed.new_rows()) == 9


def test_an_old_table_of_the_same_name_is_not_taken_for_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "found.hdf5"
    writer = open_table_writer(path, pixel_um=0.1, frames=10, shape=(30, 30))
    writer.append(block(0, 10, 8), frames_done=10)
    writer.finish()
    assert len(FollowedTable(path).new_rows()) == 0
    assert len(FollowedTable(path).new_rows(complete=True)) == 8


def test_a_text_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.hdf5"):
        FollowedTable(tmp_path / "found.csv")


def test_a_list_that_was_made_anew_over_frames_adds_nothing_to_the_single_frames(tmp_path: Path) -> None:
    path = tmp_path / "found.hdf5"
    single = open_table_writer(path, pixel_um=0.1, frames=10, shape=(30, 30))
    single.append(block(0, 10, 8), frames_done=10)
    followed = FollowedTable(path)
    assert len(followed.new_rows()) == 8
    tied = replace(block(0, 10, 11), molecule=torch.arange(11) // 2)
    header = TableHeader(0.1, 10, (30, 30))
    second = open_list_writer(path, header, tied, part=tmp_path / "found.part.molecules.hdf5")
    second.append(tied.sort(), frames_done=10)
    second.finish()
    single.discard()
    assert [each.name for each in sorted(tmp_path.iterdir())] == ["found.hdf5", "found.yaml"]
    assert len(followed.new_rows(complete=True)) == 0
    assert (followed.frames_done, followed.rows_done) == (10, 11)
    # Who only comes now reads all of it.
    assert len(FollowedTable(path).new_rows(complete=True)) == 11
