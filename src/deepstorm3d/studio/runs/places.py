"""The files of a run, in a folder of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["RunPlaces", "read_json"]

# Room for how a run ended, taken on the disk before it starts: also a full disk then lets it be written.
_ENDED_BYTES = 1024


@dataclass(frozen=True)
class RunPlaces:
    """Where a run keeps what; `folder` is the run's own."""

    folder: Path

    @property
    def record(self) -> Path:
        """The command, its title and when it was first started."""
        return self.folder / "run.json"

    @property
    def log(self) -> Path:
        """All that the command says, one attempt after the other."""
        return self.folder / "log.txt"

    @property
    def progress(self) -> Path:
        """How far it is (`cli.progress_file`)."""
        return self.folder / "progress.json"

    @property
    def process(self) -> Path:
        """The command's process number; valid while the lock is held."""
        return self.folder / "process.json"

    @property
    def stop(self) -> Path:
        """There from the moment when somebody asked to stop."""
        return self.folder / "stop"

    @property
    def ended(self) -> Path:
        """Exit status and time; blank until the command has ended."""
        return self.folder / "ended.json"

    @property
    def lock(self) -> Path:
        """Locked while the command or its attendant is at work."""
        return self.folder / "alive.lock"

    def reserve_ended(self) -> None:
        """Take the room for `write_ended`.  Raises OSError where there is none."""
        self.ended.write_bytes(b" " * _ENDED_BYTES)

    def write_ended(self, values: dict[str, Any]) -> None:
        """How it ended, in the room that was taken: needs no more of the disk."""
        text = json.dumps(values).encode()
        with self.ended.open("r+b") as file:
            file.write(text.ljust(_ENDED_BYTES))


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is none (yet), or something else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
