"""Properties of an element whose values are computed: set as they are, never through a text that is parsed."""

from __future__ import annotations

from typing import TypeVar

from nicegui.element import Element

__all__ = ["with_props"]

Made = TypeVar("Made", bound=Element)


def with_props(element: Made, **values: str | float | bool | None) -> Made:
    """Set properties of an element, and give it back.

    values: by name, with ``_`` in place of ``-``; None takes the property away.
    ``.props(text)`` reads a text: a quote in a file's name would end the value, and the rest of the name would
    become properties of its own, code that the browser runs among them. It is for literals.
    """
    for name, value in values.items():
        key = name.replace("_", "-")
        if element.props.get(key) != value:
            element.props.set_optional(key, value)
    return element
