"""A run as it is at one moment: its command, how far it is, and how it ended."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...cli.progress_file import Told, read_progress
from ...file_lock import held
from .commands import as_typed, can_resume, output_of
from .places import RunPlaces, read_json

__all__ = ["ATTEMPT", "Run", "State", "read_log", "read_run"]

ATTEMPT = "$ "
"""How the line of a log begins at which the command was started, first or again."""

State = Literal["running", "stopping", "finished", "stopped", "failed", "lost"]
"""lost: it ended without a word (killed, or the machine was switched off)."""

# Exit status of the program after a stop (`cli.failures.INTERRUPTED`).
_INTERRUPTED = 130
# Bytes at the end of a log that are read.
_LOG_END = 65536
# How a line of the log begins that warns (`cli.console.say_warning`).
_WARNING = "warning:"
# Seconds that the start of a command may take.
_BEGIN_S = 60.0
# Free room under which a failure is put down to a full disk, bytes.
_FULL_DISK = 16 * 2**20


@dataclass(frozen=True)
class Run:
    """A command line of the program at work or done; equal to another one as long as nothing has happened.

    id: names it on its shelf;  arguments: of the program;  started: of the last attempt, s since 1970;
    told: how far it is; None where it has not said so yet;  ended: s since 1970; None while it is alive or
    lost;  reason: why it failed or was lost, in words;  log_bytes: length of its log;  warnings: sentences of
    the last attempt, once it is finished.
    """

    id: str
    title: str
    arguments: tuple[str, ...]
    started: float
    state: State
    told: Told | None
    ended: float | None
    reason: str
    log_bytes: int
    warnings: tuple[str, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether its command is at work."""
        return self.state in ("running", "stopping")

    @property
    def command(self) -> str:
        """The command line, to copy."""
        return as_typed(self.arguments)

    @property
    def output(self) -> Path | None:
        """The file or folder that it writes, as in the command line: relative to the studio's folder."""
        return output_of(self.arguments)

    @property
    def resumable(self) -> bool:
        """Whether it can go on where it ended."""
        return self.state in ("stopped", "failed", "lost") and can_resume(self.arguments)


def read_run(places: RunPlaces) -> Run | None:
    """What the folder of a run says now; None where it holds no run.  Raises nothing for a damaged one."""
    record = read_json(places.record) or {}
    try:
        title, arguments = str(record["title"]), tuple(str(word) for word in record["arguments"])
        started = float(record["started"])
    except (KeyError, TypeError, ValueError):
        return None
    # The lock first: what was written before it was given back is then there.
    alive, asked = held(places.lock), places.stop.exists()
    ended = None if alive else _how_it_ended(places)
    if not alive and ended is None and not places.process.exists() and 0 <= time.time() - started < _BEGIN_S:
        # It is being started: its attendant has not taken the lock yet.
        alive = True
    state = _state(alive, asked, ended)
    return Run(
        id=places.folder.name,
        title=title,
        arguments=arguments,
        started=started,
        state=state,
        told=read_progress(places.progress),
        ended=None if ended is None else float(ended["time"]),
        reason=_reason(state, ended, places),
        log_bytes=places.log.stat().st_size if places.log.exists() else 0,
        warnings=_warnings(places) if state == "finished" else (),
    )


def read_log(places: RunPlaces, lines: int = 200) -> str:
    """The last lines that the command said."""
    try:
        with places.log.open("rb") as file:
            file.seek(max(0, places.log.stat().st_size - _LOG_END))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _how_it_ended(places: RunPlaces) -> dict[str, Any] | None:
    """What the attendant wrote; None where there is nothing, or something that it did not write."""
    ended = read_json(places.ended)
    numbers = [] if ended is None else [ended.get("status"), ended.get("time")]
    return ended if numbers and all(isinstance(each, (int, float)) for each in numbers) else None


def _state(alive: bool, asked: bool, ended: dict[str, Any] | None) -> State:
    if alive:
        return "stopping" if asked else "running"
    if ended is None:
        return "stopped" if asked else "lost"
    if ended["status"] == 0:
        return "finished"
    return "stopped" if asked or ended["status"] == _INTERRUPTED else "failed"


def _warnings(places: RunPlaces) -> tuple[str, ...]:
    """What the command warned of since it was started last, each once."""
    found: dict[str, None] = {}
    for line in read_log(places).splitlines():
        if line.startswith(ATTEMPT):
            found.clear()
        elif line.startswith(_WARNING):
            found[line.removeprefix(_WARNING).strip()] = None
    return tuple(found)


def _reason(state: State, ended: dict[str, Any] | None, places: RunPlaces) -> str:
    """Why a run came to no good end."""
    if state == "lost":
        return (
            "it ended without a word: it was killed from outside, or the machine was switched off. "
            "What it had saved is there"
        )
    if state != "failed" or ended is None:
        return ""
    status, sentences = int(ended["status"]), []
    if status < 0:
        name = _signal_name(-status)
        why = ", as a system does that runs out of memory" if name == "SIGKILL" else ""
        sentences.append(f"it was killed from outside ({name}{why})")
    if int(ended.get("free_bytes", _FULL_DISK)) < _FULL_DISK:
        sentences.append("the disk is full: free some room")
    said = [line for line in read_log(places).splitlines() if line.strip()]
    errors = [line for line in said if line.startswith("error:")]
    sentences += errors[-1:] or _last_words(said)
    return "; ".join(sentences) or f"it ended with status {status}, without a word"


def _last_words(said: list[str]) -> list[str]:
    """The last line of a log; of a usage error, which stands in a frame, what is inside."""
    if not said or not said[-1].startswith("╰"):
        return said[-1:]
    top = max((place for place, line in enumerate(said) if line.startswith("╭")), default=len(said) - 1)
    return [" ".join(line.strip("│ ") for line in said[top + 1 : -1])]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
