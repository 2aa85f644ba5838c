"""A piece of work on the page: its bar, what it says, its error, and the button that stops it."""

from __future__ import annotations

from nicegui import ui

from ..work import Work
from .follow import follow
from .notices import explained

__all__ = ["work_lines"]


def work_lines(work: Work) -> None:
    """Follow one piece of work; nothing is shown while there is none."""
    with ui.element("div").classes("ds-row") as row:
        bar = ui.linear_progress(0.0, show_value=False, size="6px").classes("col")
        words = ui.label().classes("ds-words").props("data-test=work-note")
        stop = ui.button("Stop", on_click=work.stop).props("flat dense no-caps size=sm data-test=work-stop")
    said = ui.label().classes("ds-words")
    wrong = ui.label().classes("ds-error").props("data-test=work-error")

    def refresh() -> None:
        row.set_visibility(work.state != "idle")
        stop.set_visibility(work.running)
        bar.set_value(1.0 if work.state == "done" else work.done / max(work.total, 1))
        end = {"done": "done", "failed": "failed", "stopped": "stopped"}.get(work.state, work.note)
        words.set_text(f"{end}, {work.seconds:.0f} s")
        said.set_text(" ".join(work.said[-3:]))
        said.set_visibility(bool(work.said))
        wrong.set_text("" if work.error is None else explained(work.error))
        wrong.set_visibility(work.error is not None)

    follow(lambda: (work.changes, int(work.seconds) if work.running else 0), refresh)
