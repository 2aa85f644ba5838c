"""Checkpoints are whole or not there; logs can be taken back to a step."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

import deepstorm3d
from deepstorm3d.errors import InputError
from deepstorm3d.io.torch_file import save_tensors
from deepstorm3d.training.checkpoint import MetricsLog, load_checkpoint
from full_disk import files_at_most


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    weights = {"a": torch.arange(12.0).view(3, 4)}
    state: dict[str, Any] = {"step": 3, "weights": weights, "smooth_loss": float("nan"), "best": None}
    save_tensors(state, path)
    loaded = load_checkpoint(path)
    assert torch.equal(loaded["weights"]["a"], state["weights"]["a"])
    assert loaded["step"] == 3 and loaded["best"] is None
    assert [file.name for file in tmp_path.iterdir()] == ["run.checkpoint"]


def test_a_disk_that_fills_up_leaves_the_old_checkpoint_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    save_tensors({"step": 1, "weights": torch.ones(5)}, path)
    # The system's own words, whatever the library that writes makes of them.
    reason = os.strerror(errno.EFBIG)
    full = pytest.raises(InputError, match=rf"cannot write .*run\.checkpoint: {reason}. Free some space")
    with files_at_most(65536), full:
        save_tensors({"step": 2, "weights": torch.ones(100_000)}, path)
    assert load_checkpoint(path)["step"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["run.checkpoint"]


def test_every_file_of_tensors_is_written_where_the_systems_reason_is_kept() -> None:
    package = Path(deepstorm3d.__file__).parent
    writers = [path for path in package.rglob("*.py") if "torch.save(" in path.read_text(encoding="utf-8")]
    assert writers == [package / "io" / "torch_file.py"], "give them `tensor_bytes`"


def test_a_crash_while_writing_leaves_the_old_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.checkpoint"
    save_tensors({"step": 1}, path)

    def dies_half_way(contents: Any, file: Any) -> None:
        file.write(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", dies_half_way)
    with pytest.raises(KeyboardInterrupt):
        save_tensors({"step": 2}, path)
    assert load_checkpoint(path)["step"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["run.checkpoint"]


def test_a_checkpoint_in_a_missing_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        save_tensors({"step": 1}, tmp_path / "missing" / "run.checkpoint")


class _Mischief:
    pass


@pytest.mark.parametrize("kind", ["garbage", "empty", "truncated", "another", "pickled"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run.checkpoint"
    if kind == "truncated":
        save_tensors({"step": 1, "weights": torch.ones(1000)}, path)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind in ("another", "pickled"):
        torch.save({"weights": 1} if kind == "another" else {"step": _Mischief()}, path)
    else:
        path.write_bytes(b"" if kind == "empty" else b"no checkpoint at all" * 50)
    with pytest.raises(InputError, match=r"is no checkpoint of this program.*without `resume`"):
        load_checkpoint(path)


def test_rewinding_a_log_forgets_later_steps_and_lines_that_were_cut_off(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "run.jsonl")
    for step in (50, 100, 150):
        log.append({"step": step, "loss": 1.5})
    assert log.path is not None
    with open(log.path, "a") as file:
        file.write('{"step": 16')
    log.rewind(100)
    assert [json.loads(line)["step"] for line in log.path.read_text().splitlines()] == [50, 100]
    log.rewind(0)
    assert log.path.read_text() == ""
