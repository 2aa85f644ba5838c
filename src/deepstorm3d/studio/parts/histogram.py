"""Histogram: the values of a column, and a range of them to drag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui.element import Element

__all__ = ["Histogram"]


class Histogram(Element, component="../web/histogram.js"):
    """Counts of all rows, in front of them those of the rows that are kept, and two handles.

    title, unit, hint: in words;  ends: values at the first and the last edge of the bins;
    counts: rows in each bin;  whole: limits are whole numbers;
    most: the largest of these.
    """

    def __init__(
        self,
        title: str,
        ends: tuple[float, float],
        counts: Sequence[int],
        *,
        unit: str = "",
        hint: str = "",
        whole: bool = False,
        most: float | None = None,
    ) -> None:
        super().__init__()
        self._props.update(
            title=title, unit=unit, hint=hint, first=ends[0], last=ends[1], whole=whole, most=most
        )
        self._props.update(counts=list(counts), kept=[], low=None, high=None)

    def show(self, kept: Sequence[int], limits: tuple[float | None, float | None]) -> None:
        """Show the rows that are kept in each bin (empty: not known), and the range (None: no limit)."""
        shown = {"kept": list(kept), "low": limits[0], "high": limits[1]}
        if any(self._props[name] != value for name, value in shown.items()):
            self._props.update(shown)
            self.update()

    def on_range(self, told: Callable[[tuple[float | None, float | None]], Any]) -> None:
        """Call with the range while it is dragged, and when it is let go; None: no limit."""
        self.on("range", lambda event: told((event.args["low"], event.args["high"])))
