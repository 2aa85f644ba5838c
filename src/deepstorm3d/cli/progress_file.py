"""Progress of long work in a small file, for other programs: written where DEEPSTORM3D_PROGRESS names one."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

__all__ = ["PROGRESS_VARIABLE", "ProgressFile", "Told", "read_progress"]

PROGRESS_VARIABLE = "DEEPSTORM3D_PROGRESS"
"""Environment variable that names the file."""

# Seconds between two writings: about three a second.
_EVERY_S = 0.3


@dataclass(frozen=True)
class Told:
    """How far a work is.

    done, total: units complete and in all, both 0 before the first step;  unit: what is counted, in the
    plural;  note: what is being done, or how good it is;  per_second: units; None while unknown;
    seconds_left: None while unknown;  message: the last sentence that the user should read.
    """

    done: int = 0
    total: int = 0
    unit: str = ""
    note: str = ""
    per_second: float | None = None
    seconds_left: float | None = None
    message: str = ""


def read_progress(path: Path) -> Told | None:
    """What such a file says; None where there is none (yet), or it is something else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Told(**{field.name: values[field.name] for field in fields(Told)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


class ProgressFile:
    """Writes `Told` as one JSON object, always whole: each writing replaces the file.

    A file that cannot be written does not end the work: `trouble` then says why.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""
        self._told = Told()
        self._written = -_EVERY_S
        self._pending = False

    @classmethod
    def asked_for(cls) -> Self | None:
        """The file that the environment names; None where it names none."""
        name = os.environ.get(PROGRESS_VARIABLE)
        return cls(Path(name)) if name else None

    @property
    def told(self) -> Told:
        """What was told last, written or not."""
        return self._told

    def tell(self, told: Told, now: float) -> None:
        """Write it, unless the last writing is a moment ago.  now: `time.monotonic`, s."""
        self._told, self._pending = told, True
        if now - self._written >= _EVERY_S or 0 < told.total <= told.done:
            self._write(now)

    def close(self) -> None:
        """Write what was not written yet."""
        if self._pending:
            self._write(time.monotonic())

    def _write(self, now: float) -> None:
        # The process number: two programs that were given the same name do not write into one another's file.
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            temporary.write_text(json.dumps(asdict(self._told)), encoding="utf-8")
            os.replace(temporary, self.path)
            self.trouble = ""
        except OSError as error:
            self.trouble = error.strerror or str(error)
        self._written, self._pending = now, False
