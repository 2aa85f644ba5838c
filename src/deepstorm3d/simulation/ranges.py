"""Ranges in records: pairs of numbers with the lower limit first."""

from __future__ import annotations

from typing import Annotated, Protocol, TypeVar

from pydantic import AfterValidator

__all__ = ["Range", "low_before_high"]


def _lower_first(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError(f"must be two numbers, lower first, got {limits[0]} and {limits[1]}")
    return limits


Range = Annotated[tuple[float, float], AfterValidator(_lower_first)]
"""Lowest and highest value."""


class _Limits(Protocol):
    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


_Record = TypeVar("_Record", bound=_Limits)


def low_before_high(record: _Record) -> _Record:
    """Check a record for ``model_validator(mode="after")``: raises ValueError if `low` is above `high`."""
    if record.low > record.high:
        raise ValueError(f"low must not be above high, got {record.low} and {record.high}")
    return record
