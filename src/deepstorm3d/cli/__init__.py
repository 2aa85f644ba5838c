"""The command line: arguments in, progress and tables out. Every command is one call of a job.

Nothing here imports torch until a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

from .app import app, main

__all__ = ["app", "main"]
