"""The names of a list's dyes, as whoever told them apart recorded them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .header import TableHeader

__all__ = ["dye_names", "dye_step"]


def dye_step(header: TableHeader) -> Mapping[str, Any]:
    """What the newest step `dyes` of the list records, {} where there is none."""
    steps = [step for step in header.provenance.get("steps", []) if step.get("step") == "dyes"]
    return steps[-1] if steps else {}


def dye_names(header: TableHeader) -> list[str]:
    """Names of the dyes from number 1 on, [] where the list does not say them.

    They stand in the newest step `dyes` with the share of each, or, where the dyes were told apart in one
    channel while the molecules were localized, as a list beside the movie.
    """
    for dyes in (dye_step(header).get("dyes"), header.provenance.get("dyes")):
        if isinstance(dyes, Mapping | list | tuple):
            return [str(name) for name in dyes]
    return []
