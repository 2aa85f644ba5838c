"""Choosing a file: a browser of the studio's folder, and an input that opens it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nicegui import ui

from ...errors import InputError
from ..folder import Entry, Folder
from .icon_button import icon_button
from .notices import explained, guarded, told
from .props import with_props

__all__ = ["FileInput", "choose"]


async def choose(
    folder: Folder, title: str, *, wanted: Callable[[Path], bool] = lambda path: True, folders: bool = False
) -> Path | None:
    """Let the user choose a file below the folder; None where they change their mind.

    Begins where a file was chosen last under this title, or under any.
    wanted: which files are offered;  folders: whether a folder may be the answer (movies of many files).
    """
    return await _Chooser(folder, title, wanted, folders).ask()


class _Chooser:
    """The dialog and the place in it."""

    def __init__(self, folder: Folder, title: str, wanted: Callable[[Path], bool], folders: bool) -> None:
        self._folder, self._title, self._wanted = folder, title, wanted
        self._place = folder.root
        with ui.dialog() as self._dialog, ui.card().classes("ds-chooser"):
            ui.label(title).classes("ds-heading")
            self._trail = ui.row().classes("items-center gap-0 ds-trail")
            self._lines = ui.element("div").classes("ds-chooser-list")
            with ui.row().classes("w-full justify-end gap-2"):
                if folders:
                    ui.button("This folder", on_click=lambda: self._dialog.submit(self._place)).props(
                        "flat dense"
                    ).tooltip("A movie of many files")
                ui.button("Cancel", on_click=lambda: self._dialog.submit(None)).props("flat dense")

    async def ask(self) -> Path | None:
        self._go(self._folder.place_for(self._title))
        answer = await self._dialog
        self._dialog.delete()
        if answer is not None:
            self._folder.choose(answer, self._title)
        return answer

    def _go(self, place: Path) -> None:
        with told():
            entries = self._folder.entries(place, self._wanted)
            self._place = place
            self._draw_trail()
            self._lines.clear()
            with self._lines:
                for entry in entries:
                    self._line(entry)
                if not entries:
                    ui.label("nothing here that can be opened").classes("ds-faint q-pa-sm")

    def _draw_trail(self) -> None:
        self._trail.clear()
        inside = self._place.relative_to(self._folder.root).parts
        places = [
            self._folder.root,
            *(self._folder.root.joinpath(*inside[: k + 1]) for k in range(len(inside))),
        ]
        with self._trail:
            for place in places:
                ui.button(place.name or "/", on_click=lambda _, p=place: self._go(p)).props(
                    "flat dense no-caps"
                )
                ui.label("/").classes("ds-faint")

    def _line(self, entry: Entry) -> None:
        path = self._place / entry.name

        def take() -> None:
            if entry.is_folder:
                self._go(path)
            else:
                self._dialog.submit(path)

        line = ui.element("div").classes("ds-chooser-line").on("click", take)
        with with_props(line, data_test=f"entry-{entry.name}"):
            ui.icon("folder" if entry.is_folder else "description").classes("ds-faint")
            ui.label(entry.name).classes("ds-chooser-name")
            ui.label("" if entry.is_folder else _size(entry.size)).classes("ds-faint")
            ui.label(f"{datetime.datetime.fromtimestamp(entry.changed):%Y-%m-%d %H:%M}").classes("ds-faint")


class FileInput(ui.input):
    """A path to type or to choose, relative to the studio's folder.

    taken: called with the text when it was typed (Enter, or leaving the field) or chosen; its error stands
    below the field until the text changes;  wanted, folders: see `choose`.
    """

    def __init__(
        self,
        folder: Folder,
        label: str,
        taken: Callable[[str], Any],
        *,
        value: str = "",
        wanted: Callable[[Path], bool] = lambda path: True,
        folders: bool = False,
        help: str = "",
    ) -> None:
        super().__init__(label, value=value)
        self._taken = taken
        self._folder = folder
        self._last = self._shown = value  # taken or shown last; shown last
        self._changed = self._when_changed(value)  # of the one that was taken or shown last
        self.props("dense outlined hide-bottom-space").classes("ds-file")
        self.on("keydown.enter", lambda: self._take(anew=True)).on("blur", lambda: self._take())

        async def open_chooser() -> None:
            path = await choose(folder, label, wanted=wanted, folders=folders)
            if path is not None:
                self.set_value(folder.shown(path))
                self._take(anew=True)

        if help:
            self.tooltip(help)
        with self.add_slot("append"):
            button = icon_button("folder_open", f"Choose: {label}", guarded(open_chooser)).props("size=sm")
            with_props(button, data_test=f"choose-{label}")

    def show(self, text: str) -> None:
        """Show what the studio has opened, if it is another file than before: what is being typed stays."""
        if text != self._shown:
            self._last = self._shown = text
            self._changed = self._when_changed(text)
            self.set_value(text)

    def _when_changed(self, text: str) -> tuple[int, int] | None:
        """When the file was written, and its size; None where there is none."""
        try:
            stat = self._folder.path(text).stat()
        except (InputError, OSError):
            return None
        return stat.st_mtime_ns, stat.st_size

    def _take(self, *, anew: bool = False) -> None:
        """Hand over the text, if it is another than the one that was taken or shown last.

        anew: also the same, where the file has changed since then.
        """
        text = self.value or ""
        changed = self._when_changed(text)
        if text == self._last and not (anew and changed != self._changed):
            return
        try:
            self._taken(text)
        except Exception as error:
            self.error = explained(error)
        else:
            self._last, self._changed = text, changed


def _size(size: int) -> str:
    """A file's size for people."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} B"
