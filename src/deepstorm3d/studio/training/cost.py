"""How long a training would take, measured on this machine before it is started."""

from __future__ import annotations

from dataclasses import dataclass

from ...cli.progress import duration
from ...devices import chosen_device
from ...experiment.configure import find_experiment
from ...jobs.training_cost import TrainingCost, training_cost
from ...watch import Watcher
from ..latest import Latest

__all__ = ["CostLook", "CostQuestion", "measured"]


@dataclass(frozen=True)
class CostQuestion:
    """Which training.

    experiment: file or preset;  assignments: ``a.b=value``, without those of its length;  device: "": as the
    program chooses.
    """

    experiment: str
    assignments: tuple[str, ...]
    device: str


def measured(question: CostQuestion, watch: Watcher) -> TrainingCost:
    """Train a few steps in memory, with the clock at hand.  Raises InputError, and Interrupted."""
    watch.message("reading the experiment")
    experiment = find_experiment(question.experiment, question.assignments)
    return training_cost(experiment, device=chosen_device(question.device or None), watch=watch)


class CostLook:
    """The measurement that was asked for, and what it says of trainings of any length."""

    def __init__(self) -> None:
        self._latest: Latest[CostQuestion, TrainingCost] = Latest(measured)

    @property
    def changes(self) -> int:
        """Grows with every change that a page shows."""
        return self._latest.changes

    @property
    def busy(self) -> bool:
        """Whether it is being measured."""
        return self._latest.busy

    def ask(self, question: CostQuestion) -> None:
        """Measure it, unless that is the newest answer or under way."""
        self._latest.ask(question)

    def stop(self) -> None:
        """Leave it."""
        self._latest.stop()

    def wait(self, seconds: float) -> None:
        """Until it is measured; raises TimeoutError where it takes longer."""
        self._latest.wait(seconds)

    def error(self, question: CostQuestion) -> Exception | None:
        """Why it could not be measured."""
        answer = self._latest.answer
        return answer.error if answer is not None and answer.question == question else None

    def text(self, question: CostQuestion, steps: int, validate_every: int) -> str:
        """How long so many steps take, in words; "" where it was not measured (yet)."""
        if self._latest.busy:
            done, total = self._latest.done, self._latest.total
            return f"measuring the time: step {done} of {total}" if total else "measuring the time …"
        answer = self._latest.answer
        if answer is None or answer.result is None or answer.question != question:
            return ""
        cost = answer.result
        whole = cost.seconds(steps, validate_every)
        return f"about {duration(whole)} on {cost.device} (a step takes {cost.step_s:.2g} s, as measured now)"
