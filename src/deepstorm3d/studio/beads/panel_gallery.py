"""The gallery of beads on the page: planes of each through the stack, whether it is used, and why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from ...calibration.beads.survey import BeadSurvey
from ..parts.notices import guarded
from ..parts.props import with_props
from .choice import BeadEntry, Place
from .pictures import as_address, bead_strip

__all__ = ["Gallery"]

# Width of the picture of a bead on the page, px.
_WIDTH = 290


class Gallery:
    """Cards of the beads of one stack; a click on a card calls `turn` with its place.

    A card stays where it is when its bead is taken or left out.
    """

    def __init__(self, turn: Callable[[Place], Any]) -> None:
        self._turn = turn
        self._shape: object = None
        self._cards: dict[Place, tuple[ui.element, ui.label]] = {}
        self._box = ui.element("div").classes("ds-gallery")

    def show(self, survey: BeadSurvey | None, entries: list[BeadEntry]) -> None:
        """Show these beads of a survey."""
        shape = (survey, [entry.place for entry in entries])
        if shape != self._shape:
            self._shape, self._cards = shape, {}
            self._box.clear()
            if survey is not None:
                with self._box:
                    for entry in entries:
                        self._cards[entry.place] = self._card(survey, entry)
        for entry in entries:
            card, words = self._cards[entry.place]
            card.classes(replace=f"ds-bead {'taken' if entry.taken else 'left'}")
            words.set_text(f"{'used' if entry.taken else 'left out'}: {entry.words}")

    def _card(self, survey: BeadSurvey, entry: BeadEntry) -> tuple[ui.element, ui.label]:
        number, column, row = entry.place
        planes = survey.stacks[number].cut(column, row, survey.side).numpy()
        card = with_props(ui.element("div"), data_test=f"bead-{column}-{row}")
        card.on("click", guarded(lambda: self._turn(entry.place)))
        with card:
            address = as_address(bead_strip(planes))
            with_props(ui.element("img"), width=_WIDTH, alt="bead", src=address)
            words = ui.label().classes("ds-words")
            if entry.reason:
                ui.label(entry.reason).classes("ds-words ds-doubt")
        return card, words
