"""Spec: frozen, validated records with units, and their YAML form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from .complaints import either, given, meant, told
from .errors import InputError
from .kinds import Kinds, kind_of

__all__ = [
    "Fault",
    "Spec",
    "kinds_of",
    "label_of",
    "quantity",
    "set_by_path",
    "set_by_paths",
    "spec_faults",
    "spec_from_mapping",
    "spec_rows",
    "to_yaml",
    "unit_of",
]


# Types of which a field may take several.
_PLAIN = (float, int, str, bool)

SpecType = TypeVar("SpecType", bound="Spec")


class _Told(type(BaseModel)):
    """Records that are made by their name say what is wrong with an argument as those from a file do."""

    if not TYPE_CHECKING:

        def __call__(cls, *given: Any, **named: Any) -> Any:
            try:
                return super().__call__(*given, **named)
            except ValidationError as error:
                raise _refusal(cls, error, cls.__name__) from error


class Spec(BaseModel, metaclass=_Told):
    """A record of numbers that arrive typed, ranged and with a unit; nothing edits them later.

    Unknown keys are refused, so a misspelt key can never silently mean "default".
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_switches(cls, values: Any) -> Any:
        """A number is no switch: pydantic would read ``gain: true`` as a gain of 1."""
        for name, value in values.items() if isinstance(values, Mapping) else ():
            field = cls.model_fields.get(name)
            if field is not None and _has_switch(value) and _numbers_alone(field.annotation):
                raise PydanticCustomError(
                    "switch", "{name} must be a number, not true or false", {"name": name}
                )
        return values

    def with_(self, **changes: Any) -> Self:
        """A new record with some values changed, validated again; this one stays as it is.

        Raises InputError for a key that there is not, and a value out of its range.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return spec_from_mapping(type(self), {**values, **changes}, source=type(self).__name__)

    def to_mapping(self) -> dict[str, Any]:
        """The record as plain numbers, strings, lists and dicts (what YAML and model files hold)."""
        return self.model_dump(mode="json")


def quantity(default: Any, unit: str, doc: str, *, label: str = "", **limits: Any) -> Any:
    """A field with a unit: ``quantity(1.45, "", "of the objective", label="Numerical aperture", gt=0)``.

    default: value, or ``...`` for a required one;  unit: as printed to the user ("" for none);
    label: its name in forms, where the key's words do not say it;
    limits: pydantic's gt, ge, lt, le, min_length, …
    """
    return Field(default, title=label or None, description=doc, json_schema_extra={"unit": unit}, **limits)


def _has_switch(value: Any) -> bool:
    """Whether a value is true or false, or holds one in brackets or behind a key."""
    if isinstance(value, Mapping):
        value = list(value.values())
    return isinstance(value, bool) or (isinstance(value, (list, tuple)) and any(map(_has_switch, value)))


def _numbers_alone(annotation: Any) -> bool:
    """Whether a field takes numbers, also several, and neither a switch nor a record, which may hold one."""
    types = set(_types_in(annotation))
    records = any(isinstance(each, type) and issubclass(each, BaseModel) for each in types)
    return not types.isdisjoint((float, int)) and not records and types.isdisjoint((bool, Any))


def _types_in(annotation: Any) -> list[Any]:
    """The plain types of which an annotation is made."""
    parts = getattr(annotation, "__args__", ())
    return [each for part in parts for each in _types_in(part)] if parts else [annotation]


def spec_from_mapping(kind: type[SpecType], mapping: Mapping[str, Any], *, source: str = "config") -> SpecType:
    """Validate a plain mapping as a record of type `kind`.

    Raises InputError naming every wrong key, the value given and the range allowed.
    """
    try:
        return kind.model_validate(dict(mapping))
    except ValidationError as error:
        raise _refusal(kind, error, source) from error


def _refusal(kind: type[Spec], error: ValidationError, source: str) -> InputError:
    lines = [f"  {fault}" for fault in _faults(kind, error)]
    return InputError(f"{source} is not valid:\n" + "\n".join(lines))


class Fault(NamedTuple):
    """One thing that is wrong in a mapping.

    path: keys that lead to it, empty for the whole;  message: in words.
    """

    path: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.message}" if self.path else self.message


def spec_faults(kind: type[Spec], mapping: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with a plain mapping as a record of type `kind`, each at its place; empty where nothing is.

    Raises InputError where the package that offers a kind cannot be imported.
    """
    try:
        kind.model_validate(dict(mapping))
    except ValidationError as error:
        return _faults(kind, error)
    return []


def _faults(kind: type[Spec], error: ValidationError) -> list[Fault]:
    """Pydantic's complaints in the user's words; those of one value that may be a number or a text as one."""
    found: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for item in error.errors():
        keys, known = _walk(kind, item["loc"])
        if item["type"] == "extra_forbidden":
            words, value = f"no such key; {meant(str(item['loc'][-1]), known, 'known keys here')}", ""
        elif item["type"] == "missing":
            words, value = told(item), ""
        else:
            words, value = told(item), given(item["input"])
        found.setdefault((tuple(keys), value), []).append(words)
    return [Fault(path, either(ways) + value) for (path, value), ways in found.items()]


def _walk(kind: type[BaseModel], path: tuple[Any, ...]) -> tuple[list[str], list[str]]:
    """The keys of a path as the file has them, and the names that may stand where the last one stands."""
    here: list[type[BaseModel]] = [kind]
    keys: list[str] = []
    known: list[str] = []
    plain: set[str] = set()
    for part in path:
        known = sorted({name for model in here for name in model.model_fields})
        fields = [model.model_fields[part] for model in here if part in model.model_fields]
        tagged = [model for model in here if kind_of(model) == part]
        if tagged and not fields:
            # The tag of a union (`kind: tetrapod`) is pydantic's own step, no key of the file.
            here = tagged
            continue
        if part in plain or part == "[key]":
            # A number or a text may stand there, or it is the key itself that is wrong: no key of the file.
            continue
        plain = {each.__name__ for field in fields for each in get_args(field.annotation) if each in _PLAIN}
        keys.append(str(part))
        # The name of a scene, the index of a list: no field, the candidates stay.
        here = [model for field in fields for model in _models_of(field)] if fields else here
    return keys, known


def _models_of(field: FieldInfo) -> list[type[BaseModel]]:
    """The records that may stand in a field."""
    return _models_in(field.annotation, field.metadata)


def _models_in(annotation: Any, metadata: Sequence[Any] = ()) -> list[type[BaseModel]]:
    open_union = _open_union(metadata) or _open_union(getattr(annotation, "__metadata__", ()))
    if open_union is not None:
        return list(open_union)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


def kinds_of(field: FieldInfo, *, optional: bool = False) -> Kinds | None:
    """The kinds of record that may stand in a field; None where it is not such a field.

    optional: of a field that may also be null, too.
    """
    found = _open_union(field.metadata)
    if found is None and optional:
        unions = [_open_union(getattr(part, "__metadata__", ())) for part in get_args(field.annotation)]
        found = next((union for union in unions if union is not None), None)
    return found


def _open_union(metadata: Sequence[Any]) -> Kinds | None:
    return next((each for each in metadata if isinstance(each, Kinds)), None)


def set_by_path(mapping: dict[str, Any], assignment: str, record: type[Spec] | None = None) -> None:
    """Apply one ``a.b=value`` (value in YAML) to a nested mapping, in place; another kind begins anew.

    record: what the mapping is to become; where it says that keys of one name mean the same in every kind
    (`Kinds`), they keep their values under another kind.
    Raises InputError where the assignment has no ``=`` or walks through a plain value.
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise InputError(f"'{assignment}' is not an assignment; write key.subkey=value")
    *parents, leaf = path.strip().split(".")
    here: Any = mapping
    for name in parents:
        if not isinstance(here, dict) or name not in here:
            known = ", ".join(here) if isinstance(here, dict) else "none"
            raise InputError(f"cannot set '{path}': there is no '{name}'; keys here: {known}")
        if here[name] is None and leaf == "kind" and name == parents[-1]:
            # A record that is left out (null) begins with its kind.
            here[name] = {}
        here = here[name]
    if not isinstance(here, dict):
        raise InputError(f"cannot set '{path}': '{parents[-1]}' is a value, not a section")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"cannot read the value in '{assignment}': {error}") from error
    if leaf == "kind" and here.get("kind", value) != value:
        # The keys of one kind mean nothing to another, unless these say that they do.
        kept = _keys_kept(record, parents, value)
        for name in [name for name in here if name not in kept]:
            del here[name]
    here[leaf] = value


def _keys_kept(record: type[Spec] | None, parents: Sequence[str], kind: Any) -> set[str]:
    """Keys that keep their values where the record at a path becomes one of another kind."""
    here: list[type[BaseModel]] = [] if record is None else [record]
    union: Kinds | None = None
    for name in parents:
        fields = [model.model_fields[name] for model in here if name in model.model_fields]
        union = next((found for field in fields if (found := _open_union(field.metadata))), None)
        here = [model for field in fields for model in _models_of(field)]
    if union is None or not union.same_keys:
        return set()
    other = union.find(str(kind))
    return set() if other is None else set(other.model_fields)


def set_by_paths(mapping: dict[str, Any], assignments: Sequence[str], record: type[Spec] | None = None) -> None:
    """Apply several, kinds first: another ``mask.kind`` starts from that kind's defaults, and the keys given
    beside it, before or after, are of that kind.

    Raises InputError as `set_by_path`.
    """
    for assignment in sorted(
        assignments, key=lambda text: not text.partition("=")[0].strip().endswith(".kind")
    ):
        set_by_path(mapping, assignment, record)


def to_yaml(spec: Spec, header: str = "") -> str:
    """The record as YAML, one key a line, each with its unit and meaning as a comment."""
    lines = [f"# {line}" for line in header.splitlines()]
    return "\n".join(lines + _yaml_lines(spec, 0)) + "\n"


def spec_rows(spec: Spec) -> list[tuple[str, str, str]]:
    """The values of a record for people: name, value with its unit, meaning; records inside it are left out."""
    rows = []
    for name, field in type(spec).model_fields.items():
        if not isinstance(getattr(spec, name), Spec):
            value = spec.model_dump(mode="json", include={name})[name]
            nothing = value is None or value in ("", [], {})
            words = "none" if nothing else f"{_plain(value)} {unit_of(field)}".strip()
            rows.append((name, words, field.description or ""))
    return rows


def _yaml_lines(spec: Spec, depth: int) -> list[str]:
    pad, lines = "  " * depth, []
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        comment = _comment(field)
        if isinstance(value, Spec):
            lines += [f"{pad}{name}:{comment}", *_yaml_lines(value, depth + 1)]
        elif isinstance(value, Mapping) and value and all(isinstance(part, Spec) for part in value.values()):
            lines.append(f"{pad}{name}:{comment}")
            for key, part in value.items():
                lines += [f"{pad}  {_plain(str(key))}:", *_yaml_lines(part, depth + 2)]
        else:
            lines.append(f"{pad}{name}: {_plain(spec.model_dump(mode='json', include={name})[name])}{comment}")
    return lines


def _plain(value: Any) -> str:
    """A value on one line of YAML, quoted where it must be."""
    if isinstance(value, str) and not value.isprintable():
        return yaml.safe_dump(value, default_style='"', width=10**6).strip()
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.replace("\n...", "").strip()


def _comment(field: FieldInfo) -> str:
    parts = [part for part in (unit_of(field), field.description) if part]
    return f"  # {': '.join(parts)}" if parts else ""


def label_of(name: str, field: FieldInfo) -> str:
    """What a form calls a record's field: the label it was given, else the words of its key, with the unit.

    ``label_of("read_noise", field)`` is "Read noise (e- rms)".
    """
    unit = unit_of(field)
    words = field.title or _words(name.removesuffix(f"_{_ascii(unit)}"))
    # "Validation crops", not "Validation crops (crops)".
    return words if not unit or words.lower().endswith(unit) else f"{words} ({unit})"


def _words(key: str) -> str:
    words = key.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _ascii(unit: str) -> str:
    """A unit as keys have it: um for µm."""
    return unit.replace("µ", "u")


def unit_of(field: FieldInfo) -> str:
    """The unit of a record's field as it is printed; empty where it has none."""
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""
