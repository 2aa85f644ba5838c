"""Statistics of the rows that are kept, column by column."""

from __future__ import annotations

import math
from typing import Any

from nicegui import ui

from ..desk import Desk
from .kept import Distribution
from .molecule import FRAMES_OF_MOLECULES, durations_chart

__all__ = ["StatisticsPart"]

_HEADS = ("column", "unit", "rows", "least", "5 %", "25 %", "median", "75 %", "95 %", "most")


class StatisticsPart:
    """A table of the rows that are kept."""

    def __init__(self, desk: Desk) -> None:
        self.look = desk.result
        columns: list[dict[str, Any]] = [
            {"name": head, "label": head, "field": head, "align": "left" if head in _HEADS[:2] else "right"}
            for head in _HEADS
        ]
        self.table = (
            ui.table(columns=columns, rows=[], row_key="column")
            .props("dense flat data-test=statistics")
            .classes("ds-statistics w-full")
        )
        self.words = ui.label().classes("ds-words")
        self.durations = ui.echart({}).classes("ds-result-durations").props("data-test=durations")

    def refresh(self) -> None:
        """Show the newest figures."""
        shown = self.look.distributions
        rows = []
        for name, column in self.look.columns.items():
            found = shown.get(name)
            values = (math.nan,) * 7 if found is None else (found.least, *found.quantiles, found.most)
            told = dict(zip(_HEADS[3:], map(_number, values), strict=True))
            count = "" if found is None else f"{found.rows:,}"
            rows.append({"column": name, "unit": column.unit.split(", −1")[0], "rows": count, **told})
        molecules = shown.get(FRAMES_OF_MOLECULES)
        if molecules is not None:
            values = (molecules.least, *molecules.quantiles, molecules.most)
            told = dict(zip(_HEADS[3:], map(_number, values), strict=True))
            unit = "rows: molecules"
            rows.append({"column": FRAMES_OF_MOLECULES, "unit": unit, "rows": f"{molecules.rows:,}", **told})
        self._draw_durations(molecules)
        if rows != self.table.rows:
            self.table.rows = rows
        self.words.set_text(self._say(len(rows)))

    def _draw_durations(self, molecules: Distribution | None) -> None:
        """How many molecules were found in one frame, in two, …; nothing for a list of single frames."""
        self.durations.set_visibility(molecules is not None)
        if molecules is None:
            return
        options = durations_chart(molecules.counts, molecules.most)
        if self.durations.options != options:
            self.durations.options.clear()
            self.durations.options.update(options)
            self.durations.update()

    def _say(self, columns: int) -> str:
        kept = self.look.kept
        if kept is None:
            return "Choose a list."
        if not len(kept.opened.table):
            return "The list holds no localization."
        if not columns:
            return "counting …"
        total = len(kept.opened.table)
        left = (
            "all rows" if kept.rows == total else f"the {kept.rows:,} of {total:,} rows that the filter keeps"
        )
        return f"Of {left}; rows: those that have a value in this column."


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"
