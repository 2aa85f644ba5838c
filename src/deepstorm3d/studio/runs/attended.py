"""The attendant of a run: starts the command in a session of its own, waits, and writes down how it ended.

``python -m deepstorm3d.studio.runs.attended RUNFOLDER COMMAND...``: it outlives the page and the server. The
lock of the run's folder is handed on to the command, so that it is held as long as either of them lives.
Imports nothing that computes: it is small, and starts at once.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from ...file_lock import take
from .places import RunPlaces

__all__ = ["attend", "main"]


def attend(places: RunPlaces, command: list[str]) -> int:
    """Run a command to its end in the folder of this process; returns its exit status, −n after signal n.

    Its input is empty, and what it says goes to the log of the run.
    """
    lock = take(places.lock)
    with places.log.open("ab") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **_inheriting(lock)
        )
    _forward_signals(child)
    temporary = places.process.with_suffix(".new")
    temporary.write_text(json.dumps({"command": child.pid}), encoding="utf-8")
    os.replace(temporary, places.process)
    status = child.wait()
    places.write_ended(
        {"status": status, "time": time.time(), "free_bytes": shutil.disk_usage(Path.cwd()).free}
    )
    return status


def _inheriting(lock: int) -> dict[str, Any]:
    """Arguments of Popen for a command that holds the lock, in a group of its own that can be ended as one."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"pass_fds": (lock,), "process_group": 0}


def _forward_signals(child: subprocess.Popen[Any]) -> None:
    """A system that shuts down asks the attendant to end: the command is asked in its place."""

    def forward(number: int, frame: FrameType | None) -> None:
        if child.returncode is None:
            child.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)


def main() -> None:
    """Attend the run that the arguments of this process name."""
    folder, *command = sys.argv[1:]
    attend(RunPlaces(Path(folder)), command)


if __name__ == "__main__":
    main()
