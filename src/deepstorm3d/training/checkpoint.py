"""Files of a run of training or design: its checkpoint and its log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..io.parts import explain_write_errors, write_text

__all__ = ["MetricsLog", "RunFiles", "load_checkpoint"]


@dataclass(frozen=True)
class RunFiles:
    """Files for the state and the log of a run; None writes no file.

    experiment: settings of the frames and the network, stored in the checkpoint. A checkpoint of another
    experiment is an error.
    resume: continue from the checkpoint if there is one, with the same result as an uninterrupted run;
    started_from: the model whose weights it began with, stored in the checkpoint; None: there is none.
    """

    checkpoint: Path | None = None
    metrics: Path | None = None
    experiment: Mapping[str, Any] | None = None
    resume: bool = False
    started_from: Mapping[str, Any] | None = None

    def to_resume(self) -> dict[str, Any] | None:
        """Contents of the checkpoint to continue from; None if the run begins anew.

        Raises InputError if the file is not a checkpoint.
        """
        if not self.resume or self.checkpoint is None or not self.checkpoint.exists():
            return None
        return load_checkpoint(self.checkpoint)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that `save_tensors` wrote; raises InputError if the file is not a checkpoint."""
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        message = f"{path} is no checkpoint of this program, or damaged; start without `resume`"
        raise InputError(message) from error
    if not isinstance(contents, dict) or "step" not in contents:
        raise InputError(f"{path} is no checkpoint of this program; start without `resume`")
    return contents


class MetricsLog:
    """Log of a training run in JSON lines, one record per line.

    path: the file, or None for no log.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record; raises InputError if it cannot be written."""
        if self.path is None:
            return
        with explain_write_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(record)) + "\n")

    def figures(self, name: str) -> list[float]:
        """The figure of that name in each line that has it; none without a log."""
        if self.path is None or not self.path.exists():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError):  # a line that was cut off by a crash
                found.append(float(json.loads(line)[name]))
        return found

    def rewind(self, step: int) -> None:
        """Remove the lines after `step` (0: all lines), because a resumed run writes them again."""
        if self.path is None or not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _step_of(line) <= step] if step else []
        write_text(self.path, "".join(line + "\n" for line in kept))


def _step_of(line: str) -> float:
    """Step of a log line; infinite for a line that was cut off by a crash."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
