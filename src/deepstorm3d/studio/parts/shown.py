"""Shows the values of the studio in the fields of a page, and leaves alone what a user is entering."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from nicegui.elements.mixins.value_element import ValueElement

__all__ = ["show"]

# What the studio last put into each field.
_last: WeakKeyDictionary[ValueElement[Any], Any] = WeakKeyDictionary()


def show(field: ValueElement[Any], value: Any) -> None:
    """Show a value in a field, if it is another than the studio last showed there.

    A page is drawn again whenever anything of its panel changes, often in the middle of a word that is typed or
    of a slider that is dragged; the old value must not come back then.
    """
    if field not in _last or _last[field] != value:
        _last[field] = value
        field.set_value(value)
