"""The growing HDF5 table: whatever a kill leaves of it, the blocks that were done come back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from deepstorm3d.emitters import Localizations, SigmaSource
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import (
    TableHeader,
    TableWriter,
    open_list_writer,
    open_table_writer,
    read_header,
    read_table,
)
from deepstorm3d.io.tables.header import refuse_other_settings

FRAMES = 12


def block(start: int, rows: int = 5) -> Localizations:
    generator = torch.Generator().manual_seed(start)
    values = torch.rand(rows, 9, generator=generator)
    return Localizations(
        xyz=values[:, :3],
        frame=start + torch.sort(torch.randint(3, (rows,), generator=generator)).values,
        photons=1000 * values[:, 3],
        background=values[:, 4],
        probability=values[:, 5],
        sigma_xyz=values[:, 6:],
        sigma_photons=values[:, 3],
        sigma_background=values[:, 4],
        fit_quality=values[:, 5],
        sigma_source="fit",
    )


def opened(path: Path, *, resume: bool = False, frames: int = FRAMES) -> TableWriter[Localizations]:
    return open_table_writer(path, pixel_um=0.11, frames=frames, shape=(20, 30), resume=resume)


def rows_of(path: Path) -> bytes:
    with h5py.File(path, "r") as file:
        return file["locs"][()].tobytes()  # type: ignore[index]


@pytest.fixture
def undisturbed(tmp_path: Path) -> bytes:
    with opened(tmp_path / "whole.hdf5") as writer:
        for start in range(0, FRAMES, 3):
            writer.append(block(start), frames_done=start + 3)
    return rows_of(tmp_path / "whole.hdf5")


def half_done(path: Path) -> Path:
    """Two blocks of four, then the process is gone."""
    writer = opened(path)
    for start in (0, 3):
        writer.append(block(start), frames_done=start + 3)
    return path.with_name("cut.part.hdf5")


def complete(path: Path) -> int:
    """Resume and finish; returns the frames that were done already."""
    writer = opened(path, resume=True)
    done = writer.next_frame
    for start in range(done, FRAMES, 3):
        writer.append(block(start), frames_done=start + 3)
    writer.finish()
    return done


@pytest.mark.parametrize("damage", ["none", "truncated", "garbage", "empty", "gone inside", "behind"])
def test_whatever_became_of_the_hdf5_file_the_table_is_the_same(
    tmp_path: Path, undisturbed: bytes, damage: str
):
    part = half_done(tmp_path / "cut.hdf5")
    content = part.read_bytes()
    if damage == "truncated":
        part.write_bytes(content[: len(content) // 3])
    elif damage == "garbage":
        part.write_bytes(
            content[:200] + bytes(np.random.default_rng(0).integers(0, 256, len(content) - 200, np.uint8))
        )
    elif damage == "empty":
        part.write_bytes(b"")
    elif damage == "gone inside":
        with h5py.File(part, "r+") as file:
            del file["deepstorm3d"]
    elif damage == "behind":
        with h5py.File(part, "r+") as file:
            file["locs"].resize((5,))  # type: ignore[union-attr]
            file["deepstorm3d"].attrs.update({"rows_done": 5, "frames_done": 3})
    assert complete(tmp_path / "cut.hdf5") == 6
    assert rows_of(tmp_path / "cut.hdf5") == undisturbed
    assert read_table(tmp_path / "cut.hdf5").sigma_source == "fit"
    assert not list(tmp_path.glob("cut.part*"))


def test_a_block_that_never_reached_the_journal_is_done_again(tmp_path: Path, undisturbed: bytes):
    half_done(tmp_path / "cut.hdf5")
    journal = tmp_path / "cut.part.rows"
    journal.write_bytes(journal.read_bytes()[:-1])
    assert complete(tmp_path / "cut.hdf5") == 3
    assert rows_of(tmp_path / "cut.hdf5") == undisturbed


def test_without_its_journal_it_says_so(tmp_path: Path):
    half_done(tmp_path / "cut.hdf5")
    (tmp_path / "cut.part.rows").unlink()
    with pytest.raises(InputError, match=r"cut.part.rows.*`overwrite=True`"):
        opened(tmp_path / "cut.hdf5", resume=True)


@pytest.mark.parametrize("suffix", ["hdf5", "csv"])
def test_a_movie_may_grow_between_runs_but_not_shrink(tmp_path: Path, suffix: str):
    writer = opened(tmp_path / f"o.{suffix}")
    writer.append(block(0), frames_done=3)
    with pytest.raises(InputError, match="another recording"):
        opened(tmp_path / f"o.{suffix}", resume=True, frames=4)
    writer = opened(tmp_path / f"o.{suffix}", resume=True, frames=20)
    assert writer.next_frame == 3
    writer.finish(25)
    if suffix == "hdf5":
        assert read_header(tmp_path / "o.hdf5").frames == 25
        with h5py.File(tmp_path / "o.hdf5") as file:
            assert json.loads(file["metadata"][()])[0]["Frames"] == 25  # type: ignore[index]
        assert "Frames: 25" in (tmp_path / "o.yaml").read_text()


@pytest.mark.parametrize("suffix", ["hdf5", "csv"])
@pytest.mark.parametrize(("before", "after"), [("fit", "crlb"), ("crlb", "fit"), ("network", "crlb")])
def test_rows_with_other_errors_do_not_follow_those_of_the_interrupted_run(
    tmp_path: Path, suffix: str, before: SigmaSource, after: SigmaSource
):
    path, header = tmp_path / f"o.{suffix}", TableHeader(0.11, FRAMES, (20, 30))
    like = replace(Localizations.empty(), sigma_source=before)
    open_list_writer(path, header, like).append(replace(block(0), sigma_source=before), frames_done=3)
    told = rf"'{before}'.*'{after}'.*with or without `method=proposals`"
    with pytest.raises(InputError, match=told):
        open_list_writer(path, header, replace(like, sigma_source=after), resume=True)
    writer = opened(path, resume=True)  # which says nothing of the rows to come
    with pytest.raises(InputError, match=told):
        writer.append(replace(block(3), sigma_source=after), frames_done=6)
    writer.append(replace(block(3), sigma_source=before), frames_done=6)
    assert open_list_writer(path, header, like, resume=True).next_frame == 6


@pytest.mark.parametrize("suffix", ["hdf5", "csv"])
def test_a_part_that_does_not_say_its_settings_goes_on(tmp_path: Path, suffix: str):
    path, told = tmp_path / f"o.{suffix}", {"threshold": 0.5, "frames": [0, FRAMES]}
    opened(path).append(block(0), frames_done=3)
    header = TableHeader(0.11, FRAMES, (20, 30), told)
    like = replace(Localizations.empty(), sigma_source=block(0).sigma_source)
    assert open_list_writer(path, header, like, resume=True).next_frame == 3


def test_settings_that_mean_the_same_are_no_difference(tmp_path: Path):
    made = {"gain": 2, "known": [0.3, (1, 2)], "noise": float("nan"), "command": ["b"], "new": 1}
    begun = {"gain": 2.0, "known": [0.3 + 1e-9, [1, 2]], "noise": float("nan"), "command": ["a"], "old": 1}
    refuse_other_settings(tmp_path, begun, TableHeader(0.11, FRAMES, (20, 30), made))
    other = {"gain": 3, "known": [0.4, (1, 3)], "noise": 1.0}
    with pytest.raises(
        InputError, match=r"gain was 2.0, now 3; known 1 was .*; known 2 2 was 2, now 3 and 1 more"
    ):
        refuse_other_settings(tmp_path, begun, TableHeader(0.11, FRAMES, (20, 30), other))


def test_a_hash_that_is_not_known_is_no_difference(tmp_path: Path):
    known, other = 64 * "a", 64 * "b"

    def refuse(begun: list[str], now: list[str]) -> None:
        header = TableHeader(0.11, FRAMES, (20, 30), {"model_sha256": now})
        refuse_other_settings(tmp_path, {"model_sha256": begun}, header)

    refuse(["", known], [other, ""])
    with pytest.raises(InputError, match="model_sha256 1 was aaaaaaaaaaaa…, now bbbbbbbbbbbb…"):
        refuse([known, ""], [other, ""])
    with pytest.raises(InputError, match="model_sha256 1 was , now c"):
        refuse([""], ["c"])
