"""What the fields of a record mean, for the site: read from their ``quantity(default, unit, meaning)``."""

from __future__ import annotations

import ast
from typing import Any

from griffe import Attribute, Class, ExprCall, Extension


class Quantities(Extension):
    """Shows the fields of a `Spec` as one table in the docstring of its class."""

    def on_class_members(self, *, cls: Class, **_: Any) -> None:
        """Called by griffe for each class, once all that it holds is known."""
        fields = [member for member in cls.members.values() if is_quantity(member)]
        if not fields or cls.docstring is None:
            return
        rows = [f"{field.name} : {field.annotation}\n    {meaning(field)}" for field in fields]
        cls.docstring.value += "\n".join(["\n", "Attributes", "----------", *rows])
        for field in fields:
            del cls.members[field.name]


def is_quantity(member: Any) -> bool:
    """Whether a member of a class is ``name: kind = quantity(...)``."""
    return (
        isinstance(member, Attribute)
        and isinstance(member.value, ExprCall)
        and str(member.value.function) == "quantity"
    )


def meaning(field: Attribute) -> str:
    """The meaning, the unit and the default of a field."""
    assert isinstance(field.value, ExprCall)
    default, unit, words = field.value.arguments[:3]
    unit, words = (str(ast.literal_eval(str(text))) for text in (unit, words))
    return f"{words}{f' ({unit})' if unit else ''}; default `{default}`"
