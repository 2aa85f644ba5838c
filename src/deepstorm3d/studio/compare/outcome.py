"""Who was found and who was not: rows of both lists by what became of them, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...analysis.depth_errors import DepthErrors, errors_by_depth
from ...analysis.evaluation import Evaluation
from ...emitters import Emitters, Localizations
from ...jobs.evaluate import Compared

__all__ = ["FATES", "Fate", "Outcome", "Places", "outcome_of"]

Fate = Literal["matched", "missed", "false", "ignored"]
FATES: tuple[Fate, ...] = ("matched", "missed", "false", "ignored")
"""What may become of a row: matched and missed are rows of the truth, false of the list, ignored of both."""


@dataclass(frozen=True, eq=False)
class Places:
    """Rows of one fate, in order of their frames.

    frame: (N,);  xyz_um: (N, 3), of the truth where it has the row;  photons: (N,);
    offset_nm: (N, 3) localization minus truth of matched rows, 0 for others.
    """

    frame: NDArray[np.int64]
    xyz_um: NDArray[np.float64]
    photons: NDArray[np.float64]
    offset_nm: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frame)

    def at(self, frame: int) -> Places:
        """Those of one frame."""
        begin, end = np.searchsorted(self.frame, [frame, frame + 1])
        return self._rows(slice(begin, end))

    def sample(self, most: int) -> Places:
        """At most so many rows, evenly over the frames."""
        return self._rows(slice(None, None, max(1, -(-len(self) // most))))

    def _rows(self, rows: slice) -> Places:
        return Places(self.frame[rows], self.xyz_um[rows], self.photons[rows], self.offset_nm[rows])


@dataclass(frozen=True)
class Outcome:
    """A comparison.

    evaluation: its figures;  places: the rows by their fate;  depth: errors against depth, None without truth;
    pixel_um: camera pixel in the sample;  shape: height and width of a frame, px;  frames: of the longer list.
    """

    evaluation: Evaluation
    places: dict[Fate, Places]
    depth: DepthErrors | None
    pixel_um: float
    shape: tuple[int, int]
    frames: int

    def next_with(self, fates: tuple[Fate, ...], frame: int, direction: Literal[-1, 1]) -> int | None:
        """The next frame after (1) or before (−1) this one with a row of such a fate; None: none has."""
        there = np.unique(np.concatenate([self.places[fate].frame for fate in fates]))
        beyond = there[there > frame] if direction > 0 else there[there < frame][::-1]
        return int(beyond[0]) if len(beyond) else None


def outcome_of(compared: Compared, evaluation: Evaluation) -> Outcome:
    """Sort the rows of both lists by what became of them; the list moved as the evaluation moved it."""
    truth, matches = compared.truth, evaluation.matches
    x, y, z = (value / 1000 for value in evaluation.conditions.get("shift_nm", (0.0, 0.0, 0.0)))
    found = compared.found.shift(xyz=(x, y, z))
    t, f = matches.truth_index.numpy(), matches.found_index.numpy()
    dim, odd = matches.truth_ignored.numpy(), matches.found_ignored.numpy()
    missed, false = ~dim, ~odd
    missed[t], false[f] = False, False
    places: dict[Fate, Places] = {
        "matched": _sorted(truth, t, 1000 * (_xyz(found)[f] - _xyz(truth)[t])),
        "missed": _sorted(truth, np.flatnonzero(missed)),
        "false": _sorted(found, np.flatnonzero(false)),
        "ignored": _joined(_sorted(truth, np.flatnonzero(dim)), _sorted(found, np.flatnonzero(odd))),
    }
    last = max((int(part.frame[-1]) for part in places.values() if len(part)), default=-1)
    return Outcome(
        evaluation,
        places,
        errors_by_depth(truth, found, matches),
        compared.header.pixel_um,
        compared.shape,
        max(last + 1, compared.header.frames),
    )


def _xyz(table: Emitters | Localizations) -> NDArray[np.float64]:
    return table.xyz.detach().cpu().double().numpy()


def _sorted(
    table: Emitters | Localizations, rows: NDArray[np.int64], offset_nm: NDArray[np.float64] | None = None
) -> Places:
    """These rows of a table in order of their frames."""
    frame = table.frame.cpu().numpy()[rows].astype(np.int64)
    order = np.argsort(frame, kind="stable")
    offset = np.zeros((len(rows), 3)) if offset_nm is None else offset_nm[order]
    photons = table.photons.detach().cpu().double().numpy()[rows][order]
    return Places(frame[order], _xyz(table)[rows][order], photons, offset)


def _joined(one: Places, other: Places) -> Places:
    frame = np.concatenate([one.frame, other.frame])
    order = np.argsort(frame, kind="stable")
    names = ("xyz_um", "photons", "offset_nm")
    xyz, photons, offset = (np.concatenate([getattr(one, n), getattr(other, n)])[order] for n in names)
    return Places(frame[order], xyz, photons, offset)
