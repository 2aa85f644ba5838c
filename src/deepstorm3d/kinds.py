"""The kinds of one thing that an experiment may name, such as PSFs; others can be registered from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter
from pydantic_core import core_schema

__all__ = ["Kinds", "kind_of"]

Kind = TypeVar("Kind", bound=type[BaseModel])


class Kinds:
    """A union of records, told apart by their key `kind`, that can grow: ``Annotated[Shape, SHAPES]``.

    `SHAPES` is ``Kinds(Round, Square)`` and `Shape` the type that all of them share. A field of this type
    takes a record of any kind, or a mapping that names it: ``{"kind": "round", "radius": 2}``. A kind that is
    registered later (``SHAPES.register``, also as a decorator) is taken from then on, in records that were
    defined before too.

    kinds: records with a field ``kind: Literal["round"] = "round"``, each with a name of its own.
    same_keys: whether keys of one name mean the same in every kind, so that they keep their values where
    another kind is set (``shape.kind=square``); else another kind begins with its own defaults.
    Raises ValueError where a record has no such field or its name is taken.
    """

    def __init__(self, *kinds: type[BaseModel], same_keys: bool = False) -> None:
        self.same_keys = same_keys
        self._kinds: dict[str, type[BaseModel]] = {}
        self._adapter: TypeAdapter[Any] | None = None
        for kind in kinds:
            self.register(kind)

    def register(self, kind: Kind) -> Kind:
        """Add a kind; returns it.  Raises ValueError where it does not name itself or its name is taken.

        The same class defined once more, as by a notebook cell that is run again, takes the place of the first.
        """
        name = kind_of(kind)
        if name is None:
            raise ValueError(f'{kind.__name__} does not name itself; give it: kind: Literal["name"] = "name"')
        there = self._kinds.get(name, kind)
        if (there.__module__, there.__qualname__) != (kind.__module__, kind.__qualname__):
            raise ValueError(f"there is a kind '{name}' already: {there.__name__}; choose another name")
        self._kinds[name], self._adapter = kind, None
        return kind

    def __iter__(self) -> Iterator[type[BaseModel]]:
        return iter(self._kinds.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all kinds, as experiment files have them."""
        return tuple(self._kinds)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Pydantic's way to ask how a field of this type is checked: by the kinds there are at that moment."""
        return core_schema.no_info_plain_validator_function(self._checked)

    def _checked(self, value: Any) -> Any:
        if self._adapter is None:
            self._adapter = TypeAdapter(self._union())
        return self._adapter.validate_python(value)

    def _union(self) -> Any:
        first, *others = self._kinds.values()
        union: Any = first
        for kind in others:
            union = union | kind
        return Annotated[union, Field(discriminator="kind")] if others else union


def kind_of(record: type[BaseModel]) -> str | None:
    """The name that a record gives itself by its field `kind`; None where it has none."""
    field = record.model_fields.get("kind")
    return field.default if field is not None and isinstance(field.default, str) else None
