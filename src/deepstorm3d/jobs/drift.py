"""Drift: estimate the curve of a list, or take a given one; write the list without it, or with it again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import plot
from ..analysis.drift import DriftCurve
from ..analysis.overlap_drift import DriftEstimate, estimate_drift, typical_sigma
from ..emitters import Localizations
from ..errors import InputError
from ..io.parts import claim_name, write_text
from ..plot.panels import save_figure
from ..watch import SILENT, Watcher
from .reading_lists import read_localizations, write_derived

__all__ = ["DriftCorrection", "correct_drift", "curve_paths", "move_by_curve"]

_FEW_PAIRS_PER_SEGMENT = 30


@dataclass(frozen=True)
class DriftCorrection:
    """What a correction found and wrote.

    curve, segments: of the drift;  rows: of the list;  curve_csv, picture: where the curve is;
    notes: why it may not be trusted, empty where nothing speaks against it.
    """

    curve: DriftCurve
    segments: int
    rows: int
    curve_csv: Path
    picture: Path
    notes: tuple[str, ...]

    @property
    def reach_nm(self) -> tuple[float, float, float]:
        """From the least to the greatest drift in x, y, z, nm."""
        x, y, z = 1000 * np.ptp(self.curve.shift_um, axis=0)
        return float(x), float(y), float(z)

    @property
    def sigma_nm(self) -> tuple[float, float, float]:
        """σ of the curve in x, y, z, rms over the movie, nm."""
        return _rms_nm(self.curve)


def curve_paths(out: Path) -> tuple[Path, Path]:
    """Where the curve of a corrected list goes: ``NAME.drift.csv`` and ``NAME.drift.png`` beside it."""
    return out.with_name(f"{out.stem}.drift.csv"), out.with_name(f"{out.stem}.drift.png")


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
    for path in (out, curve_csv, picture):
        claim_name(path, overwrite=overwrite)
    if segments is not None and frames_per_segment is not None:
        raise InputError("give --segments or --frames-per-segment, not both")
    table, header = read_localizations(source, pixel_nm)
    # Only the frames that the list covers: beyond them the curve would be drawn out of thin air.
    first = int(table.frame.min()) if len(table) else 0
    frames = int(table.frame.max()) - first + 1 if len(table) else header.frames
    if frames_per_segment is not None:
        segments = max(1, round(frames / frames_per_segment))
    try:
        found = estimate_drift(table.shift(frames=-first), frames, segments=segments, watch=watch)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    found = replace(found, curve=_over_the_movie(found.curve, first, max(header.frames, first + frames)))
    settings = {
        "source": source.name,
        "method": "overlap",
        "segments": found.segments,
        "curve": curve_csv.name,
        "sigma_nm": [round(value, 3) for value in _rms_nm(found.curve)],
    }
    write_text(curve_csv, found.curve.to_csv())
    save_figure(plot.drift(found.curve, title=f"Drift of {source.name}"), picture)
    write_derived(out, found.curve.apply(table), header, "drift", settings, overwrite=overwrite)
    notes = (*header.notes, *_doubts(table, found))
    return DriftCorrection(found.curve, found.segments, len(table), curve_csv, picture, notes)


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
    claim_name(out, overwrite=overwrite)
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


def _over_the_movie(curve: DriftCurve, first: int, frames: int) -> DriftCurve:
    """A curve of the frames from `first` on as one of the whole movie: it stays at its ends beyond them."""
    beyond = ((first, frames - first - len(curve.frames)), (0, 0))
    shift, sigma = (np.pad(values, beyond, mode="edge") for values in (curve.shift_um, curve.sigma_um))
    return DriftCurve(np.arange(frames), shift, sigma)


def _rms_nm(curve: DriftCurve) -> tuple[float, float, float]:
    x, y, z = 1000 * np.sqrt((curve.sigma_um**2).mean(0))
    return float(x), float(y), float(z)


def _doubts(table: Localizations, found: DriftEstimate) -> tuple[str, ...]:
    """What speaks against a curve."""
    notes = []
    sigma, typical = np.array(_rms_nm(found.curve)), 1000 * typical_sigma(table)
    if (sigma > typical).any():
        told = " · ".join(f"{value:.0f}" for value in sigma)
        known = " · ".join(f"{value:.0f}" for value in typical)
        notes.append(
            f"the two halves of the field disagree: σ of the curve {told} nm in x · y · z, of a localization "
            f"{known} nm; the correction may do more harm than good. More localizations or fewer segments "
            "(--segments) help"
        )
    if found.pairs < _FEW_PAIRS_PER_SEGMENT * found.segments:
        notes.append(
            f"only {found.pairs} pairs of localizations from different frames lie near each other, for "
            f"{found.segments} segments of the curve: too few to trust it, its σ included"
        )
    return tuple(notes)
