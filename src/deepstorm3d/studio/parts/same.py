"""The same without the studio: the command line and the YAML that do what a panel does, to copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nicegui import ui

from ...errors import InputError
from .icon_button import icon_button
from .notices import explained

__all__ = ["same_by_command"]


def same_by_command(
    lines: Callable[[], str | Sequence[str]], *, python: Callable[[], str] | None = None
) -> None:
    """A button that opens the command line, and the Python, that do the same as this panel does now.

    Where there is no command yet, they raise InputError, and its sentence stands in their place.
    """
    with ui.dialog() as dialog, ui.card().classes("ds-same"):
        ui.label("The same on the command line").classes("ds-heading")
        missing = ui.label().classes("ds-words").props("data-test=same-missing")
        shown = ui.code("", language="bash").classes("w-full").props("data-test=same-command")
        with ui.column().classes("w-full") as also:
            ui.label("and from Python").classes("ds-heading")
            told = ui.code("", language="python").classes("w-full")
        ui.button("Close", on_click=dialog.close).props("flat dense")

    def open_it() -> None:
        text, other, sentence = "", "", ""
        try:
            text, other = lines(), "" if python is None else python()
        except InputError as error:
            sentence = explained(error)
        missing.set_text(sentence)
        shown.set_content(text if isinstance(text, str) else "\n".join(text))
        told.set_content(other)
        for part, words in ((missing, sentence), (shown, text), (also, other)):
            part.set_visibility(bool(words))
        dialog.open()

    icon_button("terminal", "The command line that does the same", open_it).props("size=sm data-test=same")
