"""The form on the page: one input for each value of a record, its message under it, and kinds to choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from nicegui import ui

from ..folder import Folder
from ..parts.choose import FileInput
from ..parts.icon_button import icon_button
from ..parts.notices import told
from ..parts.props import with_props
from .form import FormField, FormSection
from .setup import Setup

__all__ = ["ExperimentForm"]

Path = tuple[str, ...]
# Milliseconds after the last key until what is typed takes effect.
_PAUSE_MS = 600
# Keys that name a file.
_FILES = frozenset({"path"})


class ExperimentForm:
    """The form of the experiment in one tab.

    It is built anew where the fields themselves change (another kind, another scene); else values and messages
    change in place, and what is being typed stays.
    """

    def __init__(self, setup: Setup, folder: Folder) -> None:
        self._setup, self._folder = setup, folder
        self._shape: tuple[object, ...] = ()
        self._show: dict[Path, Callable[[Any, str], None]] = {}
        self._words: dict[Path, ui.label] = {}
        self._parts: dict[Path, ui.expansion] = {}
        self._open: set[Path] = {("microscope",)}
        self._box = ui.element("div").classes("ds-form")

    def refresh(self) -> None:
        """Show the values and the faults as they are now."""
        draft = self._setup.draft
        form = draft.form()
        shape = _shape(form)
        if shape != self._shape:
            self._shape = shape
            self._build(form)
        for field in form.walk():
            self._show[field.path](field.value, draft.faults.get(field.path, ""))
        for path, label in self._words.items():
            label.set_text(draft.faults.get(path, ""))
            label.set_visibility(path in draft.faults)
        for path, part in self._parts.items():
            wrong = any(fault[: len(path)] == path for fault in draft.faults)
            part.props("header-class=ds-bad" if wrong else "header-class=ds-heading")

    # Building.

    def _build(self, form: FormSection) -> None:
        self._show, self._words, self._parts = {}, {}, {}
        self._box.clear()
        with self._box:
            self._message(())
            self._fields(form)
            for section in form.sections:
                self._expansion(section)

    def _expansion(self, section: FormSection) -> None:
        path = section.path
        part = ui.expansion(
            section.label, value=path in self._open, on_value_change=lambda event: self._note(path, event)
        )
        part.props("dense switch-toggle-side").classes("w-full ds-part")
        with_props(part, data_test=f"part-{path[-1]}")
        self._parts[path] = part
        with part:
            self._inside(section, explain=True)

    def _note(self, path: Path, event: Any) -> None:
        (self._open.add if event.value else self._open.discard)(path)

    def _block(self, section: FormSection) -> None:
        """A record inside a record."""
        with ui.element("div").classes("ds-block"):
            with ui.element("div").classes("ds-section"):
                _hint(ui.label(section.label), section.hint)
                if section.named:
                    self._part_buttons(section)
            self._inside(section, explain=False)

    def _inside(self, section: FormSection, *, explain: bool) -> None:
        if explain and section.help:
            ui.label(section.help[:1].upper() + section.help[1:]).classes("ds-words")
        self._message(section.path)
        if section.kinds:
            self._kinds(section)
        self._fields(section)
        for inner in section.sections:
            self._block(inner)

    def _message(self, path: Path) -> None:
        words = ui.label().classes("ds-error")
        self._words[path] = with_props(words, data_test=f"fault-{'.'.join(path)}")

    def _kinds(self, section: FormSection) -> None:
        names = list(dict.fromkeys((*section.kinds, section.kind) if section.kind else section.kinds))
        choice = ui.select(names, value=section.kind or None, label="Kind").props(
            "dense outlined options-dense"
        )
        with_props(choice.classes("w-full"), data_test=f"kind-{'.'.join(section.path)}")
        _hint(choice, section.about)
        choice.on_value_change(
            lambda event: self._change(lambda: self._setup.draft.set_kind(section.path, event.value))
        )

    def _part_buttons(self, section: FormSection) -> None:
        draft, path = self._setup.draft, section.path
        with ui.row().classes("gap-0"):
            again = icon_button(
                "content_copy", f"Another one like {path[-1]}, with the same values", lambda: self._copy(path)
            )
            remove = icon_button(
                "delete", f"Remove {path[-1]}", lambda: self._change(lambda: draft.remove_part(path))
            )
            for button in (again, remove):
                button.props("size=sm")

    def _copy(self, path: Path) -> None:
        draft = self._setup.draft
        taken = draft.form().find(path[:-1]).sections
        names = {section.path[-1] for section in taken}
        name = next(f"{path[-1]}-{k}" for k in range(2, 2 + len(names) + 1) if f"{path[-1]}-{k}" not in names)
        self._change(lambda: draft.copy_part(path, name))

    def _fields(self, section: FormSection) -> None:
        if section.fields:
            with ui.element("div").classes("ds-fields"):
                for field in section.fields:
                    self._field(field)

    def _field(self, field: FormField) -> None:
        build = {"switch": self._switch, "choice": self._choice, "pair": self._pair}.get(
            field.editor, self._text
        )
        build(field)

    def _text(self, field: FormField) -> None:
        if field.path[-1] in _FILES:
            self._file(field)
            return
        entry = ui.input(field.label).props("dense outlined stack-label").without_auto_validation()
        with_props(entry, debounce=_PAUSE_MS, data_test=".".join(field.path))
        entry.on_value_change(lambda event: self._typed(field, event.value))
        _hint(entry, field.hint)

        def show(value: Any, fault: str) -> None:
            if _parsed(entry.value or "", field) != value:
                entry.set_value(_written(value, field))
            entry.error = fault or None

        self._show[field.path] = show

    def _file(self, field: FormField) -> None:
        path = field.path
        entry = FileInput(
            self._folder,
            field.label,
            lambda name: self._change(lambda: self._setup.name_file(path, name)),
            value=str(field.value or ""),
        ).classes("ds-over")
        _hint(with_props(entry, data_test=".".join(path)), field.hint)

        def show(value: Any, fault: str) -> None:
            entry.show(_written(value, field))
            if fault:
                entry.error = fault

        self._show[path] = show

    def _typed(self, field: FormField, text: str | None) -> None:
        draft, text = self._setup.draft, text or ""
        if _parsed(text, field) == draft.value(field.path):
            return
        if field.editor == "words":
            self._change(lambda: draft.set(field.path, text))
        else:
            self._change(lambda: draft.enter(field.path, text))

    def _pair(self, field: FormField) -> None:
        path = field.path
        with ui.element("div").classes("ds-pair"):
            ends = [
                with_props(ui.input(label).props("dense outlined stack-label"), debounce=_PAUSE_MS)
                for label in (field.label, "")
            ]
        for k, end in enumerate(ends):
            with_props(end, data_test=f"{'.'.join(path)}.{k}", aria_label=f"{field.label}, {k + 1} of 2")
        _hint(ends[0].without_auto_validation(), field.hint)

        def entered() -> Any:
            values = [_number(end.value or "") for end in ends]
            return None if values == [None, None] and field.optional else values

        def take() -> None:
            if entered() != self._setup.draft.value(path):
                self._change(lambda: self._setup.draft.set(path, entered()))

        for end in ends:
            end.on_value_change(take)

        def show(value: Any, fault: str) -> None:
            if entered() != value:
                parts = value if isinstance(value, list) and len(value) == 2 else [None, None]
                for end, part in zip(ends, parts, strict=True):
                    end.set_value(_plain(part))
            ends[0].error = fault or None

        self._show[path] = show

    def _switch(self, field: FormField) -> None:
        turn = with_props(ui.switch(field.label).props("dense"), data_test=".".join(field.path))
        _hint(turn, field.hint)
        turn.on_value_change(
            lambda event: self._change(lambda: self._setup.draft.set(field.path, bool(event.value)))
        )

        def show(value: Any, fault: str) -> None:
            turn.set_value(bool(value))

        self._show[field.path] = show

    def _choice(self, field: FormField) -> None:
        choice = ui.select(list(field.choices), label=field.label)
        choice.props("dense outlined options-dense stack-label")
        _hint(with_props(choice, data_test=".".join(field.path)), field.hint)
        choice.on_value_change(
            lambda event: self._change(lambda: self._setup.draft.set(field.path, event.value))
        )

        def show(value: Any, fault: str) -> None:
            choice.set_value(value if value in field.choices else None)

        self._show[field.path] = show

    def _change(self, change: Callable[[], None]) -> None:
        with told():
            change()
            self._setup.look()


def _hint(element: ui.element, text: str) -> None:
    """A tooltip that belongs to its element also where that is built while another panel is seen."""
    if text:
        with element:
            ui.tooltip(text).classes("ds-hint")


def _shape(section: FormSection) -> tuple[object, ...]:
    """What of a section is built: its fields and kinds, without their values."""
    fields = tuple((field.path, field.editor) for field in section.fields)
    return section.path, section.kinds, section.kind, fields, *(_shape(inner) for inner in section.sections)


def _parsed(text: str, field: FormField) -> Any:
    """What a text stands for, as the draft holds it."""
    if field.editor == "words":
        return text
    if field.editor == "number":
        return _number(text)
    try:
        return yaml.safe_load(text) if text.strip() else None
    except yaml.YAMLError:
        return text


def _number(text: str) -> Any:
    """A number where the text is one, else the text; None for an empty one."""
    try:
        return float(text) if text.strip() else None
    except ValueError:
        return text


def _written(value: Any, field: FormField) -> str:
    """A value as a text of its field."""
    if field.editor == "words":
        return "" if value is None else str(value)
    if isinstance(value, dict | list):
        return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6).strip()
    return _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
