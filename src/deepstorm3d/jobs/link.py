"""Link: a molecule that shines through several frames becomes one row."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..analysis.linked import link_list
from ..analysis.linking import LinkRule
from ..errors import InputError
from ..io.tables import TableHeader, claim_list
from .reading_lists import read_localizations, write_derived

__all__ = ["LinkSummary", "link_table", "refuse_linked"]


@dataclass(frozen=True)
class LinkSummary:
    """What was joined.

    rows, molecules: before and after;  seen_once: molecules of a single frame;  spread_over_sigma: scatter of
    the differences within molecules over their σ in x, y and z, 1 where the σ are true (None: nothing to tell
    it from);  tied: whether the fit had found the molecules over several frames, and none were looked for;
    warnings: what a reader of the numbers should know.
    """

    rows: int
    molecules: int
    seen_once: int
    spread_over_sigma: tuple[float, float, float] | None
    warnings: list[str] = field(default_factory=list)
    tied: bool = False


def link_table(
    source: Path, out: Path, rule: LinkRule, *, pixel_nm: float | None = None, overwrite: bool = False
) -> LinkSummary:
    """Join the rows of each molecule to one (`link_list`) and write the list.

    pixel_nm: camera pixel in the sample, for a source that does not name it.
    Raises InputError for a list that is linked already, rows without the σ that the rule needs, or an output
    that cannot be written.
    """
    claim_list(out, overwrite=overwrite)
    table, header = read_localizations(source, pixel_nm)
    refuse_linked(source, header)
    try:
        linked = link_list(table, rule)
    except InputError as error:
        raise InputError(f"{source}: {error.what}", error.remedy) from error
    gate = {
        "gate": "3 σ of the difference" if rule.radius_um is None else "fixed",
        "radius_um": rule.radius_um,
        "axial_um": rule.axial_um,
        "dark": rule.dark,
    }
    settings = {
        "source": source.name,
        **({"gate": "molecules of the fit"} if linked.tied else gate),
        "rows": [len(table), len(linked.molecules)],
        "spread_over_sigma": linked.spread_over_sigma,
    }
    write_derived(out, linked.molecules, header, "link", settings, overwrite=overwrite)
    return LinkSummary(
        len(table),
        len(linked.molecules),
        linked.seen_once,
        linked.spread_over_sigma,
        [*header.notes, *linked.warnings],
        tied=linked.tied,
    )


def refuse_linked(source: Path | str, header: TableHeader) -> None:
    """Refuse a file that says it was linked, also where its format has no column for that."""
    if any(step.get("step") == "link" for step in header.provenance.get("steps", [])):
        raise InputError(
            f"{source} is linked already: its rows no longer say in which frames they end",
            "link the list that it was made from",
        )
