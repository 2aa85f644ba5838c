"""The kinds of one thing that an experiment may name, such as PSFs; others can be registered from outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter
from pydantic_core import core_schema

from .errors import InputError

__all__ = ["Kinds", "kind_of"]

Kind = TypeVar("Kind", bound=type[BaseModel])

# Entry points by which installed packages offer kinds of their own.
_GROUP = "deepstorm3d.kinds"


class Kinds:
    """A union of records, told apart by their key `kind`, that can grow: ``Annotated[Shape, SHAPES]``.

    `SHAPES` is ``Kinds(Round, Square)`` and `Shape` the type that all of them share. A field of this type
    takes a record of any kind, or a mapping that names it: ``{"kind": "round", "radius": 2}``. A kind that is
    registered later (``SHAPES.register``, also as a decorator) is taken from then on, in records that were
    defined before too.

    A kind of another package is imported when it is first named, if the package offers it: an entry point of
    the group ``deepstorm3d.kinds``, named like the kind, that leads to the module or class which registers
    itself.

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

    def find(self, name: str) -> type[BaseModel] | None:
        """The kind of that name, of an installed package too; None where there is none.

        Raises InputError where the package that offers it cannot be imported.
        """
        if name not in self._kinds:
            _import_offered(name)
        return self._kinds.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all kinds known so far, as experiment files have them."""
        return tuple(self._kinds)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Pydantic's way to ask how a field of this type is checked: by the kinds there are at that moment."""
        return core_schema.no_info_plain_validator_function(self._checked)

    def _checked(self, value: Any) -> Any:
        if isinstance(value, Mapping) and isinstance(name := value.get("kind"), str):
            self.find(name)
        if self._adapter is None:
            self._adapter = TypeAdapter(self._union())
        return self._adapter.validate_python(value)

    def _union(self) -> Any:
        first, *others = self._kinds.values()
        union: Any = first
        for kind in others:
            union = union | kind
        return Annotated[union, Field(discriminator="kind")] if others else union


def _import_offered(name: str) -> None:
    """Import what installed packages offer under the name of a kind."""
    from importlib.metadata import entry_points

    for point in entry_points(group=_GROUP, name=name):
        try:
            point.load()
        except Exception as error:
            package = point.dist.name if point.dist is not None else point.value
            raise InputError(
                f"the kind '{name}' is offered by the package {package}, which cannot be imported "
                f"({type(error).__name__}: {error})",
                "repair or update that package",
            ) from error


def kind_of(record: type[BaseModel]) -> str | None:
    """The name that a record gives itself by its field `kind`; None where it has none."""
    field = record.model_fields.get("kind")
    return field.default if field is not None and isinstance(field.default, str) else None
