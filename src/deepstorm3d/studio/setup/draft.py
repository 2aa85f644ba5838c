"""The experiment as a user edits it: what was entered, what is wrong with it, and the last that is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from ...errors import InputError
from ...experiment.camera_sheets import camera_sheet
from ...experiment.experiment import Experiment
from ...experiment.files import read_experiment
from ...experiment.presets import preset
from ...spec import set_by_path, spec_faults
from .form import FormSection, form_of

__all__ = ["ExperimentDraft"]

Keys = tuple[str, ...]
# Most earlier states that are kept.
_KEPT = 100


class ExperimentDraft:
    """An experiment that is being edited.

    Attributes
    ----------
    experiment : Experiment
        The last one that was valid.
    faults : dict
        What is wrong with what was entered since, by the keys that lead to it; empty where all is right.
    start : str
        What it began from: "preset storm", or the name of a file.
    remarks : str
        Lines for the head of the file that is written.
    changes : int
        Grows with every change.
    """

    def __init__(self, name: str = "storm") -> None:
        self.changes = 0
        self._before: list[tuple[dict[str, Any], Experiment, dict[Keys, str]]] = []
        self._begin(preset(name), f"preset {name}")

    # Where to begin.

    def take_preset(self, name: str) -> None:
        """Begin anew from a preset; raises InputError for an unknown name."""
        self._remember()
        self._begin(preset(name), f"preset {name}")

    def read(self, path: Path, said: str) -> None:
        """Begin anew from an experiment file; said: its name.  Raises InputError where it is not valid."""
        experiment = read_experiment(path)
        self._remember()
        self._begin(experiment, said)

    def take(self, experiment: Experiment, said: str) -> None:
        """Go on with an experiment that was found elsewhere; said: where."""
        self._remember()
        self._begin(experiment, said)

    def take_camera(self, name: str) -> None:
        """Set the camera to a data sheet's values; what it does not say is a fault until it is entered.

        Raises InputError for an unknown name.
        """
        sheet = camera_sheet(name)
        self._remember()
        entered = deepcopy(self._entered)
        entered["camera"] = {**sheet.camera, **dict.fromkeys(sheet.unsaid)}
        self._unsaid = {("camera", key): sheet.title for key in sheet.unsaid}
        self.remarks = sheet.remarks()
        self._judge(entered, ("camera",))

    def _begin(self, experiment: Experiment, said: str) -> None:
        self.experiment, self.start, self.remarks = experiment, said, ""
        self.origin = experiment.to_mapping()
        self._entered: dict[str, Any] = experiment.to_mapping()
        self._unsaid: dict[Keys, str] = {}
        self.faults: dict[Keys, str] = {}
        self.changes += 1

    # Changes.

    def enter(self, path: Keys, text: str) -> None:
        """Set a value from a text, as YAML has it; an empty text is no value."""
        try:
            value = yaml.safe_load(text) if text.strip() else None
        except yaml.YAMLError:
            self._remember()
            self._entered = self._with(path, text)
            self.faults = {**self.faults, path: f"'{text}' cannot be read: look at its brackets and quotes"}
            self.changes += 1
            return
        self.set(path, value)

    def set(self, path: Keys, value: Any) -> None:
        """Set a value. Where it is wrong, `faults` says why, and `experiment` stays as it was."""
        if self.value(path) == value and path not in self.faults:
            return
        self._remember()
        self._judge(self._with(path, value), path)

    def set_kind(self, path: Keys, kind: str) -> None:
        """Make a record one of another kind, with that kind's own values."""
        self._remember()
        entered = deepcopy(self._entered)
        set_by_path(entered, f"{'.'.join((*path, 'kind'))}={kind}", Experiment)
        self._judge(entered, path)

    def copy_part(self, path: Keys, name: str) -> None:
        """Add a record beside one of several that have names, such as a scene, with the same values.

        Raises InputError where the name is taken or empty.
        """
        name = name.strip()
        parts = _at(self._entered, path[:-1])
        if not name or name in parts:
            raise InputError(f"'{name}' is taken" if name else "the name is empty", "choose another name")
        self._remember()
        self._judge(self._with((*path[:-1], name), deepcopy(parts[path[-1]])), path)

    def remove_part(self, path: Keys) -> None:
        """Remove one of several records that have names."""
        self._remember()
        entered = deepcopy(self._entered)
        del _at(entered, path[:-1])[path[-1]]
        self._judge(entered, path[:-1])

    def undo(self) -> None:
        """Go back by one change, if there was any."""
        if self._before:
            self._entered, self.experiment, self.faults = self._before.pop()
            self.changes += 1

    # What there is.

    def form(self) -> FormSection:
        """The form with the values that were entered."""
        return form_of(Experiment, self._entered)

    def value(self, path: Keys) -> Any:
        """A value as it was entered; None where there is none."""
        here: Any = self._entered
        for key in path:
            if not isinstance(here, Mapping) or key not in here:
                return None
            here = here[key]
        return here

    @property
    def complete(self) -> Experiment:
        """The experiment as it was entered; raises InputError where something is wrong with it."""
        if self.faults:
            told = "; ".join(f"{'.'.join(path)}: {words}" for path, words in self.faults.items())
            raise InputError(f"the experiment is not valid yet: {told}", "correct the fields that are marked")
        return self.experiment

    def _with(self, path: Keys, value: Any) -> dict[str, Any]:
        entered = deepcopy(self._entered)
        _put(entered, path, value)
        return entered

    def _judge(self, entered: dict[str, Any], path: Keys) -> None:
        """Take what was entered last, at a path, and with it the experiment as far as it is valid."""
        self._entered = entered
        self.faults = self._faults_of(entered, path)
        if not self.faults:
            self.experiment = Experiment.model_validate(entered)
            self._entered = self.experiment.to_mapping()
        else:
            # A value that is right takes effect, though another field is still wrong.
            alone = self.experiment.to_mapping()
            if _put(alone, path, self.value(path)) and not spec_faults(Experiment, alone):
                self.experiment = Experiment.model_validate(alone)
        self.changes += 1

    def _faults_of(self, entered: Mapping[str, Any], path: Keys) -> dict[Keys, str]:
        """What is wrong, each at the field that is to blame: where records contradict each other, the last."""
        found: dict[Keys, str] = {}
        known = {(), *form_of(Experiment, entered).paths()}
        for fault in spec_faults(Experiment, entered):
            at = fault.path
            earlier = next((blamed for blamed, words in self.faults.items() if words == fault.message), None)
            if earlier is not None:
                at = earlier
            elif len(at) < len(path) and path[: len(at)] == at:
                at = path
            # One of two numbers, or of several, stands in the field of all.
            while at not in known:
                at = at[:-1]
            words = fault.message
            if at in self._unsaid and self.value(at) is None:
                words = (
                    f"the data sheet of the {self._unsaid[at]} does not say it: see the certificate that came "
                    "with yours, or measure it"
                )
            found[at] = words
        return found

    def _remember(self) -> None:
        self._before.append((deepcopy(self._entered), self.experiment, dict(self.faults)))
        del self._before[:-_KEPT]


def _at(mapping: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    here = mapping
    for key in path:
        here = here[key]
    return here


def _put(mapping: dict[str, Any], path: Sequence[str], value: Any) -> bool:
    """Set a value in a nested mapping; False where its place is not there."""
    here: Any = mapping
    for key in path[:-1]:
        if not isinstance(here, dict) or not isinstance(here.get(key), dict):
            return False
        here = here[key]
    here[path[-1]] = value
    return True
