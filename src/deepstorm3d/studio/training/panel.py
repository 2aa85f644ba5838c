"""The panel "Train and run": forms to start long work, the list of all runs, and one of them in detail."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import run as background
from nicegui import ui

from ..desk import Desk
from ..parts.follow import follow
from ..parts.icon_button import icon_button
from ..parts.notices import guarded
from ..parts.props import with_props
from ..parts.tabs import remember_tabs
from ..runs.record import Run
from .board import RunBoard
from .panel_forms import LocalizeEntries, TrainEntries
from .panel_run import RunDetail
from .words import share_done, told_line, when

__all__ = ["training_panel"]

_ICONS = {
    "running": ("play_circle", "ds-accent"),
    "stopping": ("pending", "ds-doubt"),
    "finished": ("check_circle", "ds-good"),
    "stopped": ("pause_circle", "ds-faint"),
    "failed": ("error", "ds-bad"),
    "lost": ("help", "ds-doubt"),
}


def training_panel(desk: Desk) -> None:
    """Build the panel for one tab."""
    with ui.element("div").classes("ds-panel"):
        with ui.element("div").classes("ds-side"):
            with ui.tabs().props("dense no-caps align=justify").classes("ds-form-tabs") as kinds:
                ui.tab("train", "Train a network").props("data-test=form-train")
                ui.tab("localize", "Localize a movie").props("data-test=form-localize")
            remember_tabs(kinds, "Train and run")
            with ui.tab_panels(kinds, value="train").props("keep-alive").classes("ds-forms"):
                with ui.tab_panel("train"):
                    TrainEntries(desk)
                with ui.tab_panel("localize"):
                    LocalizeEntries(desk)
        with ui.element("div").classes("ds-main"):
            _RunList(desk)
            RunDetail(desk)


class _RunList:
    """All runs, the newest first: a line each, built again only when runs come or go."""

    def __init__(self, desk: Desk) -> None:
        self._board = desk.training
        self._lines: dict[str, _Line] = {}
        self._list = ui.element("div").classes("ds-runs").props("data-test=runs")
        follow(lambda: self._board.changes, self._refresh)

    def _refresh(self) -> None:
        runs = self._board.runs
        if [run.id for run in runs] != list(self._lines) or not runs:
            self._list.clear()
            with self._list:
                self._lines = {run.id: _Line(self._board, run) for run in runs}
                if not runs:
                    ui.label("No runs yet. What is started here goes on when the page is closed.").classes(
                        "ds-faint q-pa-sm"
                    )
        for run in runs:
            self._lines[run.id].show(run)


class _Line:
    """One run of the list."""

    def __init__(self, board: RunBoard, run: Run) -> None:
        self._board, self._id = board, run.id
        with ui.element("div").classes("ds-run").on("click", lambda: board.select(self._id)) as self._row:
            with_props(self._row, data_test=f"run-{run.title}")
            self._icon = ui.icon("play_circle", size="18px")
            with ui.element("div").classes("ds-run-words"):
                with ui.element("div").classes("ds-row"):
                    ui.label(run.title).classes("ds-heading")
                    ui.label("" if run.output is None else f"→ {run.output}").classes("ds-faint")
                    ui.space()
                    self._when = ui.label().classes("ds-faint ds-number")
                self._bar = ui.linear_progress(0.0, show_value=False, size="4px").props(
                    "rounded instant-feedback"
                )
                self._told = ui.label().classes("ds-words ds-number").props("data-test=run-told")
                self._warned = ui.label().classes("ds-words ds-doubt").props("data-test=run-warned")
            self._resume = self._button("play_arrow", "Go on where it ended", board.resume)
            self._stop = self._button("stop", "Stop, so that it can go on later; again: at once", board.stop)
            self._forget = self._button("close", "Take it off the list; its results stay", board.forget)

    def _button(self, icon: str, name: str, act: Callable[[str], None]) -> ui.button:
        async def press() -> None:
            await background.io_bound(act, self._id)

        button = with_props(icon_button(icon, name).props("size=sm"), data_test=act.__name__)
        return button.on("click.stop", guarded(press))

    def show(self, run: Run) -> None:
        """Bring the line up to date."""
        icon, colour = ("warning", "ds-doubt") if run.warnings else _ICONS[run.state]
        with_props(self._icon, name=icon).classes(replace=colour)
        self._row.classes(replace="ds-run chosen" if run.id == self._board.selected else "ds-run")
        with_props(self._row, data_state=run.state)
        share = share_done(run)
        self._bar.set_value(share or 0.0)
        waits = share is None and run.alive
        with_props(self._bar, indeterminate=True if waits else None, color=_bar_colour(run))
        self._told.set_text(told_line(run))
        self._warned.set_text(" ".join(run.warnings))
        self._warned.set_visibility(bool(run.warnings))
        self._when.set_text(when(run.started))
        self._stop.set_visibility(run.alive)
        self._resume.set_visibility(run.resumable)
        self._forget.set_visibility(not run.alive)


def _bar_colour(run: Run) -> str:
    if run.warnings:
        return "warning"
    return {"finished": "positive", "failed": "negative", "lost": "warning"}.get(run.state, "primary")
