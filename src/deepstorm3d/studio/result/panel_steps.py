"""Steps that are taken from a list: a form for each, its progress, and what it gave."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from nicegui import ui

from ...errors import InputError
from ..desk import Desk
from ..parts.notices import explained, guarded
from ..parts.same import same_by_command
from .names import free_name
from .opened import OpenList
from .same import step_lines
from .steps import (
    DriftStep,
    ExportStep,
    LinkStep,
    Outcome,
    ReportStep,
    ResolutionStep,
    Step,
    TrackStep,
    endings,
)

__all__ = ["StepsPart"]

_KINDS = {
    "export": "Export",
    "drift": "Drift",
    "resolution": "Resolution",
    "link": "Link",
    "track": "Tracks",
    "report": "Report",
}
_HELP = {
    "export": "Writes the rows left in a format of this program or another one.",
    "drift": "Estimates how the specimen moved, from the list itself, and writes the list without it.",
    "resolution": "Fourier ring and shell correlation, and the precision from adjacent frames.",
    "link": "Joins the rows of a molecule that is seen in several frames to one, more precise row.",
    "track": "Follows moving molecules from frame to frame, and measures how they diffuse.",
    "report": "One page that says what the list is, how it was made and how good it is.",
}
# Word in the name of what a step writes, and its ending.
_NAMES = {"drift": ("corrected", ".hdf5"), "link": ("linked", ".hdf5"), "track": ("tracks", ".hdf5")}


class StepsPart:
    """The forms, and what the newest step gave."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.look = desk, desk.result
        self.named: tuple[object, str, str] = (None, "", "")
        self.drawn: object = self
        with ui.element("div").classes("ds-result-steps"):
            with ui.element("div").classes("ds-card ds-result-form"):
                with ui.element("div").classes("ds-section"):
                    self.kind = ui.toggle(_KINDS, value="export", on_change=self._switch).props(
                        "dense no-caps unelevated size=sm data-test=step-kind"
                    )
                    same_by_command(lambda: self._lines())
                self.help = ui.label().classes("ds-words")
                self._build_options()
                self.out = (
                    ui.input("File to write").props("dense outlined data-test=step-out").classes("w-full")
                )
                with ui.element("div").classes("ds-row"):
                    self.run = ui.button("Run", on_click=self._run).props("dense no-caps data-test=step-run")
                    self.stop = ui.button("Stop", on_click=self._stop).props("flat dense no-caps")
                    self.bar = ui.linear_progress(0, show_value=False).classes("col")
                    self.note = ui.label().classes("ds-faint ds-number")
            with ui.element("div").classes("ds-card ds-result-outcome"):
                self.outcome = ui.column().classes("w-full gap-2").props("data-test=step-outcome")
        self._switch()

    def _build_options(self) -> None:
        with ui.element("div").classes("ds-row") as self.export:
            titles = {name: f"{title} ({ending})" for name, (title, ending) in endings().items()}
            self.to = (
                ui.select(titles, value="picasso", label="Format", on_change=self._rename)
                .props("dense outlined options-dense data-test=export-format")
                .classes("col")
            )
        with ui.element("div").classes("ds-row") as self.drift:
            self.segments = self._number("Segments of the curve (empty: by the list)", None, 1)
        with ui.element("div").classes("ds-row") as self.link:
            self.radius = self._number("Largest distance, nm (empty: 3 σ)", None, 0.1)
            self.dark = self._number("Dark frames", 1, 0)
        with ui.element("div").classes("ds-row") as self.track:
            self.interval = self._number("Seconds from frame to frame", None, 0)
            self.gap = self._number("Dark frames", 1, 0)
            self.least = self._number("Least rows", 3, 1)

    def _number(self, label: str, value: float | None, least: float) -> ui.number:
        return ui.number(label, value=value, min=least).props("dense outlined").classes("col")

    def _switch(self, _: Any = None) -> None:
        kind = self.kind.value
        self.help.set_text(_HELP[kind])
        for name in ("export", "drift", "link", "track"):
            getattr(self, name).set_visibility(kind == name)
        self.out.set_visibility(kind != "resolution")
        self._rename()

    def _rename(self, _: Any = None) -> None:
        """Suggest a name that does not exist, unless the user gave another one for this list and step."""
        opened, kind = self.look.opened, self.kind.value
        if opened is None:
            self.out.set_value("")
            return
        word, ending = _NAMES.get(kind, ("report", ".html"))
        if kind == "export":
            word = "kept" if self.look.conditions.expression else "copy"
            ending = endings()[self.to.value][1]
        self.out.set_value(self.desk.folder.shown(free_name(opened.path, word, ending)))

    def _step(self) -> Step:
        """What the form asks for; raises InputError where it is not complete."""
        opened = self.look.opened
        if opened is None:
            raise InputError("choose a list first")
        return self._makers()[self.kind.value](opened)

    def _makers(self) -> dict[str, Callable[[OpenList], Step]]:
        whole = lambda field: None if field.value is None else int(field.value)  # noqa: E731
        return {
            "export": lambda opened: ExportStep(
                opened.wanted, self._path(), self.to.value, self.look.conditions.expression
            ),
            "drift": lambda opened: DriftStep(opened.wanted, self._path(), whole(self.segments)),
            "resolution": lambda opened: ResolutionStep(opened.wanted),
            "link": lambda opened: LinkStep(
                opened.wanted, self._path(), self.radius.value, whole(self.dark) or 0
            ),
            "track": lambda opened: TrackStep(
                opened.wanted,
                self._path(),
                self.interval.value or None,
                whole(self.gap) or 0,
                whole(self.least) or 1,
            ),
            "report": lambda opened: ReportStep(opened.wanted, self._path()),
        }

    def _path(self) -> Any:
        name = (self.out.value or "").strip()
        if not name:
            raise InputError("give the name of the file to write")
        return self.desk.folder.path(name)

    def _lines(self) -> list[str]:
        return step_lines(self._step(), self.desk.folder)

    @guarded
    def _run(self) -> None:
        if self.look.stepping.busy:
            raise InputError("another step is being taken", "wait for it, or stop it")
        self.look.stepping.ask(self._step())

    def _stop(self) -> None:
        self.look.stepping.stop()

    @guarded
    def _open(self, outcome: Outcome) -> None:
        if outcome.made is not None:
            self.look.open(outcome.made)

    def refresh(self) -> None:
        """Show the progress and the newest outcome."""
        stepping, opened = self.look.stepping, self.look.opened
        named = (opened, self.kind.value, self.look.conditions.expression)
        if named[0] is not self.named[0] or bool(named[2]) != bool(self.named[2]):
            self._rename()
        self.named = named
        self.run.set_enabled(not stepping.busy and opened is not None)
        for element in (self.stop, self.bar, self.note):
            element.set_visibility(stepping.busy)
        self.bar.set_value(stepping.done / stepping.total if stepping.total else 0.0)
        self.note.set_text(stepping.note or "…")
        if stepping.answer is not self.drawn:
            self.drawn = stepping.answer
            self._rename()
            self.outcome.clear()
            with self.outcome:
                self._draw()

    def _draw(self) -> None:
        answer = self.look.stepping.answer
        if answer is None:
            ui.label("What a step gives appears here.").classes("ds-faint")
            return
        if answer.error is not None:
            ui.label(explained(answer.error)).classes("ds-error")
        outcome = answer.result
        if outcome is None:
            return
        for line in outcome.lines:
            ui.label(line)
        for warning in outcome.warnings:
            ui.label(warning).classes("ds-doubt ds-wrap")
        for path in outcome.written:
            ui.label(f"wrote {self.desk.folder.shown(path)}").classes("ds-faint")
        if outcome.made is not None:
            ui.button("Open it", icon="table_view", on_click=lambda: self._open(outcome)).props(
                "flat dense no-caps data-test=open-made"
            )
        if outcome.picture:
            shown = base64.b64encode(outcome.picture).decode()
            ui.image(f"data:image/png;base64,{shown}").props("fit=contain").classes("w-full")
