"""Ranges in records: pairs of numbers with the lower limit first."""

from __future__ import annotations

from typing import Annotated, Protocol, TypeVar

from pydantic import AfterValidator

__all__ = ["BlurRange", "DepthRange", "Range", "low_before_high"]

# Depth beyond which no objective reaches, µm.
_DEEPEST_UM = 300.0
# Widest range of depths that is imaged at once, µm.
_WIDEST_UM = 100.0
# Largest blur σ, px, as of a PSF.
_MOST_BLUR_PX = 10.0


def _lower_first(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError(f"must be two numbers, lower first, got {limits[0]} and {limits[1]}")
    return limits


Range = Annotated[tuple[float, float], AfterValidator(_lower_first)]
"""Lowest and highest value."""


def _in_um(depths: tuple[float, float]) -> tuple[float, float]:
    low, high = depths
    far = max(-low, high)
    if far > _DEEPEST_UM:
        raise ValueError(f"no objective reaches to a depth of {far:g} µm; depths are in µm: {_in_nm(depths)}")
    if high - low > _WIDEST_UM:
        raise ValueError(
            f"a range of {high - low:g} µm is wider than {_WIDEST_UM:g} µm, the most that is taken; depths are "
            f"in µm: {_in_nm(depths)}"
        )
    return depths


def _in_nm(depths: tuple[float, float]) -> str:
    low, high = depths
    return f"{low:g} to {high:g} nm are [{low / 1000:g}, {high / 1000:g}]"


def _in_px(blur: tuple[float, float]) -> tuple[float, float]:
    if blur[0] < 0:
        raise ValueError(f"blur_px must not be negative, got {blur[0]}")
    if blur[1] > _MOST_BLUR_PX:
        raise ValueError(
            f"a blur of {blur[1]:g} px is more than {_MOST_BLUR_PX:g} px, the most that is taken; it is in "
            "camera pixels, not nm"
        )
    return blur


DepthRange = Annotated[Range, AfterValidator(_in_um)]
"""Smallest and largest depth, µm; a range that can only be meant in nm is refused."""

BlurRange = Annotated[Range, AfterValidator(_in_px)]
"""Smallest and largest blur σ, camera pixels; one that can only be meant in nm is refused."""


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
