"""The files of one recording in the order of their numbers, and which numbers are missing."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from .movie_source import runs

__all__ = ["Numbered", "in_order", "micro_manager_part", "tiff_names"]

LEAST_CLOCK = 10**6
"""A number from here on is a date or a clock, not the number of a file."""

LEAST_STEPS = 4
"""So many files must agree on a step (0, 10, 20, 30) before it is not taken for files that are missing."""


@dataclass(frozen=True)
class Numbered:
    """File names in order.

    places: where each stands in the numbering, from 0; a place that none has is a missing file;
    missing: the numbers of those, in words ("" where none is).
    """

    names: tuple[str, ...]
    places: tuple[int, ...]
    missing: str = ""


def tiff_names(folder: Path) -> list[str]:
    """The TIFF files of a folder, in no order; hidden ones (``._frame.tif`` of macOS) are left out."""
    return [p.name for p in folder.iterdir() if p.suffix.lower() in (".tif", ".tiff") and p.name[0] != "."]


def in_order(
    names: Sequence[str], folder: Path, *, second: int | None = None, partial: bool = False
) -> Numbered:
    """Order the files of one recording, and see that none is missing.

    Names may differ in their numbers only; one without a number (``run.tif, run_1.tif``) comes first.
    Where exactly one number of the names differs it counts the files: it may start anywhere, and take
    equal steps. Dates and clocks, and several numbers that differ, give the order but count nothing.
    second: number of the file after one without a number (None: 1 or 2);  partial: put up with missing files.
    Raises InputError for names of different recordings, two files of one number, or missing numbers.
    """
    ordered = sorted(names, key=_natural_key)
    bare = _bare_first(ordered, folder)
    keys = {name: tuple(int(n) for n in re.findall(r"\d+", _stem(name))) for name in ordered if name != bare}
    _refuse_twins(keys, folder)
    listed = sorted(keys, key=lambda name: keys[name])
    in_sequence = tuple([bare, *listed] if bare is not None else listed)
    varying = [column for column in zip(*keys.values(), strict=True) if len(set(column)) > 1]
    if len(varying) == 1:
        numbers = sorted(varying[0])
    elif bare is not None and len(listed) == 1:
        numbers = [keys[listed[0]][-1]]
    else:
        numbers = []
    if not numbers or numbers[-1] >= LEAST_CLOCK:
        return Numbered(in_sequence, tuple(range(len(in_sequence))))
    if bare is not None:
        # Most programs call the second file of `run.tif` run_1 or run_2.
        numbers = [min(numbers[0] - 1, 1) if second is None else second - 1, *numbers]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    step = math.gcd(*steps) if len(numbers) >= LEAST_STEPS else 1
    missing = _in_words(sorted(set(range(numbers[0], numbers[-1], step)) - set(numbers)), step)
    if missing and not partial:
        raise InputError(
            f"{folder}: between {in_sequence[0]} and {in_sequence[-1]} the files numbered {missing} are "
            "missing",
            "copy them too, rename the files if these numbers do not count, or read what is there "
            "(`partial=True`)",
        )
    return Numbered(in_sequence, tuple((number - numbers[0]) // step for number in numbers), missing)


def micro_manager_part(path: Path) -> tuple[Path, int] | None:
    """First file, and place from 0, of a file of a Micro-Manager recording; None for any other file.

    ``run_MMStack_Pos0.ome.tif`` is followed by ``run_MMStack_Pos0_1.ome.tif``. A position can be called
    ``1-Pos_000_002``: a number counts files only without zeros before it, and where the first file is
    there or the name is one that Micro-Manager gives by itself.
    """
    found = re.fullmatch(r"(.+_MMStack.*?)(?:_([1-9]\d*))?(\.ome\.tiff?)", path.name, re.IGNORECASE)
    if found is None:
        return None
    base, number, suffix = found.groups()
    first = path.with_name(base + suffix)
    known = re.search(r"_MMStack(_Pos\d+|_Default)?$", base, re.IGNORECASE)
    if number is None or not (first.exists() or known):
        return path, 0
    return first, int(number)


def _natural_key(name: str) -> list[tuple[int, int | str]]:
    """Digits compare as numbers, so frame2 comes before frame10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def _stem(name: str) -> str:
    """The name without .tif, .tiff, .ome.tif."""
    return re.sub(r"(\.ome)?\.tiff?$", "", name.lower())


def _text(name: str) -> str:
    """The name with its numbers taken out."""
    return re.sub(r"\d+", "#", _stem(name))


def _bare_first(names: Sequence[str], folder: Path) -> str | None:
    """The one file that comes before the numbered ones and has no number itself, if there is one."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_text(name), []).append(name)
    if len(groups) == 1:
        return None
    smaller, larger = sorted(groups.values(), key=lambda group: (len(group), len(_stem(group[0]))))[:2]
    follower = re.compile(re.escape(_stem(smaller[0])) + r"\D{1,3}\d+")
    begins = all(follower.fullmatch(_stem(name)) for name in larger)
    if len(groups) == 2 and len(smaller) == 1 and begins:
        return smaller[0]
    raise InputError(
        f"{folder}: the names are of {len(groups)} different kinds ({groups[_text(names[0])][0]}, "
        f"{next(name for name in names if _text(name) != _text(names[0]))})",
        "put the files of each recording into a folder of its own, and other pictures elsewhere",
    )


def _refuse_twins(keys: dict[str, tuple[int, ...]], folder: Path) -> None:
    seen: dict[tuple[int, ...], str] = {}
    for name, key in keys.items():
        if key in seen:
            raise InputError(
                f"{folder}: {seen[key]} and {name} have the same number",
                "remove one of them, or put the files of each recording into a folder of its own",
            )
        seen[key] = name


def _in_words(numbers: Sequence[int], step: int) -> str:
    """3, 4, 5, 9 as "3 to 5, 9"; at most five parts."""
    found = runs([number // step for number in numbers])
    offset = numbers[0] % step if numbers else 0
    parts = [
        f"{first * step + offset}" + (f" to {(last - 1) * step + offset}" if last - first > 1 else "")
        for first, last in found
    ]
    more = f" … ({len(numbers)} in all)" if len(parts) > 5 else ""
    return ", ".join(parts[:5]) + more
