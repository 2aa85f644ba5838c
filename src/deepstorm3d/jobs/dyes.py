"""Dyes: every molecule of a list from two channels gets its dye, or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..analysis.dyes import DyeRule, DyesFound, find_dyes
from ..errors import InputError
from ..io.tables import claim_list
from ..plot.dye_shares import dyes as dyes_figure
from ..plot.panels import claim_picture, save_figure
from .reading_lists import read_localizations, write_derived

__all__ = ["dyes_of_table"]


def dyes_of_table(
    source: Path,
    out: Path,
    rule: DyeRule,
    *,
    picture: Path | None = None,
    pixel_nm: float | None = None,
    overwrite: bool = False,
) -> DyesFound:
    """Find the dyes of a list (`find_dyes`), write it with them, and draw the shares where asked to.

    picture: drawn there;  pixel_nm: camera pixel in the sample, for a source that does not name it.
    Raises InputError as `find_dyes`, and for an output that cannot be written.
    """
    claim_list(out, overwrite=overwrite)
    if picture is not None:
        claim_picture(picture, overwrite=overwrite)
    table, header = read_localizations(source, pixel_nm)
    try:
        found = find_dyes(table, rule)
    except InputError as error:
        raise InputError(f"{source}: {error.what}", error.remedy) from error
    found = replace(found, warnings=[*header.notes, *found.warnings])
    if picture is not None:
        save_figure(dyes_figure(found, title=f"Dyes of {source.name}"), picture)
    mixture = found.mixture
    settings = {
        "source": source.name,
        "dyes": dict(zip(found.names, mixture.shares.tolist(), strict=True)),
        "scatter": mixture.spreads.tolist(),
        "found": isinstance(rule.dyes, int),
        "sure": rule.sure,
        "molecules": list(found.molecules),
        "misassigned": found.misassigned,
    }
    write_derived(out, found.localizations, header, "dyes", settings, overwrite=overwrite)
    return found
