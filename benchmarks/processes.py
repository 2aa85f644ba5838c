"""Programs in processes of their own, which the benchmarks ask line by line: other trees, other packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["Worker", "WorkerEnded"]

_LIBRARIES = ("OMP", "MKL", "OPENBLAS", "NUMBA")


class WorkerEnded(RuntimeError):
    """The process ended without an answer; the message is the last line of its errors."""


class Worker:
    """A script of this folder at work; it answers each line with a line of JSON.

    threads: that its libraries may use;  python: of the environment that it runs in (default: this one);
    path: PYTHONPATH (default: ours).
    """

    def __init__(
        self,
        script: str,
        arguments: Sequence[object],
        *,
        threads: int,
        python: str = sys.executable,
        path: Path | None = None,
    ) -> None:
        chosen = {f"{library}_NUM_THREADS": str(threads) for library in _LIBRARIES}
        if path is not None:
            chosen["PYTHONPATH"] = str(path.resolve())
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            [python, str(Path(__file__).with_name(script)), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | chosen,
        )

    def ask(self, line: str = "") -> dict[str, Any]:
        """The answer to a line.  Raises WorkerEnded."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: `answer` tells why
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """What it says next, for instance that it is ready.  Raises WorkerEnded."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # others are what a package prints when it is imported
                return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines()
        raise WorkerEnded(said[-1] if said else f"it ended with {self._process.returncode}")

    def close(self) -> None:
        """End it."""
        self._process.communicate()
        self._errors.close()
