"""What a user is told of a wrong value: plain words, whatever is wrong with whatever kind of value."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from deepstorm3d.spec import Spec, quantity, spec_faults


class Inner(Spec):
    size: float = quantity(1.0, "µm", "of it", gt=0)


class Everything(Spec):
    number: float = quantity(1.0, "", "", gt=0, le=9)
    whole: int = quantity(2, "", "", ge=1)
    switch: bool = quantity(True, "", "")
    name: str = quantity("a", "", "", min_length=1)
    choice: Literal["red", "green"] = quantity("red", "", "")
    pair: tuple[float, float] = quantity((0.0, 1.0), "", "")
    many: tuple[int, ...] = quantity((1,), "", "", min_length=1)
    table: dict[int, float] = quantity({}, "", "")
    either: float | str = quantity(1.0, "", "")
    median: float | None = quantity(None, "", "")
    inner: Inner = quantity(Inner(), "", "")
    parts: dict[str, Inner] = quantity({}, "", "")


def faults(key: str, value: Any) -> dict[str, str]:
    return {".".join(fault.path): fault.message for fault in spec_faults(Everything, {key: value})}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("number", "wide", {"number": "must be a number (given: 'wide')"}),
        ("number", None, {"number": "must be a number (nothing is given)"}),
        ("number", 10, {"number": "must be less than or equal to 9 (given: 10)"}),
        ("number", float("inf"), {"number": "must be a finite number (given: inf)"}),
        ("whole", 1.5, {"whole": "must be a whole number (given: 1.5)"}),
        ("switch", "maybe", {"switch": "must be true or false (given: 'maybe')"}),
        ("name", "", {"name": "must not be empty (given: '')"}),
        ("choice", "blue", {"choice": "must be 'red' or 'green' (given: 'blue')"}),
        ("pair", [1], {"pair.1": "missing; it needs one more value"}),
        ("pair", [1, 2, 3], {"pair": "must have 2 values at most (given: [1, 2, 3])"}),
        ("pair", [1, "far"], {"pair.1": "must be a number (given: 'far')"}),
        ("many", [], {"many": "must not be empty (given: [])"}),
        ("table", {"x": 1}, {"table.x": "must be a whole number (given: 'x')"}),
        ("either", [1], {"either": "must be a number or a text (given: [1])"}),
        ("inner", {"size": -1}, {"inner.size": "must be greater than 0 (given: -1)"}),
        ("parts", {"left": 3}, {"parts.left": "must be a section with keys of its own (given: 3)"}),
    ],
)
def test_the_place_and_what_is_wrong_in_plain_words(key: str, value: Any, expected: dict[str, str]) -> None:
    assert faults(key, value) == expected


@pytest.mark.parametrize("key", Everything.model_fields)
@pytest.mark.parametrize(
    "value", [None, "some", -1, 1.5, [1, "a", 2], [], {"x": "y"}, {"x": []}, True], ids=repr
)
def test_no_word_of_pydantic_is_left(key: str, value: Any) -> None:
    for words in faults(key, value).values():
        said = words.partition(" (given")[0].lower()
        for strange in (
            "input",
            "valid",
            "tuple",
            "dictionary",
            "string",
            "integer",
            "boolean",
            "parse",
            "instance",
        ):
            assert strange not in said, words
