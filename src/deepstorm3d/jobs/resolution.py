"""Resolution: what a list resolves, as figures in a file and as a picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ..analysis.resolution import ResolutionReport, resolution_of
from ..errors import InputError
from ..io.parts import claim_name, write_text
from ..plot.correlations import resolution
from ..plot.panels import save_figure
from ..watch import SILENT, Watcher
from .reading_lists import read_localizations

__all__ = ["measure_resolution"]


def measure_resolution(
    source: Path,
    *,
    block_frames: int | None = None,
    splits: int = 5,
    pixel_nm: float | None = None,
    json_out: Path | None = None,
    plot: Path | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> ResolutionReport:
    """Measure what a list resolves (`resolution_of`), write it as JSON and draw it, where asked for.

    pixel_nm: as in `read_localizations`;  the other arguments and the errors as in `resolution_of`.
    """
    for path in (json_out, plot):
        if path is not None:
            claim_name(path, overwrite=overwrite)
    table, header = read_localizations(source, pixel_nm)
    try:
        report = resolution_of(table, block_frames=block_frames, splits=splits, watch=watch)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    report = replace(report, notes=(*header.notes, *report.notes))
    if json_out is not None:
        write_text(json_out, json.dumps(report.to_mapping(), indent=2, ensure_ascii=False) + "\n")
    if plot is not None:
        save_figure(resolution(report, title=f"Resolution of {source.name}"), plot)
    return report
