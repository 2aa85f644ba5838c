"""Sections of a report that are measured anew or read from beside the list: its drift, its resolution."""

from __future__ import annotations

from pathlib import Path

from ... import plot
from ...analysis.drift import DriftCurve
from ...analysis.resolution import resolution_of
from ...emitters import Localizations
from ...errors import InputError
from ...io.tables.header import TableHeader
from ...plot.panels import figure_png
from .parts import Facts, Figure, Section

__all__ = ["drift_sections", "resolution_section"]


def drift_sections(source: Path, header: TableHeader) -> list[Section]:
    """The curve of every drift correction among the list's steps, where its file still lies beside the list."""
    sections = []
    for step in header.provenance.get("steps", []):
        # A name and nothing more: a list may come from anywhere.
        curve_csv = source.parent / Path(str(step.get("curve", ""))).name
        if step.get("step") != "drift" or not curve_csv.is_file():
            continue
        try:
            curve = DriftCurve.from_csv(curve_csv.read_text(encoding="utf-8-sig"), curve_csv.name)
        except (InputError, OSError, UnicodeDecodeError):
            continue
        picture = figure_png(plot.drift(curve))
        caption = f"Drift that was subtracted, from {curve_csv.name}; the bands are one standard deviation."
        sections.append(Section("Drift", figures=[Figure(caption, picture)]))
    return sections


def resolution_section(table: Localizations, name: str) -> Section:
    """What the list of that name resolves, or why that cannot be said."""
    try:
        found = resolution_of(table)
    except InputError as error:
        return Section("Resolution", paragraphs=[str(error)])
    rows = [
        (name, each.status if each.resolution_um is None else _nm(each.resolution_um, each.spread_um))
        for name, each in found.correlations.items()
    ]
    words = [
        f"Two halves of the list, made of blocks of {found.block_frames} frames, correlate to these lengths "
        f"(threshold 1/7; mean and spread over {found.splits} random halvings).",
        *found.notes,
    ]
    picture = figure_png(plot.resolution(found))
    caption = "Fourier ring and shell correlation, and the scatter of molecules between adjacent frames."
    return Section(
        "Resolution",
        paragraphs=words,
        tables=[Facts("", rows, ("section", "resolution"))],
        figures=[Figure(caption, picture)],
    )


def _nm(value_um: float, spread_um: float | None) -> str:
    spread = "" if spread_um is None else f" ± {1000 * spread_um:.0f}"
    return f"{1000 * value_um:.0f}{spread} nm"
