"""All runs of a folder: start, look at, stop, resume and forget them, from any tab and any server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...cli.progress_file import PROGRESS_VARIABLE
from ...errors import InputError
from ...file_lock import locked
from ...io.parts import write_text
from .commands import as_typed, can_resume, clashing, resumed
from .places import RunPlaces, read_json
from .record import ATTEMPT, Run, read_log, read_run

__all__ = ["Shelf"]

# Seconds in which a command must have been started, on a machine with much else to do.
_BEGIN_S = 60.0
_ID = re.compile(r"\d{8}-\d{6}-\d{3}")


class Shelf:
    """The runs of one folder, all of it kept on the disk: a server that starts anew finds what goes on.

    folder: commands are run in it, their paths are relative to it; what is known of its runs lies in
    ``.deepstorm3d-studio/runs`` there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._runs = self.folder / ".deepstorm3d-studio" / "runs"
        # Runs that have ended, with the time of their record: nothing changes in them until they are resumed.
        self._ended: dict[str, tuple[int, Run]] = {}

    def runs(self) -> list[Run]:
        """All of them as they are now, the newest first."""
        if not self._runs.is_dir():
            return []
        names = sorted((path.name for path in self._runs.iterdir() if _ID.fullmatch(path.name)), reverse=True)
        found = (self._read(name) for name in names)
        return [run for run in found if run is not None]

    def run(self, id: str) -> Run:
        """One of them as it is now.  Raises InputError where there is none of that name."""
        run = self._read(id)
        if run is None:
            raise InputError(f"there is no run {id} (any more)")
        return run

    def log(self, id: str, lines: int = 200) -> str:
        """The last lines that its command said."""
        return read_log(self._places(id), lines)

    def start(self, arguments: Sequence[str], title: str) -> Run:
        """Start a command of the program: ``["train", "quickstart", "--out", "model.pt"]``.

        title: for people. Returns when the command is started.
        Raises InputError where a run that is alive would write the same file, or the folder cannot be written.
        """
        self._make_room()
        with locked(self._runs / "lock"):
            self._refuse_clash(arguments)
            places = self._new_places()
            try:
                self._begin(places, arguments, title, arguments)
            except InputError:
                shutil.rmtree(places.folder, ignore_errors=True)
                raise
        return self.run(places.folder.name)

    def resume(self, id: str) -> Run:
        """Go on with a run that was stopped, failed or was lost.

        Raises InputError where it is alive or finished, its command cannot be resumed, or as `start` does.
        """
        with locked(self._runs / "lock"):
            run = self.run(id)
            if not can_resume(run.arguments):
                raise InputError(f"{run.arguments[0]} cannot go on where it ended", "start it again")
            if not run.resumable:
                raise InputError(f"'{run.title}' is {run.state}: there is nothing to resume")
            self._refuse_clash(run.arguments)
            self._begin(self._places(id), run.arguments, run.title, resumed(run.arguments))
        return self.run(id)

    def stop(self, id: str, *, at_once: bool = False) -> None:
        """Ask a run to come to a point from which it can be resumed; at_once: end it now.

        What it has saved is whole in either case. A run that has ended meanwhile is left alone.
        """
        places, run = self._places(id), self.run(id)
        if not run.alive:
            return
        number = _command_number(places)
        with contextlib.suppress(OSError):
            # Where the disk is full, the signal is what counts.
            places.stop.touch()
        if number is None or not self.run(id).alive:
            return
        # It may have ended by itself a moment ago.
        with contextlib.suppress(ProcessLookupError):
            if at_once and sys.platform != "win32":
                os.killpg(number, signal.SIGKILL)
            else:
                os.kill(number, signal.SIGTERM)

    def forget(self, id: str) -> None:
        """Take a run off the shelf; what it has written stays.  Raises InputError while it is alive."""
        run = self.run(id)
        if run.alive:
            raise InputError(f"'{run.title}' is at work", "stop it first")
        try:
            shutil.rmtree(self._places(id).folder)
        except OSError as error:
            raise InputError(f"cannot forget '{run.title}': {error.strerror or error}") from error

    def _read(self, id: str) -> Run | None:
        places = self._places(id)
        try:
            written = places.record.stat().st_mtime_ns
        except OSError:
            return None
        known = self._ended.get(id)
        if known is not None and known[0] == written:
            return known[1]
        run = read_run(places)
        if run is not None and not run.alive:
            self._ended[id] = (written, run)
        return run

    def _places(self, id: str) -> RunPlaces:
        if not _ID.fullmatch(id):
            raise InputError(f"there is no run {id!r}")
        return RunPlaces(self._runs / id)

    def _make_room(self) -> None:
        try:
            self._runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot write into {self.folder}: {error.strerror or error}",
                "runs keep their state there: open the studio on a folder that you may write",
            ) from error

    def _new_places(self) -> RunPlaces:
        stem = time.strftime("%Y%m%d-%H%M%S")
        for count in range(1000):
            folder = self._runs / f"{stem}-{count:03d}"
            try:
                folder.mkdir()
                return RunPlaces(folder)
            except FileExistsError:
                continue
            except OSError as error:
                raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
        raise InputError("a thousand runs were started within a second")

    def _refuse_clash(self, arguments: Sequence[str]) -> None:
        for run in self.runs():
            if run.alive and clashing(arguments, run.arguments, self.folder):
                raise InputError(
                    f"'{run.title}' is at work and writes {run.output} and files named after it",
                    "wait for its end, stop it, or give the output another name",
                )

    def _begin(self, places: RunPlaces, arguments: Sequence[str], title: str, words: Sequence[str]) -> None:
        """Write down what is run, and start it.  words: the arguments of this attempt."""
        record = {"title": title, "arguments": list(arguments), "started": time.time()}
        try:
            # The record last: who reads it finds nothing of the end of the attempt before, which would be kept.
            places.reserve_ended()
            for left in (places.stop, places.progress, places.process):
                left.unlink(missing_ok=True)
            write_text(places.record, json.dumps(record))
            with places.log.open("a", encoding="utf-8") as log:
                log.write(f"{ATTEMPT}{as_typed(words)}\n")
        except OSError as error:
            raise InputError(f"cannot write {places.folder}: {error.strerror or error}") from error
        attendant = self._attendant(places, words)
        until = time.monotonic() + _BEGIN_S
        while not places.process.exists():
            late = time.monotonic() > until
            if late:
                attendant.kill()
            if late or (attendant.poll() is not None and not places.process.exists()):
                places.write_ended({"status": 1, "time": time.time()})
                raise InputError(f"the command could not be started: {read_log(places, 5)}")
            time.sleep(0.01)
        # Waits for as long as the run takes, so that no dead process is left; the run does not need it.
        threading.Thread(target=attendant.wait, daemon=True).start()

    def _attendant(self, places: RunPlaces, words: Sequence[str]) -> subprocess.Popen[Any]:
        # -P: a file of the user's in this folder that is named like a library is not imported in its place.
        python = [sys.executable, "-P", "-m"]
        command = [*python, "deepstorm3d.studio.runs.attended", str(places.folder)]
        with places.log.open("ab") as log:
            return subprocess.Popen(
                [*command, *python, "deepstorm3d", *words],
                cwd=self.folder,
                env=_environment(places.progress),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **_detached(),
            )


def _environment(progress: Path) -> dict[str, str]:
    """Of the command: plain text for a log, its progress in a file, the same program as this one."""
    ours = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "TTY_COMPATIBLE")}
    ours |= {PROGRESS_VARIABLE: str(progress), "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "NO_COLOR": "1"}
    if "PYTHONPATH" in ours:
        # It runs in another folder than this process.
        parts = ours["PYTHONPATH"].split(os.pathsep)
        ours["PYTHONPATH"] = os.pathsep.join(os.path.abspath(part) for part in parts)
    return ours


def _detached() -> dict[str, Any]:
    """Arguments of Popen for a process that the end of this one, or of its terminal, does not touch."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _command_number(places: RunPlaces) -> int | None:
    values = read_json(places.process)
    return None if values is None else int(values["command"])
