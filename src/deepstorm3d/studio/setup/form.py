"""A form for any record: its fields with units, ranges, choices and help, from the record itself."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ...kinds import kind_of
from ...spec import kinds_of, label_of

__all__ = ["Editor", "FormField", "FormSection", "form_of"]

Editor = Literal["number", "switch", "choice", "pair", "words", "text"]
"""How a value is entered: pair stands for two numbers, words for a name or a path, text for anything else that
YAML can say on a line."""

Path = tuple[str, ...]
# Signs of the limits of a number, by the names that pydantic gives them.
_LIMITS = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
# A key that the program keeps for itself.
_HIDDEN = frozenset({"kind", "format_version"})


@dataclass(frozen=True)
class FormField:
    """One value.

    path: keys that lead to it;  label: its name, with its unit;  value: as it stands now, None where it is
    missing;  help: as in experiment files;  limits: in words, empty where there are none;  choices: for editor
    "choice";  optional: whether it may be left empty.
    """

    path: Path
    label: str
    editor: Editor
    value: Any
    help: str = ""
    limits: str = ""
    choices: tuple[Any, ...] = ()
    optional: bool = False

    @property
    def hint(self) -> str:
        """Meaning, limits, and its place in the file."""
        return _hint(self.path, self.help, f"[{self.limits}]" if self.limits else "")


@dataclass(frozen=True)
class FormSection:
    """A record with its values and the records in it.

    path: keys that lead to it, empty for the whole;  label: its name;  kinds: it may be of one of these, and is
    of `kind`, whose meaning is `about`;  named: whether it is one of several that users name, such as a scene.
    """

    path: Path
    label: str
    help: str
    fields: tuple[FormField, ...]
    sections: tuple[FormSection, ...]
    kinds: tuple[str, ...] = ()
    kind: str = ""
    about: str = ""
    named: bool = False

    @property
    def hint(self) -> str:
        """Meaning, and its place in the file."""
        return _hint(self.path, self.help)

    def walk(self) -> Iterator[FormField]:
        """All fields, those of the sections too."""
        yield from self.fields
        for section in self.sections:
            yield from section.walk()

    def paths(self) -> Iterator[Path]:
        """The paths of all fields and sections, this one's too."""
        yield self.path
        yield from (field.path for field in self.fields)
        for section in self.sections:
            yield from section.paths()

    def find(self, path: Path) -> FormSection:
        """The section at a path; raises KeyError where there is none."""
        if path == self.path:
            return self
        for section in self.sections:
            if path[: len(section.path)] == section.path:
                return section.find(path)
        raise KeyError(path)


def form_of(
    record: type[BaseModel], values: Mapping[str, Any], path: Path = (), label: str = "", help: str = ""
) -> FormSection:
    """The form of a record; values: as an experiment file has them, which may be wrong or missing."""
    fields: list[FormField] = []
    sections: list[FormSection] = []
    for name, field in record.model_fields.items():
        if name in _HIDDEN:
            continue
        value = values[name] if name in values else _default(field)
        here = (*path, name)
        section = _section(field, value, here)
        if section is not None:
            sections.append(section)
        else:
            fields.append(_field(field, value, here))
    return FormSection(path, label, help, tuple(fields), tuple(sections))


def _section(field: FieldInfo, value: Any, path: Path) -> FormSection | None:
    """The section of a field that holds a record, or several by name; None for a plain value."""
    # A record that may be left out is a plain value as long as it is.
    kinds = kinds_of(field, optional=isinstance(value, Mapping))
    label, help = label_of(path[-1], field), field.description or ""
    if kinds is not None:
        kind = str(value.get("kind", "")) if isinstance(value, Mapping) else ""
        record = kinds.find(kind) if kind else None
        if record is None:
            return FormSection(path, label, help, (), (), kinds.names, kind)
        made = form_of(record, value, path)
        about = _first_line(record)
        return FormSection(path, label, help, made.fields, made.sections, kinds.names, kind, about)
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        return form_of(field.annotation, value if isinstance(value, Mapping) else {}, path, label, help)
    each = _named_record(field)
    if each is None:
        return None
    parts = value if isinstance(value, Mapping) else {}
    made = [
        form_of(each, part if isinstance(part, Mapping) else {}, (*path, str(name)), str(name))
        for name, part in parts.items()
    ]
    named = tuple(replace(one, named=True) for one in made)
    return FormSection(path, label, help, (), named)


def _named_record(field: FieldInfo) -> type[BaseModel] | None:
    """The record of a field that holds several by name."""
    arguments = get_args(field.annotation)
    if get_origin(field.annotation) is dict and isinstance(arguments[1], type):
        return arguments[1] if issubclass(arguments[1], BaseModel) else None
    return None


def _field(field: FieldInfo, value: Any, path: Path) -> FormField:
    kind, optional = _without_none(field.annotation)
    editor, choices = _editor(kind)
    limits = [
        f"{sign} {getattr(each, name):g}"
        for name, sign in _LIMITS
        for each in field.metadata
        if getattr(each, name, None) is not None
    ]
    label, help = label_of(path[-1], field), field.description or ""
    return FormField(path, label, editor, value, help, ", ".join(limits), choices, optional)


def _hint(path: Path, *told: str) -> str:
    """What is told of a value or a record, and its place in the file, which messages and commands name."""
    words = " ".join(filter(None, told))
    return " · ".join(filter(None, (words[:1].upper() + words[1:], ".".join(path))))


def _editor(kind: Any) -> tuple[Editor, tuple[Any, ...]]:
    if kind is bool:
        return "switch", ()
    if kind in (int, float):
        return "number", ()
    if kind is str:
        return "words", ()
    if get_origin(kind) is Literal:
        return "choice", get_args(kind)
    if get_origin(kind) is tuple and len(get_args(kind)) == 2 and set(get_args(kind)) <= {int, float}:
        return "pair", ()
    return "text", ()


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """The type of a value that may be None, and whether it may."""
    if get_origin(annotation) in (Union, types.UnionType):
        others = [each for each in get_args(annotation) if each is not type(None)]
        if len(others) < len(get_args(annotation)) and len(others) == 1:
            return _bare(others[0]), True
        return annotation, len(others) < len(get_args(annotation))
    return _bare(annotation), False


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _default(field: FieldInfo) -> Any:
    """The default as an experiment file would have it; None for a required value."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return None
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value


def _first_line(record: type[BaseModel]) -> str:
    """The first line of what a kind says of itself; empty where it says nothing."""
    said = kind_of(record) and record.__dict__.get("__doc__")
    return said.strip().partition("\n")[0] if said else ""
