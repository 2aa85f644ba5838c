"""A form for any record: its fields with units, ranges, choices and help, from the record itself."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ...kinds import kind_of
from ...spec import kinds_of, unit_of

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

    path: keys that lead to it;  value: as it stands now, None where it is missing;  unit, help: as in
    experiment files;  limits: in words, empty where there are none;  choices: for editor "choice";
    optional: whether it may be left empty.
    """

    path: Path
    editor: Editor
    value: Any
    unit: str = ""
    help: str = ""
    limits: str = ""
    choices: tuple[str, ...] = ()
    optional: bool = False

    @property
    def label(self) -> str:
        """Its key, and its unit."""
        return f"{self.path[-1]} ({self.unit})" if self.unit else self.path[-1]

    @property
    def hint(self) -> str:
        """Meaning and limits."""
        told = " ".join(part for part in (self.help, f"[{self.limits}]" if self.limits else "") if part)
        return told[:1].upper() + told[1:]


@dataclass(frozen=True)
class FormSection:
    """A record with its values and the records in it.

    path: keys that lead to it, empty for the whole;  kinds: it may be of one of these, and is of `kind`, whose
    meaning is `about`;  named: whether it is one of several that users name, such as a scene.
    """

    path: Path
    help: str
    fields: tuple[FormField, ...]
    sections: tuple[FormSection, ...]
    kinds: tuple[str, ...] = ()
    kind: str = ""
    about: str = ""
    named: bool = False

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


def form_of(record: type[BaseModel], values: Mapping[str, Any], path: Path = (), help: str = "") -> FormSection:
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
    return FormSection(path, help, tuple(fields), tuple(sections))


def _section(field: FieldInfo, value: Any, path: Path) -> FormSection | None:
    """The section of a field that holds a record, or several by name; None for a plain value."""
    help, kinds = field.description or "", kinds_of(field)
    if kinds is not None:
        kind = str(value.get("kind", "")) if isinstance(value, Mapping) else ""
        record = kinds.find(kind) if kind else None
        if record is None:
            return FormSection(path, help, (), (), kinds.names, kind)
        made = form_of(record, value, path, help)
        return FormSection(path, help, made.fields, made.sections, kinds.names, kind, _first_line(record))
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        return form_of(field.annotation, value if isinstance(value, Mapping) else {}, path, help)
    each = _named_record(field)
    if each is None:
        return None
    parts = value if isinstance(value, Mapping) else {}
    made = [
        form_of(each, part if isinstance(part, Mapping) else {}, (*path, str(name)))
        for name, part in parts.items()
    ]
    named = tuple(FormSection(one.path, "", one.fields, one.sections, named=True) for one in made)
    return FormSection(path, help, (), named)


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
    return FormField(
        path, editor, value, unit_of(field), field.description or "", ", ".join(limits), choices, optional
    )


def _editor(kind: Any) -> tuple[Editor, tuple[str, ...]]:
    if kind is bool:
        return "switch", ()
    if kind in (int, float):
        return "number", ()
    if kind is str:
        return "words", ()
    if get_origin(kind) is Literal:
        return "choice", tuple(str(each) for each in get_args(kind))
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
