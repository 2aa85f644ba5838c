"""One molecule over its frames: how bright it was in each, and how two channels divided its light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .opened import OpenList

__all__ = ["FRAMES_OF_MOLECULES", "MoleculeRows", "durations_chart", "lifetime_chart", "rows_of_molecule"]

FRAMES_OF_MOLECULES = "frames of a molecule"
"""Name of a distribution beside those of the columns: in how many frames the kept molecules were found."""

# Frames of a chart up to which those without a row are drawn, too.
_MOST_FRAMES = 400
_FIRST = "#4d9be6"
_SECOND = "#e07a2f"


@dataclass(frozen=True, eq=False)
class MoleculeRows:
    """The K rows of a molecule in order of frames: frame, photons, and the second channel's share of them.

    share: (K,), None in a list of one channel;  sigma: (K,) of the photons, 0 where not known.
    """

    number: int
    frame: NDArray[np.int64]
    photons: NDArray[np.float64]
    sigma: NDArray[np.float64]
    share: NDArray[np.float64] | None

    def __str__(self) -> str:
        """Frames and light, in a line."""
        light = f"{self.photons.sum():,.0f} photons in all"
        if self.share is not None and self.photons.sum() > 0:
            light += f", {(self.share * self.photons).sum() / self.photons.sum():.1%} in the second channel"
        return f"molecule {self.number}: {len(self.frame)} frames ({_ranges(self.frame)}), {light}"


def rows_of_molecule(opened: OpenList, number: int) -> MoleculeRows | None:
    """The rows of a molecule; None where there are none, as in a list that was found frame by frame."""
    table = opened.table
    if table.molecule is None:
        return None
    rows = np.flatnonzero(table.molecule.numpy() == number)
    if not len(rows):
        return None
    own = table[rows].sort()
    share = None if own.share is None else own.share.double().numpy()
    return MoleculeRows(
        number, own.frame.numpy(), own.photons.double().numpy(), own.sigma_photons.double().numpy(), share
    )


def _ranges(frames: NDArray[np.int64]) -> str:
    """``3–5, 9`` for 3, 4, 5, 9."""
    parts = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    return ", ".join(f"{part[0]}" if len(part) == 1 else f"{part[0]}–{part[-1]}" for part in parts)


def lifetime_chart(rows: MoleculeRows) -> dict[str, Any]:
    """Options of a chart: bars of photons over frames, divided between the channels where that is known."""
    first, last = int(rows.frame[0]), int(rows.frame[-1])
    shown = list(range(first - 1, last + 2)) if last - first < _MOST_FRAMES else rows.frame.tolist()
    place = {frame: index for index, frame in enumerate(rows.frame.tolist())}
    parts = [("photons", _FIRST, rows.photons)]
    if rows.share is not None:
        parts = [
            ("first channel", _FIRST, rows.photons * (1 - rows.share)),
            ("second channel", _SECOND, rows.photons * rows.share),
        ]
    series = [
        {
            "type": "bar",
            "name": name,
            "stack": "light",
            "itemStyle": {"color": colour},
            "data": [round(float(values[place[frame]])) if frame in place else None for frame in shown],
        }
        for name, colour, values in parts
    ]
    return {
        **_BASE,
        "tooltip": {"trigger": "axis"},
        "legend": {"right": 8, "top": 0, "textStyle": {"color": "#888"}} if len(parts) > 1 else {"show": False},
        "xAxis": {**_AXIS, "type": "category", "data": shown, "name": "frame"},
        "yAxis": {**_AXIS, "type": "value", "name": "photons"},
        "series": series,
    }


def durations_chart(counts: list[int], most: float) -> dict[str, Any]:
    """Options of a chart: how many molecules were found in one frame, in two, …; most: of any molecule."""
    names = [str(number) for number in range(1, len(counts) + 1)]
    if names and most > len(counts):
        names[-1] += " +"
    return {
        **_BASE,
        "tooltip": {"trigger": "axis"},
        "xAxis": {**_AXIS, "type": "category", "data": names, "name": "frames"},
        "yAxis": {**_AXIS, "type": "value", "name": "molecules"},
        "series": [{"type": "bar", "name": "molecules", "itemStyle": {"color": _FIRST}, "data": counts}],
    }


_BASE: dict[str, Any] = {"animation": False, "grid": {"left": 70, "right": 52, "top": 36, "bottom": 22}}
_AXIS: dict[str, Any] = {"axisLabel": {"color": "#888"}, "nameTextStyle": {"color": "#888"}}
