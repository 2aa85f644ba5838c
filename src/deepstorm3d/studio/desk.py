"""Desk: what is open in the studio, the same for every tab of the browser."""

from __future__ import annotations

from pathlib import Path

from .beads.bench import BeadBench
from .compare.comparison import Comparison
from .folder import Folder
from .limits.bounds import Limits
from .limits.design import DesignLook
from .movie.look import FrameLook
from .result.look import ResultLook
from .setup.setup import RealFrame, Setup
from .training.board import RunBoard

__all__ = ["Desk"]


class Desk:
    """The folder and, for each panel, what it shows.

    folder: that holds the user's files; raises InputError where it is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Folder(folder)
        self.movie = FrameLook()
        self.result = ResultLook()
        self.training = RunBoard(self.folder)
        self.limits = Limits()
        self.compare = Comparison()
        self.design = DesignLook(self.training.shelf)
        self.setup = Setup(self.folder, self._real_frame)
        self.beads = BeadBench(self.folder, lambda: self.setup.experiment, self.setup.draft.take)

    def _real_frame(self) -> RealFrame | None:
        """The frame of the movie that is looked at."""
        if self.movie.movie is None:
            return None
        frame = self.movie.asked.frame
        return f"{self.movie.version} {frame}", self.movie.counts(frame)
