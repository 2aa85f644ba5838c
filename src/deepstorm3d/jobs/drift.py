"""Drift: estimate the curve of a list, or take a given one; write the list without it, or with it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import plot
from ..analysis.drift import DriftCurve
from ..analysis.estimated_drift import Drift, drift_of
from ..errors import InputError
from ..io.parts import beside, claim_name, write_text
from ..io.tables import claim_list
from ..plot.panels import save_figure
from ..watch import SILENT, Watcher
from .reading_lists import read_localizations, write_derived

__all__ = ["DriftCorrection", "correct_drift", "curve_paths", "move_by_curve"]


@dataclass(frozen=True)
class DriftCorrection:
    """What a correction found and wrote.

    drift: its curve, and what speaks against it;  rows: of the list;  curve_csv, picture: where the curve is;
    notes: what a reader should know, empty where nothing speaks against the curve.
    """

    drift: Drift
    rows: int
    curve_csv: Path
    picture: Path
    notes: tuple[str, ...]


def curve_paths(out: Path) -> tuple[Path, Path]:
    """Where the curve of a corrected list goes: ``NAME.drift.csv`` and ``NAME.drift.png`` beside it."""
    return beside(out, ".drift.csv"), beside(out, ".drift.png")


def correct_drift(
    source: Path,
    out: Path,
    *,
    segments: int | None = None,
    frames_per_segment: int | None = None,
    pixel_nm: float | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> DriftCorrection:
    """Estimate the drift of a list, subtract it, and write the list, the curve and its picture.

    segments, frames_per_segment: of the smooth curve, at most one of them; neither: as many segments as the
    list bears;  pixel_nm: as in `read_localizations`.
    Raises InputError for a list that tells no drift, or where something cannot be written.
    """
    curve_csv, picture = curve_paths(out)
    claim_list(out, overwrite=overwrite)
    for path in (curve_csv, picture):
        claim_name(path, overwrite=overwrite)
    table, header = read_localizations(source, pixel_nm)
    frames = header.frames
    try:
        found = drift_of(
            table, frames=frames, segments=segments, frames_per_segment=frames_per_segment, watch=watch
        )
    except InputError as error:
        raise InputError(f"{source}: {error.what}", error.remedy) from error
    settings = {
        "source": source.name,
        "method": "overlap",
        "segments": found.segments,
        "curve": curve_csv.name,
        "sigma_nm": [round(value, 3) for value in found.sigma_nm],
    }
    write_derived(out, found.apply(table), header, "drift", settings, overwrite=overwrite)
    write_text(curve_csv, found.curve.to_csv())
    save_figure(plot.drift(found.curve, title=f"Drift of {source.name}"), picture)
    return DriftCorrection(found, len(table), curve_csv, picture, (*header.notes, *found.notes))


def move_by_curve(
    source: Path,
    out: Path,
    curve_csv: Path,
    *,
    undo: bool = False,
    pixel_nm: float | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> int:
    """Subtract a given drift curve from a list, or with `undo` add it back; returns the number of rows.

    watch: told what was seen while reading.
    Raises InputError where the curve cannot be read or does not cover the list's frames.
    """
    claim_list(out, overwrite=overwrite)
    try:
        text = curve_csv.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the drift curve {curve_csv}: {error}") from error
    curve = DriftCurve.from_csv(text, str(curve_csv))
    table, header = read_localizations(source, pixel_nm, watch=watch)
    if not len(table):
        raise InputError(f"{source} holds no localization; there is nothing to move")
    moved = curve.undo(table) if undo else curve.apply(table)
    settings: dict[str, Any] = {"source": source.name, "curve": curve_csv.name}
    write_derived(out, moved, header, "drift undone" if undo else "drift", settings, overwrite=overwrite)
    return len(table)
