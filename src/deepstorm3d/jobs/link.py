"""Link: a molecule that shines through several frames becomes one row."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..analysis.linking import LinkRule, least_spread, link_rows, spread_over_sigma
from ..analysis.merging import merge_rows
from ..analysis.stated_sigma import failed_fits_note
from ..emitters import Localizations
from ..errors import InputError
from ..io.parts import claim_name
from ..io.tables.header import TableHeader
from .reading_lists import read_localizations, write_derived

__all__ = ["LinkSummary", "link_table"]

# Differences that scatter this much over their σ lose a noticeable part of the pairs to the gate of 3 σ.
_TRUE_SIGMA, _FEWEST_PAIRS = 1.3, 10


@dataclass(frozen=True)
class LinkSummary:
    """What was joined.

    rows, molecules: before and after;  seen_once: molecules of a single frame;  spread_over_sigma: scatter of
    the differences within molecules over their σ in x, y and z, 1 where the σ are true (None: nothing to tell
    it from);  warnings: what a reader of the numbers should know.
    """

    rows: int
    molecules: int
    seen_once: int
    spread_over_sigma: tuple[float, float, float] | None
    warnings: list[str] = field(default_factory=list)


def link_table(
    source: Path, out: Path, rule: LinkRule, *, pixel_nm: float | None = None, overwrite: bool = False
) -> LinkSummary:
    """Join rows of one molecule (`link_rows`), merge them (`merge_rows`) and write the list.

    pixel_nm: camera pixel in the sample, for a source that does not name it.
    Raises InputError for a list that is linked already, rows without the σ that the rule needs, or an output
    that cannot be written.
    """
    claim_name(out, overwrite=overwrite)
    table, header = read_localizations(source, pixel_nm)
    _refuse_linked(source, table, header)
    track = link_rows(table, rule)
    merged = merge_rows(table, track)
    spread = spread_over_sigma(table, track)
    settings = {
        "source": source.name,
        "gate": "3 σ of the difference" if rule.radius_um is None else "fixed",
        "radius_um": rule.radius_um,
        "axial_um": rule.axial_um,
        "dark": rule.dark,
        "rows": [len(table), len(merged)],
        "spread_over_sigma": spread,
    }
    write_derived(out, merged, header, "link", settings, overwrite=overwrite)
    once = 0 if merged.detections is None else int((merged.detections == 1).sum())
    return LinkSummary(
        len(table),
        len(merged),
        once,
        spread,
        [*header.notes, *_warnings(source, table, len(merged), rule, spread)],
    )


def _refuse_linked(source: Path, table: Localizations, header: TableHeader) -> None:
    steps = header.provenance.get("steps", [])
    if table.detections is not None or any(step.get("step") == "link" for step in steps):
        raise InputError(
            f"{source} is linked already: its rows no longer say in which frames they end; link the list that "
            "it was made from"
        )


def _warnings(
    source: Path,
    table: Localizations,
    molecules: int,
    rule: LinkRule,
    spread: tuple[float, float, float] | None,
) -> list[str]:
    if not len(table):
        return [f"{source.name} has no rows"]
    failed = failed_fits_note(table)
    if failed is not None and rule.radius_um is None:
        return [f"{failed}: with such a σ a row is joined to whatever lies near it"]
    # Each molecule of n rows has n − 1 pairs of successive ones.
    pairs = len(table) - molecules
    if spread is None or rule.radius_um is not None or pairs < _FEWEST_PAIRS:
        return []
    worst, least = max(spread), least_spread(max(spread), pairs)
    if worst > _TRUE_SIGMA and least > 1:
        return [
            f"within molecules the positions scatter by {worst:.1f} times their σ (at least {least:.1f} with "
            f"99 % confidence, from {pairs} pairs): the σ are too small, and molecules come apart; correct the "
            "drift first, or give a distance (--radius-nm)"
        ]
    return []
