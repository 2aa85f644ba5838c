"""Checkpoints that are whole or not there, and the log of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError

__all__ = ["MetricsLog", "load_checkpoint", "save_atomically"]


def save_atomically(contents: Mapping[str, Any], path: Path) -> None:
    """Write with torch.save beside `path`, then rename: a crash or a full disk leaves the old file whole.

    Raises InputError where the disk is full or the folder cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            torch.save(dict(contents), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error}; free some space or choose another --out") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_atomically` wrote; raises InputError where the file is no checkpoint."""
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        message = f"{path} is no checkpoint of this program, or damaged; start without --resume"
        raise InputError(message) from error
    if not isinstance(contents, dict) or "step" not in contents:
        raise InputError(f"{path} is no checkpoint of this program; start without --resume")
    return contents


class MetricsLog:
    """JSON lines, one record each: what a training run did, for people and for plots.

    path: the file, or None to keep no log.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record; raises InputError where it cannot be written."""
        if self.path is None:
            return
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(dict(record)) + "\n")
        except OSError as error:
            raise InputError(
                f"cannot write the log {self.path}: {error.strerror}; free some space or choose another --out"
            ) from error

    def rewind(self, step: int) -> None:
        """Forget what came after `step` (0: everything): a resumed run writes those lines again."""
        if self.path is None or not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _step_of(line) <= step] if step else []
        self.path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def _step_of(line: str) -> float:
    """Step of a log line; a line cut off by a crash counts as never reached."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
