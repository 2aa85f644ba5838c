"""A mask while it is designed: how the run is started, and what it has written beside its result so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ...errors import InputError
from ...experiment.configure import find_experiment
from ...experiment.experiment import Experiment
from ...io.parts import claim_name
from ...training.runs import DesignRun
from ...watch import Watcher
from ..latest import Latest
from ..runs.record import Run
from ..runs.shelf import Shelf
from .learned import LearnedSoFar, learned_so_far
from .pictures import MaskPicture, picture_of

__all__ = ["DesignLook", "DesignSettings", "Shown"]

By = Literal["fisher", "network"]


@dataclass(frozen=True)
class DesignSettings:
    """How a mask is designed.

    out: mask file to write, relative to the studio's folder;  by: Fisher information, or together with a
    network;  start: kind or file of the first mask, "" for the experiment's;  steps: None for the experiment's;
    density: molecules per µm² of a design by Fisher information, None for the experiment's.
    """

    out: str = "mask.npy"
    by: By = "fisher"
    start: str = ""
    steps: int | None = None
    density: float | None = None

    def arguments(self, source: str, *, resume: bool = False) -> list[str]:
        """The words of the command line, without the program's name.

        source: the experiment's file or preset.
        """
        words = ["design-psf", source, "--by", self.by, "--out", self.out]
        if self.start:
            words += ["--start", self.start]
        if self.steps is not None:
            key = "design.fisher_steps" if self.by == "fisher" else "training.steps"
            words += ["--set", f"{key}={self.steps}"]
        if self.density is not None and self.by == "fisher":
            words += ["--set", f"design.fisher_density={self.density:g}"]
        return [*words, "--resume"] if resume else words

    def check(self) -> None:
        """Raise InputError for settings that no run can have."""
        if not self.out.endswith(".npy"):
            raise InputError(f"'{self.out}': a mask is written as .npy", "give a name such as mask.npy")
        if self.steps is not None and self.steps < 1:
            raise InputError(f"a design takes at least 1 step, got {self.steps}")
        if self.density is not None and self.density < 0:
            raise InputError(
                f"a density cannot be negative, got {self.density:g} per µm²", "0: one molecule alone"
            )


@dataclass(frozen=True)
class Shown:
    """What of a design is drawn.

    learned: all that is known of it;  index: which of its masks;  picture: that mask and its PSF, None where no
    mask was kept yet.
    """

    learned: LearnedSoFar
    index: int
    picture: MaskPicture | None


@dataclass(frozen=True)
class _Question:
    run: DesignRun
    stamp: tuple[Any, ...]
    experiment: Experiment
    index: int | None


class DesignLook:
    """The design that is watched, and the settings of the next.

    shelf: of the studio's runs.

    Attributes
    ----------
    settings : DesignSettings
        Of the design that is started next.
    index : int or None
        Which of the masks on the way is looked at; None: the newest.
    run : Run or None
        The run of the design that is watched, where the studio started it.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._own = 0
        self._files: DesignRun | None = None
        self._experiment: Experiment | None = None
        self._asked: _Question | None = None
        self._reading: Latest[_Question, Shown | None] = Latest(_read)
        self.settings = DesignSettings()
        self.index: int | None = None
        self.run: Run | None = None

    @property
    def changes(self) -> int:
        """Grows with every change that a page shows."""
        return self._own + self._reading.changes

    def use(self, **changes: Any) -> None:
        """Other settings.  Raises InputError for those that no run can have."""
        settings = replace(self.settings, **changes)
        settings.check()
        if settings != self.settings:
            self.settings = settings
            self._own += 1

    def start(self, source: str, experiment: Experiment) -> None:
        """Start a design with the settings, and watch it.

        source: the experiment's file, as a command in the studio's folder takes it, or preset.
        Raises InputError where there is no such source, or the mask exists or is being designed already.
        """
        if not source:
            raise InputError("the experiment stands in no file", "save it on the panel Set-up")
        self.settings.check()
        out = self._shelf.folder / self.settings.out
        claim_name(out, overwrite=False)
        if (kept := DesignRun(out).checkpoint).exists():
            raise InputError(
                f"{kept.name} holds an unfinished run",
                "press 'Resume' where it is shown, choose another name, or delete the file",
            )
        DesignRun(out).check(resume=False)
        self.run = self._shelf.start(self.settings.arguments(source), f"Design of {self.settings.out}")
        self.watch(out, experiment)

    def run_of(self, out: str) -> Run | None:
        """The newest run that designs this mask (relative to the studio's folder); None: there is none."""
        return self._run_of(DesignRun(self._shelf.folder / out)) if out else None

    def place_of(self, out: str) -> Path:
        """Where this mask file lies, relative to the studio's folder."""
        return self._shelf.folder / out

    def others(self, out: str) -> tuple[Run, ...]:
        """The designs of other masks that are at work."""
        own = self.run_of(out)
        found = (run for run in self._shelf.runs() if run.alive and run.arguments[0] == "design-psf")
        return tuple(run for run in found if own is None or run.id != own.id)

    def stop(self, out: str) -> None:
        """Ask the design of this mask to stop at a point from which it can go on; no other is touched."""
        run = self.run_of(out)
        if run is not None:
            self._shelf.stop(run.id)
            self.look()

    def resume(self, out: str) -> None:
        """Go on with the design of this mask.  Raises InputError where there is none; no other is touched."""
        run = self.run_of(out)
        if run is None:
            raise InputError(f"there is no design of {out or 'a mask without a name'} to go on with")
        self._shelf.resume(run.id)
        self.look()

    def watch(self, out: Path, experiment: Experiment) -> None:
        """Watch the design that writes this mask, by the experiment whose PSF is drawn."""
        self._files, self._experiment, self.index, self._asked = DesignRun(out), experiment, None, None
        self._own += 1
        self.look()

    def watch_newest(self) -> None:
        """Watch the design that the studio started last, also before it was started anew; else nothing."""
        for run in self._shelf.runs():
            if run.arguments[0] == "design-psf" and run.output is not None:
                named = self._shelf.folder / run.arguments[1]
                source = str(named) if named.exists() else run.arguments[1]
                self.watch(self._shelf.folder / run.output, find_experiment(source))
                return

    def go_to(self, index: int | None) -> None:
        """Look at another mask on the way; None: at the newest, also when there is a newer one."""
        if index != self.index:
            self.index = index
            self._own += 1
            self.look()

    def look(self) -> None:
        """Ask again for the run, and read what it has written where that has changed; for a page to repeat."""
        if self._files is None or self._experiment is None:
            return
        run = self._run_of(self._files)
        if run != self.run:
            self.run = run
            self._own += 1
        stamp = tuple(_stamp(path) for path in (self._files.history, self._files.metrics, self._files.out))
        asked = _Question(self._files, stamp, self._experiment, self.index)
        if asked != self._asked:
            self._asked = asked
            self._reading.ask(asked)

    @property
    def watched(self) -> Path | None:
        """The mask file of the design that is watched."""
        return None if self._files is None else self._files.out

    @property
    def shown(self) -> Shown | None:
        """What is drawn; None while nothing was written, or what is watched is another."""
        answer = self._reading.answer
        if answer is None or answer.question.run != self._files:
            return None
        return answer.result

    @property
    def error(self) -> Exception | None:
        """Why the files of the design cannot be drawn."""
        answer = self._reading.answer
        return None if answer is None or answer.question != self._asked else answer.error

    def _run_of(self, files: DesignRun) -> Run | None:
        """The newest run that writes this mask."""
        for run in self._shelf.runs():
            if run.output is not None and (self._shelf.folder / run.output).resolve() == files.out.resolve():
                return run
        return None


def _read(asked: _Question, watch: Watcher) -> Shown | None:
    learned = learned_so_far(asked.run)
    if learned is None:
        return None
    last = len(learned.steps) - 1
    if last < 0:
        return Shown(learned, 0, None)
    index = last if asked.index is None else min(asked.index, last)
    experiment = asked.experiment
    return Shown(learned, index, picture_of(experiment, experiment.z_um, learned.phases[index]))


def _stamp(path: Path) -> tuple[int, int] | None:
    """Changes with the contents of a file; None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
