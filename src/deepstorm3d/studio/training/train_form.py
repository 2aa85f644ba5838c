"""The form for a new training, and the command line that it stands for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ...errors import InputError
from ...experiment.configure import find_experiment
from ...experiment.experiment import Experiment
from ...experiment.presets import PRESETS
from ...localizing.catalogue import built_in_models
from ...training.runs import Run as TrainingFiles
from ..folder import Folder
from .cost import CostQuestion
from .output import refuse_taken

__all__ = ["TrainForm"]


@dataclass(frozen=True)
class TrainForm:
    """What the user has entered.

    experiment: file in the folder, or a preset's name;  out: model to write, .pt;  steps, validate_every: None:
    the experiment's;  from_model: whose weights it begins with, "": random ones;  device: "" (the program
    chooses), "cpu" or "cuda";  settings: further ``a.b=value``, in one line;  overwrite: whether files
    that exist are replaced.
    """

    experiment: str = ""
    out: str = "model.pt"
    steps: int | None = None
    validate_every: int | None = None
    from_model: str = ""
    device: str = ""
    settings: str = ""
    overwrite: bool = False

    def changed(self, **values: object) -> Self:
        """The form with other entries."""
        return replace(self, **values)  # pyright: ignore[reportArgumentType]

    def source(self, folder: Folder) -> str:
        """The experiment as a path, or a preset's name.  Raises InputError where there is neither."""
        name = self.experiment.strip()
        if not name:
            raise InputError("choose an experiment: a file, or one of the presets")
        return name if name in PRESETS else str(folder.existing(name))

    def read(self, folder: Folder) -> Experiment:
        """The experiment with all changes of the form.  Raises InputError where something is wrong."""
        return find_experiment(self.source(folder), self.assignments())

    def assignments(self) -> tuple[str, ...]:
        """All changes of the experiment, as after ``--set``."""
        named = (("steps", self.steps), ("validate_every", self.validate_every))
        return (*(f"training.{name}={value:d}" for name, value in named if value is not None), *self._more())

    def question(self, folder: Folder) -> CostQuestion:
        """What decides how long a step takes."""
        return CostQuestion(self.source(folder), self._more(), self.device)

    def arguments(self, folder: Folder) -> tuple[str, ...]:
        """The command line, without the program's name.  Raises InputError where it is not complete."""
        source = self.source(folder)
        shown = source if source in PRESETS else folder.shown(folder.path(source))
        words = ["train", shown, "--out", folder.shown(self._out(folder))]
        words += ["--from", self._from_model(folder)] if self.from_model.strip() else []
        for each in self.assignments():
            words += ["--set", each]
        words += ["--device", self.device] if self.device else []
        return (*words, *(["--overwrite"] if self.overwrite else []))

    def check(self, folder: Folder) -> None:
        """Raise InputError for what the command would refuse at once."""
        self.read(folder)
        self._from_model(folder)
        out = self._out(folder)
        refuse_taken(out, folder, overwrite=self.overwrite)
        if TrainingFiles(out).checkpoint.exists() and not self.overwrite:
            raise InputError(
                f"{folder.shown(TrainingFiles(out).checkpoint)} holds an unfinished training",
                "resume it in the list, choose another name, or tick 'replace files that exist'",
            )

    def _from_model(self, folder: Folder) -> str:
        """The model to begin with, "" for none; raises InputError where there is no such model."""
        name = self.from_model.strip()
        return name if not name or name in built_in_models() else folder.shown(folder.existing(name))

    def _out(self, folder: Folder) -> Path:
        if not self.out.strip():
            raise InputError("give the model a file name, ending in .pt")
        out = folder.path(self.out)
        return out if out.suffix else out.with_suffix(".pt")

    def _more(self) -> tuple[str, ...]:
        try:
            words = shlex.split(self.settings)
        except ValueError as error:
            raise InputError(f"the further settings cannot be read: {error}") from error
        for word in words:
            if "=" not in word:
                raise InputError(f"'{word}': write key=value, for example training.batch=8")
        return tuple(words)
