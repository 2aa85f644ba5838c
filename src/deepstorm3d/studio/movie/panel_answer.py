"""What a model says of the frame: how many molecules, how well they explain it, and what to do with it."""

from __future__ import annotations

from nicegui import ui

from ..desk import Desk
from ..parts.depth import ColourBar
from ..parts.notices import explained, guarded
from ..parts.tabs import turn_to
from .look import FrameLook
from .sample_dialog import SampleDialog
from .verdict import verdict_of

__all__ = ["AnswerPart", "waiting"]


class AnswerPart:
    """The traffic light with its reasons, and the ways on from here."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._look = desk, desk.movie
        ui.label("This frame").classes("ds-section")
        with ui.element("div").classes("ds-row"):
            self._light = ui.element("div").classes("ds-light").props("data-test=light")
            self._count = ui.label().classes("ds-number").props("data-test=count")
            ui.space()
            self._spinner = ui.spinner(size="18px")
        self._bar = ColourBar()
        self._words = ui.label().classes("ds-words").props("data-test=words")
        self._problem = ui.label().classes("ds-error").props("data-test=problem")
        SampleDialog(self._look)
        ui.button("Localize the whole movie …", on_click=guarded(self._localize_all)).props(
            "flat dense no-caps data-test=localize-all"
        ).tooltip("As a run, with what is chosen here")

    def _localize_all(self) -> None:
        board = self._desk.training
        board.localize = board.localize.taken_from(self._look.asked, self._desk.folder)
        board.fill_localize()
        turn_to("Train and run", "localize")

    def refresh(self) -> None:
        """Show the newest answer, or what it waits for."""
        look, shown = self._look, self._look.shown
        self._spinner.set_visibility(look.network.busy or look.fit.busy)
        self._problem.set_text("" if look.error is None else explained(look.error))
        self._bar.set_visibility(shown is not None)
        if shown is None:
            self._count.set_text(waiting(look))
            self._words.set_text("")
            self._set_light("")
            return
        verdict = verdict_of(shown)
        source = "joint fit" if shown.fitted else "network"
        self._count.set_text(f"{len(shown.found)} molecules · {source} · {shown.seconds:.2g} s")
        self._bar.show(shown.z_um)
        self._set_light(verdict.light)
        self._words.set_text(" ".join((verdict.text, *shown.notes)))

    def _set_light(self, kind: str) -> None:
        self._light.classes(replace=f"ds-light {kind}")


def waiting(look: FrameLook) -> str:
    """What stands in place of the number of molecules until there is one."""
    if look.error is not None:
        return "not searched"
    if not look.asked.model:
        return "choose a model to find molecules"
    if look.movie is None:
        return "choose a movie"
    return f"{note} …" if (note := look.network.note or look.fit.note) else ""
