"""First steps for those who have no movie at hand: the demo, made by a run, and opened when it is there."""

from __future__ import annotations

from ...jobs.demo import DemoFiles
from ..runs.record import Run
from ..training.board import RunBoard
from ..training.words import told_line
from .look import FrameLook

__all__ = ["FirstSteps", "demo_words"]

_FOLDER = "demo-out"
# Built-in model that the demo is simulated for.
_MODEL = "tetrapod"


class FirstSteps:
    """The demo: simulated frames with known truth, localized, compared and drawn.

    look: where its movie is opened;  board: where its run is started.
    """

    arguments = ("demo", "--out", _FOLDER)

    def __init__(self, look: FrameLook, board: RunBoard) -> None:
        self._look, self.board = look, board

    @property
    def files(self) -> DemoFiles:
        """Where they are, or will be."""
        return DemoFiles(self.board.folder.root / _FOLDER)

    @property
    def run(self) -> Run | None:
        """The newest run that makes the demo."""
        return next((run for run in self.board.runs if run.arguments[:1] == ("demo",)), None)

    @property
    def made(self) -> bool:
        """Whether the demo is there, whole."""
        run = self.run
        return self.files.rendering.exists() and (run is None or run.state == "finished")

    def make(self) -> None:
        """Start the run; raises InputError where the folder cannot be written, or the demo is being made."""
        self.board.start(self.arguments, "Demo")

    def open_movie(self) -> None:
        """Look at its frames, with the model that it is simulated for."""
        self._look.open(self.files.movie)
        self._look.use(model=_MODEL, threshold=None, camera=(), mask=None)


def demo_words(run: Run) -> str:
    """What the run does now and how far it is, or why it ended."""
    if run.state == "stopped":
        return "The demo was stopped. It does not go on where it ended: made again, it begins anew."
    if not run.alive:
        return run.reason
    doing = run.told.message.strip() if run.told is not None else ""
    return "\n".join(filter(None, (doing, told_line(run))))
