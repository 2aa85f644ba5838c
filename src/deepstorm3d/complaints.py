"""What is wrong with a value of a record, in plain words: pydantic's own speak of Python's types."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["either", "given", "meant", "told"]

_WORDS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be keys with values, such as {5: 0.2}",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "list_type": "must be values in brackets, such as [1, 2]",
    "model_attributes_type": "must be a section with keys of its own",
    "model_type": "must be a section with keys of its own",
    "string_type": "must be a text",
    "tuple_type": "must be values in brackets, such as [1, 2]",
}
# What a value of several must be: pydantic says "Input should be ..." of all that is compared.
_SHOULD = "Input should be "


def told(complaint: Mapping[str, Any]) -> str:
    """One complaint of `pydantic.ValidationError.errors` as a sentence without subject: "must be a number".

    What a record says of itself (ValueError in a validator) stays in its own words.
    """
    kind, about = str(complaint["type"]), complaint.get("ctx", {})
    if kind == "missing":
        one_of_several = isinstance(complaint["loc"][-1], int)
        return "missing; it needs one more value" if one_of_several else "missing; add this key"
    if kind == "union_tag_invalid":
        return f"there is no kind '{about['tag']}'; kinds here: {about['expected_tags']}"
    if kind in ("too_short", "string_too_short"):
        least = int(about["min_length"])
        return "must not be empty" if least == 1 else f"must have {least} values or more"
    if kind in ("too_long", "string_too_long"):
        return f"must have {about['max_length']} values at most"
    message = str(complaint["msg"]).removeprefix("Value error, ")
    if message.startswith(_SHOULD):
        message = f"must be {message.removeprefix(_SHOULD)}"
    return _WORDS.get(kind, message)


def either(ways: Sequence[str]) -> str:
    """One sentence of several of which only one need be true: "must be a number or a text"."""
    first, *others = dict.fromkeys(ways)
    return " or ".join([first, *(words.removeprefix("must be ") for words in others)])


def meant(word: str, known: Iterable[str], what: str = "there are") -> str:
    """What a misspelt name may have been: "did you mean 'gain'?"; all that is known where none is near.

    what: stands before the known names.
    """
    names = list(known)
    small = {name.lower(): name for name in reversed(names)}
    near = difflib.get_close_matches(word.lower(), small, n=1)
    return f"did you mean '{small[near[0]]}'?" if near else f"{what}: {', '.join(names)}"


def given(value: Any) -> str:
    """The value that was complained of, in brackets; empty for a record, whose content would bury the words."""
    if isinstance(value, Mapping):
        return ""
    return " (nothing is given)" if value is None else f" (given: {value!r})"
