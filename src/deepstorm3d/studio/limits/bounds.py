"""What the panel "Limits" shows: masks side by side, their PSFs through depth, and the bounds of each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ...errors import InputError, Interrupted
from ...experiment.configure import find_experiment
from ...experiment.experiment import Experiment
from ...experiment.limits import LimitReport
from ...io.masks import mask_sha256
from ...io.parts import claim_name
from ...jobs.limit import Sweep, limit, masks_to_compare
from ...jobs.limit_report import draw_report, write_report
from ...watch import Named, Part, Watcher, advance
from ..latest import Latest
from .pictures import MaskPicture, picture_of

__all__ = ["ComparedMask", "Limits", "Question"]

# Units of progress that a mask stands for.
_UNITS = 100


@dataclass(frozen=True)
class ComparedMask:
    """A mask of the comparison.

    key: its fingerprint, "own" for the experiment's;  given: the file or kind that was added, "" for the
    experiment's own;  phase: (h, w) rad, None for the experiment's own.
    """

    key: str
    name: str
    given: str
    phase: Tensor | None = field(compare=False)


@dataclass(frozen=True)
class Question:
    """For which masks bounds and pictures are asked, and under which conditions.

    alone, bounds, pictures: what is known already under these conditions, by key of the mask, filled by the
    answer: bounds of one molecule alone, all bounds, and what is drawn.
    """

    experiment: Experiment
    masks: tuple[ComparedMask, ...]
    scene: str | None = None
    photons: float | None = None
    background: float | None = None
    alone: dict[str, LimitReport] = field(default_factory=dict, compare=False)
    bounds: dict[str, LimitReport] = field(default_factory=dict, compare=False)
    pictures: dict[str, MaskPicture] = field(default_factory=dict, compare=False)


class Limits:
    """The experiment, the masks beside its own, the conditions, and the bounds as far as they are computed.

    sweep: where bounds are computed, None: where the command `limit` does.

    Attributes
    ----------
    source : str
        The experiment's file or preset as it was given; "" where there is none, or it stands in no file.
    asked : Question or None
        None until there is an experiment.
    """

    def __init__(self, sweep: Sweep | None = None) -> None:
        self._sweep = sweep
        self._own = 0
        self._added: tuple[str, ...] = ()
        self.source = ""
        self.asked: Question | None = None
        self.bounds: Latest[Question, None] = Latest(self._bound)
        self.pictures: Latest[Question, None] = Latest(_draw)

    @property
    def changes(self) -> int:
        """Grows with every change that a page shows."""
        return self._own + self.bounds.changes + self.pictures.changes

    def open(self, source: str) -> None:
        """Take an experiment from its file, or the preset of that name.

        Raises InputError where there is neither, or a mask that was added does not go with it.
        """
        self.take(find_experiment(source), source)

    def take(self, experiment: Experiment, source: str = "") -> None:
        """Take an experiment; source: its file or preset, "" where it stands in none."""
        self._ask(Question(experiment, self._masks(experiment, self._added)))
        self.source = source

    def add(self, mask: str) -> None:
        """Add a mask file or a kind of mask.  Raises InputError where it is neither, or is there already."""
        asked = self._question()
        added = (*self._added, mask)
        masks = self._masks(asked.experiment, added)
        if len({each.key for each in masks}) < len(masks):
            raise InputError(f"{mask} is in the comparison already")
        self._added = added
        self._ask(replace(asked, masks=masks))

    def remove(self, mask: ComparedMask) -> None:
        """Take a mask that was added out again."""
        asked = self._question()
        self._added = tuple(given for given in self._added if given != mask.given)
        self._ask(replace(asked, masks=self._masks(asked.experiment, self._added)))

    def use(self, **conditions: Any) -> None:
        """Other conditions: scene, photons, background; None: the scene's.

        Raises InputError for a scene that there is not.
        """
        asked = self._question()
        changed = replace(asked, **conditions, alone={}, bounds={}, pictures={})
        asked.experiment.scene(changed.scene)
        if changed != asked:
            self._ask(changed)

    @property
    def experiment(self) -> Experiment:
        """The experiment; raises InputError where there is none yet."""
        return self._question().experiment

    @property
    def report(self) -> LimitReport | None:
        """The bounds as far as they are computed, masks in order; None where there are none yet.

        Those of one molecule come first; while a mask has no others, its bounds of many are empty.
        """
        asked = self.asked
        if asked is None:
            return None
        found = {**asked.alone, **asked.bounds}
        known = [(mask, found[mask.key]) for mask in asked.masks if mask.key in found]
        if not known:
            return None
        return replace(known[0][1], masks=tuple(replace(r.masks[0], name=mask.name) for mask, r in known))

    @property
    def error(self) -> Exception | None:
        """What keeps bounds or pictures from being computed."""
        for latest in (self.bounds, self.pictures):
            answer = latest.answer
            if answer is not None and answer.question == self.asked and answer.error is not None:
                return answer.error
        return None

    def save(self, picture: Path, table: Path, *, overwrite: bool = False) -> None:
        """Write the picture and the table as the command `limit` does.

        Raises InputError before all bounds are there, and where a file cannot be written or exists.
        """
        report, asked = self.report, self._question()
        if report is None or any(mask.key not in asked.bounds for mask in asked.masks):
            raise InputError("the bounds are still being computed", "wait until they are there")
        for path in (picture, table):
            claim_name(path, overwrite=overwrite)
        write_report(report, table)
        draw_report(report, picture)

    def _question(self) -> Question:
        if self.asked is None:
            raise InputError("there is no experiment yet", "choose a preset or an experiment file first")
        return self.asked

    def _ask(self, question: Question) -> None:
        self.asked = question
        self._own += 1
        self.pictures.ask(question)
        self.bounds.ask(question)

    def _masks(self, experiment: Experiment, added: tuple[str, ...]) -> tuple[ComparedMask, ...]:
        given = iter(added)
        return tuple(
            ComparedMask("own", name, "", None)
            if phase is None
            else ComparedMask(mask_sha256(phase.numpy()), name, next(given), phase)
            for name, phase in masks_to_compare(experiment, added)
        )

    def _bound(self, asked: Question, watch: Watcher) -> None:
        """Compute the bounds that are missing: of one molecule for every mask, then of many, mask by mask."""
        sweep = self._sweep or Sweep()
        stages = ((asked.alone, replace(sweep, emitters=())), (asked.bounds, sweep))
        whole, done = _UNITS * len(asked.masks), 0
        for units, (known, part) in zip((_UNITS // 10, _UNITS - _UNITS // 10), stages, strict=True):
            for mask in asked.masks:
                if mask.key not in known:
                    report = self._of(asked, mask, part, Named(Part(watch, done, units, whole), mask.name))
                    known[mask.key] = report
                done += units
                advance(watch, done, whole)

    def _of(self, asked: Question, mask: ComparedMask, sweep: Sweep, watch: Watcher) -> LimitReport:
        return limit(
            asked.experiment,
            [(mask.name, mask.phase)],
            scene=asked.scene,
            photons=asked.photons,
            background=asked.background,
            sweep=sweep,
            watch=watch,
        )


def _draw(asked: Question, watch: Watcher) -> None:
    """Compute the pictures that are missing."""
    for number, mask in enumerate(asked.masks):
        if watch.stopped:
            raise Interrupted
        if mask.key not in asked.pictures:
            scene = asked.experiment.scene(asked.scene)
            asked.pictures[mask.key] = picture_of(asked.experiment, scene.emitters.z_um, mask.phase)
        watch.progress(number + 1, len(asked.masks))
