"""What the panel "Train and run" shows: all runs of the folder, one of them in detail, and two forms."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from ...training.runs import Run as TrainingFiles
from ..folder import Folder
from ..runs.record import Run
from ..runs.shelf import Shelf
from .cost import CostLook
from .found_so_far import FoundSoFar
from .localize_form import LocalizeForm
from .train_form import TrainForm

__all__ = ["RunBoard"]

# Seconds between looks at the files of the runs, for all tabs together.
_EVERY_S = 0.4


class RunBoard:
    """The runs of the folder, the one that is looked at, and the forms for new ones.

    Attributes
    ----------
    train, localize
        The forms.
    cost : CostLook
        How long the training of the form would take.
    selected : str
        Which run is looked at; "": none.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder, self.shelf = folder, Shelf(folder.root)
        self.train, self.localize = TrainForm(), LocalizeForm()
        self.cost = CostLook()
        self.selected = ""
        self._lock = threading.Lock()
        self._own, self._looked = 0, 0.0
        self._runs: tuple[Run, ...] = ()
        self._found: dict[str, FoundSoFar] = {}

    @property
    def changes(self) -> int:
        """Grows with every change that a page shows; asks the files of the runs now and then."""
        now = time.monotonic()
        with self._lock:
            if now - self._looked >= _EVERY_S:
                self._looked = now
                self._read()
            return self._own + self.cost.changes + sum(found.changes for found in self._found.values())

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, the newest first."""
        return self._runs

    @property
    def run(self) -> Run | None:
        """The one that is looked at."""
        return next((run for run in self._runs if run.id == self.selected), None)

    def fill(self, **values: object) -> None:
        """Change entries of the form for a training, by their names in `TrainForm`."""
        self.train = self.train.changed(**values)
        self._own += 1

    def fill_localize(self, **values: object) -> None:
        """Change entries of the form for a movie, by their names in `LocalizeForm`."""
        self.localize = self.localize.changed(**values)
        self._own += 1

    def ask_cost(self) -> None:
        """Measure how long the training of the form would take.  Raises InputError where it is no training."""
        self.cost.ask(self.train.question(self.folder))

    def start_training(self) -> Run:
        """Start what the form says; raises InputError where that cannot be."""
        self.train.check(self.folder)
        return self.start(self.train.arguments(self.folder), f"Train {Path(self.train.out).name}")

    def start_localizing(self) -> Run:
        """Start what the form says; raises InputError where that cannot be."""
        self.localize.check(self.folder)
        return self.start(self.localize.arguments(self.folder), f"Localize {Path(self.localize.movie).name}")

    def start(self, arguments: Sequence[str], title: str) -> Run:
        """Start a command of the program, and look at it.  Raises InputError as `Shelf.start` does."""
        # A measurement would only take time from it.
        self.cost.stop()
        run = self.shelf.start(arguments, title)
        self.select(run.id)
        return run

    def select(self, id: str) -> None:
        """Look at another run."""
        with self._lock:
            self.selected = id
            self._read()
            self._own += 1

    def stop(self, id: str) -> None:
        """Ask a run to stop; one that was asked before is ended now."""
        self.shelf.stop(id, at_once=self.shelf.run(id).state == "stopping")
        self._look_now()

    def resume(self, id: str) -> None:
        """Go on with a run; raises InputError as `Shelf.resume` does."""
        self.shelf.resume(id)
        self._look_now()

    def forget(self, id: str) -> None:
        """Take a run off the list; its results stay.  Raises InputError while it is at work."""
        self.shelf.forget(id)
        gone = self._found.pop(id, None)
        self._own += 0 if gone is None else gone.changes
        self._look_now()

    def log(self, lines: int = 200) -> str:
        """The last lines of the run that is looked at."""
        return self.shelf.log(self.selected, lines) if self.run is not None else ""

    def training_files(self, run: Run) -> TrainingFiles | None:
        """Log, checkpoint and picture of a training, or a design with a network; None for other commands."""
        learns = run.arguments[:1] == ("train",) or (
            run.arguments[:1] == ("design-psf",) and "fisher" not in run.arguments
        )
        if not learns or run.output is None:
            return None
        return TrainingFiles(self.folder.root / run.output)

    def found(self, run: Run) -> FoundSoFar | None:
        """The picture of what a run has localized until now; None for other commands, and other lists."""
        if run.arguments[:1] != ("localize",):
            return None
        if run.id not in self._found:
            try:
                self._found[run.id] = FoundSoFar(run, self.folder)
            except InputError:
                return None
        return self._found[run.id]

    def _look_now(self) -> None:
        with self._lock:
            self._read()

    def _read(self) -> None:
        runs = tuple(self.shelf.runs())
        if runs != self._runs:
            self._runs = runs
            self._own += 1
        if runs and self.run is None:
            self.selected = runs[0].id
            self._own += 1
        chosen = self.run
        found = None if chosen is None else self.found(chosen)
        if chosen is not None and found is not None:
            found.follow(complete=chosen.state == "finished")
