"""The filter: a range for each column and a condition in words, together one expression for `filter`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ...analysis.expressions import parse_condition
from ...analysis.filters import columns_asked

__all__ = ["Conditions", "Range"]

Range = tuple[float | None, float | None]
"""From (included) and to (included) on a column; None: no limit."""


@dataclass(frozen=True)
class Conditions:
    """What rows must meet.

    ranges: by column, in the order in which they were set;  words: a further condition, "" for none.
    """

    ranges: dict[str, Range] = field(default_factory=dict)
    words: str = ""

    def within(self, column: str, limits: Range, span: float) -> Conditions:
        """The same with another range of a column.  span: of its histogram; limits get four digits of it."""
        low, high = (None if end is None else _rounded(end, span) for end in limits)
        ranges = {name: each for name, each in self.ranges.items() if name != column}
        if (low, high) != (None, None):
            # In its place, so that the expression does not change its order while a handle is dragged.
            names = list(self.ranges) if column in self.ranges else [*self.ranges, column]
            ranges = {name: (low, high) if name == column else self.ranges[name] for name in names}
        return replace(self, ranges=ranges)

    def saying(self, words: str) -> Conditions:
        """The same with another condition in words; raises InputError where it cannot be read."""
        words = words.strip()
        if words:
            columns_asked(words)
        return replace(self, words=words)

    @property
    def parts(self) -> tuple[str, ...]:
        """Conditions that must all hold, each an expression by itself."""
        return (*self._ranges(), *((self.words,) if self.words else ()))

    @property
    def expression(self) -> str:
        """All of them as one expression, "" for none."""
        ranges = list(self._ranges())
        if not self.words:
            return " & ".join(ranges)
        alone = not ranges or not {"|", "or"} & set(self.words.replace("|", " | ").lower().split())
        whole = " & ".join([*ranges, self.words if alone else f"({self.words})"])
        parse_condition(whole)
        return whole

    def _ranges(self) -> Iterator[str]:
        for name, (low, high) in self.ranges.items():
            if low is None:
                yield f"{name} <= {_number(high)}"
            elif high is None:
                yield f"{name} >= {_number(low)}"
            else:
                yield f"{_number(low)} <= {name} <= {_number(high)}"


def _rounded(value: float, span: float) -> float:
    """A number with as many decimals as four digits of a span have."""
    digits = 4 - math.ceil(math.log10(span)) if span > 0 else 6
    return round(value, digits)


def _number(value: float | None) -> str:
    """A number as the grammar of expressions reads it, without superfluous digits."""
    assert value is not None
    return f"{value:.10g}" if abs(value) < 1e9 else repr(value)
