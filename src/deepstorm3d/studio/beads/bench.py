"""What the panel "Beads" holds: stacks, how they were recorded, the choice of beads, and the mask found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...calibration.beads.settings import BeadSettings
from ...calibration.beads.survey import BeadSurvey, survey_beads
from ...calibration.phase_retrieval.report import claim_outputs, write_retrieval
from ...calibration.phase_retrieval.retrieval import Retrieval, Unknowns, retrieve_mask
from ...errors import InputError
from ...experiment.experiment import Experiment
from ...experiment.files import read_experiment
from ...io.parts import beside, write_text
from ...watch import Watcher, advance
from ..folder import Folder
from ..latest import Latest
from ..work import Work
from .choice import BeadChoice, BeadEntry, Place

__all__ = ["BeadBench", "SurveyQuestion"]


@dataclass(frozen=True)
class SurveyQuestion:
    """Which stacks are looked at, with what."""

    experiment: Experiment
    stacks: tuple[Path, ...]
    settings: BeadSettings


class BeadBench:
    """Beads on the way to a mask.

    folder: that may be read and written;  experiment: gives the set-up, whose mask is the design;
    offer: called with the experiment that was found and the name of its file.

    Attributes
    ----------
    stacks : tuple of Path
        The open stacks.
    settings, unknowns
        How they were recorded, and what is found besides the phase.
    design : str
        Name of the experiment whose mask was the design of the mask found; empty before.
    choice : BeadChoice
        Which beads are used.
    surveyed : Latest
        The search for beads.
    work : Work
        The retrieval.
    changes : int
        Grows with every change that a page shows.
    """

    def __init__(
        self,
        folder: Folder,
        experiment: Callable[[], Experiment],
        offer: Callable[[Experiment, str], None] = lambda experiment, said: None,
    ) -> None:
        self.folder, self._experiment, self._offer = folder, experiment, offer
        self.stacks: tuple[Path, ...] = ()
        self.settings, self.unknowns = BeadSettings(), Unknowns()
        self.choice = BeadChoice()
        self.surveyed: Latest[SurveyQuestion, BeadSurvey] = Latest(self._survey)
        self.work = Work()
        self.written: tuple[Path, ...] = ()
        self.design = ""
        self._own = 0
        self._seen: object = None
        self._asked: object = None

    @property
    def changes(self) -> int:
        """Grows with every change that a page shows."""
        return self._own + self.surveyed.changes + self.work.changes

    # Stacks, and how they were recorded.

    def open(self, names: str) -> None:
        """Open stacks, whose names are separated by commas, in place of those before.

        A comma may also belong to the name of a file that is there.
        Raises InputError where one is not there.
        """
        stacks = self._named(names)
        if stacks != self.stacks:
            self.stacks = stacks
            self.choice.begin()
            self.work.clear()
            self.look()

    def _named(self, names: str) -> tuple[Path, ...]:
        """The files of names with commas between them, each the longest name that there is."""
        parts, found = names.split(","), []
        while parts:
            longest = next((k for k in range(len(parts), 1, -1) if self._is_there(",".join(parts[:k]))), 1)
            name, parts = ",".join(parts[:longest]), parts[longest:]
            found += [self.folder.existing(name)] if name.strip() else []
        return tuple(found)

    def _is_there(self, name: str) -> bool:
        try:
            return self.folder.path(name) != self.folder.root and self.folder.existing(name).exists()
        except InputError:
            return False

    def record(self, **changes: Any) -> None:
        """Change how the stacks were recorded; the names are those of `BeadSettings`.

        Raises InputError for values that contradict each other; the settings stay then.
        """
        settings = replace(self.settings, **changes)
        if settings != self.settings:
            self.settings = settings
            self._own += 1
            self.look()

    def find(self, **changes: Any) -> None:
        """Change what is found besides the phase; the names are those of `Unknowns`."""
        self.unknowns = replace(self.unknowns, **changes)
        self._own += 1

    def look(self) -> None:
        """Look for the beads of the stacks as they are described now, if that is a new question."""
        experiment = self._experiment()
        optics = (experiment.microscope, experiment.mask, experiment.psf, experiment.camera, experiment.z_um)
        asked = (self.stacks, self.settings, optics) if self.stacks else None
        if asked == self._asked:
            return
        self._asked = asked
        self._own += 1
        if asked is None:
            self.surveyed.stop()
        else:
            self.surveyed.ask(SurveyQuestion(experiment, self.stacks, self.settings))

    # Beads.

    @property
    def survey(self) -> BeadSurvey | None:
        """What there is in the stacks that are open; None until it is known."""
        answer = self.surveyed.answer
        if answer is None or answer.result is None or answer.question.stacks != self.stacks:
            return None
        if answer.result is not self._seen:
            # Places that were added stay, unless the square is now too large for them.
            self._seen = self.choice.survey = answer.result
        return answer.result

    @property
    def problem(self) -> Exception | None:
        """Why the stacks cannot be searched."""
        return None if self.surveyed.answer is None else self.surveyed.answer.error

    @property
    def entries(self) -> list[BeadEntry]:
        """All beads, and whether they are used."""
        return self.choice.entries() if self.survey is not None else []

    def click(self, stack: int, column: float, row: float) -> None:
        """Take, leave out or add the bead at a place; raises InputError as `BeadChoice.click`."""
        if self.survey is not None:
            self.choice.click(stack, column, row)
            self._own += 1

    def turn(self, place: Place) -> None:
        """Take a bead or leave it out."""
        self.choice.turn(place)
        self._own += 1

    # The mask.

    @property
    def chosen_settings(self) -> BeadSettings:
        """The settings with the beads that are chosen, where they are not just those that are found."""
        if self.choice.as_found:
            return self.settings
        return replace(self.settings, beads_at=self.choice.taken())

    def retrieve(self, design: str = "") -> None:
        """Find the mask from the chosen beads, in a thread.

        design: name of the experiment whose mask is the design, for those who do the same elsewhere.
        Raises InputError where no bead is chosen, or a mask is being found.
        """
        if self.survey is None or not self.choice.taken():
            raise InputError("no bead is chosen", "open a stack, and click on beads")
        experiment, stacks, settings, unknowns = (
            self._experiment(),
            self.stacks,
            self.chosen_settings,
            self.unknowns,
        )

        def work(watch: Watcher) -> Retrieval:
            return retrieve_mask(experiment, stacks, settings, unknowns, watch=watch)

        self.written, self.design = (), design
        self.work.start("mask from beads", work)

    @property
    def retrieval(self) -> Retrieval | None:
        """The mask that was found."""
        return self.work.result

    def write(self, mask: str, experiment: str, *, overwrite: bool = False) -> tuple[Path, ...]:
        """Write the mask with its picture and figures, the experiment with it, and the places of chosen beads.

        mask, experiment: names in the folder; the latter may be empty, then no experiment is written.
        Returns the files.  Raises InputError where nothing was found, or a file may not be written.
        """
        found = self.retrieval
        if found is None:
            raise InputError("no mask was found yet")
        out = self.folder.path(mask)
        picture, figures, beads = beside(out, ".png"), beside(out, ".json"), places_file(out)
        setup = self.folder.path(experiment) if experiment.strip() else None
        chosen = None if self.choice.as_found else beads
        files = [path for path in (out, picture, figures, setup, chosen) if path is not None]
        claim_outputs(files, overwrite=overwrite)
        write_retrieval(found, out, picture=picture, json_out=figures, experiment_out=setup)
        if chosen is not None:
            write_text(chosen, self.places_text())
        if setup is not None:
            self._offer(read_experiment(setup), self.folder.shown(setup))
        self.written = tuple(files)
        self._own += 1
        return self.written

    def places_text(self) -> str:
        """The chosen beads as `retrieve-mask --beads-at` reads them."""
        many = len(self.stacks) > 1
        lines = [f"{self.stacks[k].name + ' ' if many else ''}{x} {y}" for k, x, y in self.choice.taken()]
        return "\n".join(["# column and row of each bead, px from 0", *lines]) + "\n"

    def _survey(self, asked: SurveyQuestion, watch: Watcher) -> BeadSurvey:
        advance(watch, 0, 1, "looking for beads")
        return survey_beads(asked.experiment, asked.stacks, asked.settings)


def places_file(mask: Path) -> Path:
    """The file of the chosen beads beside a mask."""
    return beside(mask, ".beads.txt")
