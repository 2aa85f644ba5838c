"""The colours of dyes and molecules as a page draws them, each with its name."""

from __future__ import annotations

from ...io.tables.dye_names import dye_names
from ...rendering.categories import Category, category_colours
from .opened import OpenList

__all__ = ["hex_of", "legend_of", "offered_colours"]


def hex_of(category: Category) -> list[str]:
    """CSS colours of none and of each number, 256."""
    return ["#" + "".join(f"{round(255 * v):02x}" for v in rgb) for rgb in category_colours(category)]


def legend_of(opened: OpenList, category: Category) -> tuple[list[str], list[str]]:
    """CSS colours and their names; of molecules only what grey and a colour mean."""
    colours = hex_of(category)
    if category == "molecule":
        return colours[:2], ["one frame", "several frames, each molecule its own colour"]
    numbers = opened.tiles.numbers.get("dye")
    most = 0 if numbers is None else int(numbers.max(initial=0))
    names = dye_names(opened.header)
    named = [names[number] if number < len(names) else f"dye {number + 1}" for number in range(most)]
    return colours[1 : most + 1] + colours[:1], [*named, "none"]


def offered_colours(opened: OpenList | None) -> dict[str, str]:
    """What the hue of a picture can show of a list."""
    there = () if opened is None else tuple(opened.tiles.numbers)
    return {name: name for name in ("depth", *there, "none")}
