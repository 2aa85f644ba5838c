"""Resolution: what a list resolves, as figures in a file and as a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..analysis.resolution import ResolutionReport, resolution_of
from ..errors import InputError
from ..plot.correlations import resolution
from ..watch import SILENT, Watcher
from .figure_files import FigureFiles
from .reading_lists import read_localizations

__all__ = ["measure_resolution"]


def measure_resolution(
    source: Path,
    *,
    block_frames: int | None = None,
    splits: int = 5,
    pixel_nm: float | None = None,
    files: FigureFiles | None = None,
    watch: Watcher = SILENT,
) -> ResolutionReport:
    """Measure what a list resolves (`resolution_of`), write it as JSON and draw it.

    pixel_nm: as in `read_localizations`;  files: of the figures and the picture; None: nothing is written;
    the other arguments and the errors as in `resolution_of`.
    """
    files = files or FigureFiles()
    files.claim()
    table, header = read_localizations(source, pixel_nm)
    try:
        report = resolution_of(table, block_frames=block_frames, splits=splits, watch=watch)
    except InputError as error:
        raise InputError(f"{source}: {error.what}", error.remedy) from error
    report = replace(report, notes=(*header.notes, *report.notes))
    files.write(report.to_mapping(), lambda: resolution(report, title=f"Resolution of {source.name}"))
    return report
