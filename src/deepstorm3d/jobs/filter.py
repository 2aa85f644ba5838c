"""Filter: the rows of a list that meet a condition, as a list."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..analysis.filters import columns_asked, rows_where, unknown_rows
from ..io.tables import claim_list
from .reading_lists import read_localizations, write_derived

__all__ = ["FilterSummary", "filter_table"]


@dataclass(frozen=True)
class FilterSummary:
    """Rows before and after, and what a reader of the numbers should know."""

    before: int
    after: int
    warnings: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The part of the rows that was kept, 0 to 1."""
        return self.after / self.before if self.before else 0.0


def filter_table(
    source: Path,
    expression: str,
    out: Path,
    *,
    to: str | None = None,
    pixel_nm: float | None = None,
    overwrite: bool = False,
) -> FilterSummary:
    """Write the rows for which the expression holds, in their order; the step is kept in the provenance.

    expression: such as ``sigma_z_nm < 40 & photons > 2000`` (`analysis.expressions`);  to: name of the format
    (`io.tables.FORMATS`), None: by the ending of `out`;  pixel_nm: camera pixel in the sample, for a source
    that does not name it.
    Raises InputError for an expression that cannot be read, an unknown column, or an output that cannot be
    written. No row left is a list too: it is written, with a warning.
    """
    claim_list(out, format=to, overwrite=overwrite)
    columns_asked(expression)  # a slip of the pen should not wait for a large file
    table, header = read_localizations(source, pixel_nm)
    kept = table.select(rows_where(table, expression))
    settings = {"source": source.name, "expression": expression, "rows": [len(table), len(kept)]}
    write_derived(out, kept.sort(), header, "filter", settings, format=to, overwrite=overwrite)
    warnings = [*header.notes, *unknown_rows(table, expression, source.name)]
    if not len(table):
        warnings.append(f"{source.name} has no rows")
    elif not len(kept):
        warnings.append(f"no row of {source.name} meets the condition; {out.name} is an empty list")
    return FilterSummary(len(table), len(kept), warnings)
