"""Two runs that write one file: the second is refused while the first is alive, and only so long."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepstorm3d import file_lock
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io import open_table_writer, open_truth_writer, read_table, write_table, write_truth
from deepstorm3d.io.movies.movie_writer import MovieWriter
from deepstorm3d.io.sole_writer import SoleWriter
from deepstorm3d.io.tables import discard_growing

RECORDING: dict[str, Any] = {"pixel_um": 0.1, "frames": 4, "shape": (8, 8)}


def block(frame: int) -> Localizations:
    return Localizations.proposals(torch.rand(3, 3), torch.full((3,), frame), torch.ones(3))


def truth() -> Emitters:
    return Emitters(torch.rand(1, 3), torch.zeros(1, dtype=torch.int64), torch.ones(1), torch.arange(1))


def grow(path: Path, **how: Any) -> None:
    with open_table_writer(path, **RECORDING, **how) as writer:
        for frame in range(writer.next_frame, 4):
            writer.append(block(frame), frames_done=frame + 1)


def movie(path: Path) -> None:
    with MovieWriter(path, frames=1, shape=(8, 8)) as writer:
        writer.append(np.zeros((1, 8, 8)))


def true_list(path: Path) -> None:
    with open_truth_writer(path, **RECORDING) as writer:
        writer.append(truth(), frames_done=4)


# Name of the result, under which it grows, and what writes it.
WRITERS: list[tuple[str, str, Callable[[Path], None]]] = [
    ("o.hdf5", "o.part.hdf5", grow),
    ("o.csv", "o.part.csv", grow),
    ("o.hdf5", "o.unfinished.hdf5", lambda path: write_table(path, block(0), **RECORDING)),
    ("o.csv", "o.unfinished.csv", lambda path: write_table(path, block(0), **RECORDING)),
    ("o.h5", "o.unfinished.h5", lambda path: write_table(path, block(0), **RECORDING)),
    ("o.csv", "o.unfinished.csv", lambda path: write_truth(path, truth(), **RECORDING)),
    ("o.csv", "o.unfinished.csv", true_list),
    ("o.tif", "o.part.tif", movie),
]

OTHER = """
import sys
from pathlib import Path
from deepstorm3d.file_lock import take
held = take(Path(sys.argv[1] + ".lock"))
print("held", flush=True)
sys.stdin.read()
"""
OTHER_RUN = """
import sys, torch
from deepstorm3d.emitters import Localizations
from deepstorm3d.io import open_table_writer
writer = open_table_writer(sys.argv[1], pixel_um=0.1, frames=4, shape=(8, 8))
for frame in range(2):
    rows = Localizations.proposals(torch.rand(3, 3), torch.full((3,), frame), torch.ones(3))
    writer.append(rows, frames_done=frame + 1)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def other_process(path: Path, code: str = OTHER) -> Iterator[subprocess.Popen[str]]:
    """A process that writes this file, until its input ends."""
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.communicate()


@pytest.mark.parametrize(("name", "grows", "write"), WRITERS)
def test_what_another_process_writes_is_refused_until_its_end(
    name: str, grows: str, write: Callable[[Path], None], tmp_path: Path
):
    with other_process(tmp_path / grows):
        with pytest.raises(InputError, match=rf"{name} is being written by another run.*wait for its end"):
            write(tmp_path / name)
        assert [each.name for each in tmp_path.iterdir()] == [f"{grows}.lock"]
    write(tmp_path / name)
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals of other systems")
@pytest.mark.parametrize("ending", ["hdf5", "csv"])
def test_a_run_can_be_gone_on_with_only_when_it_is_gone_however_it_ended(ending: str, tmp_path: Path):
    path = tmp_path / f"o.{ending}"
    with other_process(path, OTHER_RUN) as process:
        before = {each: each.read_bytes() for each in tmp_path.iterdir()}
        for how in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(InputError, match="is being written by another run"):
                grow(path, **how)
        with pytest.raises(InputError, match="is being written by another run"):
            discard_growing(tmp_path / f"o.part.{ending}")
        assert {each: each.read_bytes() for each in tmp_path.iterdir()} == before
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / f"o.part.{ending}.lock").exists()
    with pytest.raises(InputError, match="holds an interrupted run"):
        grow(path)
    grow(path, resume=True)
    assert len(read_table(path)) == 12
    assert not list(tmp_path.glob("*.part*"))


def test_in_one_process_the_writer_that_came_last_has_the_file(tmp_path: Path):
    """An interrupted run of a notebook lives on in the traceback that the notebook keeps."""
    path = tmp_path / "o.hdf5"
    interrupted = open_table_writer(path, **RECORDING)
    interrupted.append(block(0), frames_done=1)
    resumed = open_table_writer(path, **RECORDING, resume=True)
    del interrupted
    lock = tmp_path / "o.part.hdf5.lock"
    assert file_lock.held(lock)
    resumed.discard()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_there_are_no_locks_the_work_goes_on(
    number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def no_locks(descriptor: int, *, shared: bool) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(file_lock, "_try", no_locks)
    grow(tmp_path / "o.hdf5")
    assert len(read_table(tmp_path / "o.hdf5")) == 12


def test_where_no_lock_can_be_made_the_work_goes_on(tmp_path: Path):
    SoleWriter(tmp_path / "nowhere" / "o.csv", tmp_path / "o.csv").release()
    (tmp_path / "o.part.csv.lock").mkdir()
    grow(tmp_path / "o.csv")
    assert len(read_table(tmp_path / "o.csv")) == 12
