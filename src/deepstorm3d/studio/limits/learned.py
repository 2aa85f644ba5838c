"""What a design has written beside its result so far: its masks on the way, and how good each was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...training.mask_history import read_history
from ...training.runs import DesignRun

__all__ = ["LearnedSoFar", "learned_so_far", "thinned"]


@dataclass(frozen=True, eq=False)
class LearnedSoFar:
    """What a design has written.

    steps: (K,) after which a mask was kept;  phases: (K, h, w) rad;  curves: by name of the figure
    ("bound_nm", "loss", "jaccard"), steps and values;  complete: whether the mask is written.
    """

    steps: NDArray[np.int64]
    phases: NDArray[np.float32]
    curves: dict[str, list[tuple[int, float]]]
    complete: bool

    @property
    def step(self) -> int:
        """The last step that is known of."""
        logged = [points[-1][0] for points in self.curves.values() if points]
        kept = [int(self.steps[-1])] if len(self.steps) else []
        return max(logged + kept, default=0)


def learned_so_far(run: DesignRun) -> LearnedSoFar | None:
    """What the files beside a design say; None where there is nothing yet.

    Raises InputError where they cannot be read.
    """
    if not run.history.exists() and not run.metrics.exists():
        return None
    if run.history.exists():
        steps, phases = read_history(run.history)
    else:
        steps, phases = np.zeros(0, np.int64), np.zeros((0, 1, 1), np.float32)
    return LearnedSoFar(steps, phases, _curves(run.metrics), run.out.exists())


def _curves(log: Path) -> dict[str, list[tuple[int, float]]]:
    """Bound, loss and completeness against steps, from the log; a line that is being written is left out."""
    curves: dict[str, list[tuple[int, float]]] = {}
    if not log.exists():
        return curves
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        for name in ("bound_nm", "loss", "jaccard"):
            if isinstance(values.get(name), int | float):
                curves.setdefault(name, []).append((int(values["step"]), float(values[name])))
    return curves


def thinned(points: Sequence[tuple[int, float]], most: int = 500) -> list[tuple[int, float]]:
    """At most so many points of a curve, the last among them."""
    if len(points) <= most:
        return list(points)
    keep = np.unique(np.linspace(0, len(points) - 1, most).round().astype(int))
    return [points[index] for index in keep]
