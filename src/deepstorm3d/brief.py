"""Results that show themselves in one line: arrays by their shapes, lists by their lengths."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["Brief"]

# Texts longer than this are cut, and lists with more items are counted; other objects that need more characters
# are shown by their names.
_LONGEST_TEXT = 40
_MOST_ITEMS = 3
_MOST_CHARACTERS = 80


class Brief:
    """A dataclass whose `repr` is one line, for `@dataclass(repr=False)`.

    Numbers are shown with four digits, arrays as their shapes, longer lists as how many items they have, and
    other results as their names: each of them shows its own contents.
    """

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        shown = [f"{each.name}={_brief(getattr(self, each.name))}" for each in fields if each.repr]
        return f"{type(self).__name__}({', '.join(shown)})"


def _brief(value: Any) -> str:
    """A value in a few characters."""
    if isinstance(value, Tensor | np.ndarray) and value.ndim:
        return f"<{' x '.join(str(side) for side in value.shape)}>"
    if isinstance(value, Tensor | np.ndarray | np.generic):
        single = value.item()
        return str(single) if isinstance(single, np.generic) else _brief(single)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str):
        return repr(value if len(value) <= _LONGEST_TEXT else f"{value[: _LONGEST_TEXT - 1]}…")
    if value is None or isinstance(value, bool | int):
        return repr(value)
    if isinstance(value, Mapping | set | frozenset):
        return f"<{len(value)}>"
    if isinstance(value, tuple | list):
        few = len(value) <= _MOST_ITEMS and not any(isinstance(each, str) for each in value)
        return f"({', '.join(_brief(each) for each in value)})" if few else f"<{len(value)}>"
    name = f"<{type(value).__name__}>"
    if isinstance(value, Brief):
        return name
    whole = repr(value)
    return whole if len(whole) <= _MOST_CHARACTERS else name
