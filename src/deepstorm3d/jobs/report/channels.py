"""Sections of a report on what only some lists have: shares of two channels, dyes, molecules over frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ... import plot
from ...analysis.dyes import shares_of_molecules
from ...analysis.frames_of_molecules import frames_of_molecules
from ...emitters import Localizations
from ...io.tables.header import TableHeader
from ...plot.panels import figure_png
from .parts import Facts, Figure, Section

__all__ = ["channel_sections", "molecule_sections"]


def channel_sections(table: Localizations, header: TableHeader) -> list[Section]:
    """How the light is divided between two channels, and the dyes; nothing for a list of one channel."""
    if table.share is None or table.sigma_share is None or not len(table):
        return []
    known = table.sigma_share > 0
    words = [
        f"{int(known.sum()):,} of {len(table):,} rows have a share of the light in the second channel with its "
        "σ; the others lie where that channel does not show them, or were given no light there."
    ]
    if not bool(known.any()):
        return [Section("Channels", paragraphs=words)]
    names = _dye_names(header)
    caption = "The share of each molecule's light that the second channel has"
    caption += ", in the colours of the dyes." if table.dye is not None else "."
    picture = figure_png(plot.shares(table, names))
    sections = [Section("Channels", paragraphs=words, figures=[Figure(caption, picture)])]
    return sections if table.dye is None else [*sections, _dyes(table, header, names)]


def molecule_sections(table: Localizations) -> list[Section]:
    """In how many frames the molecules were found; nothing for a list that was found frame by frame."""
    if table.molecule is None or not len(table):
        return []
    frames = frames_of_molecules(table)
    quantiles = np.quantile(frames, (0.05, 0.25, 0.5, 0.75, 0.95))
    rows = [
        ["frames of a molecule", *(f"{value:.3g}" for value in quantiles)],
    ]
    words = (
        f"{len(frames):,} molecules in {len(table):,} rows, {frames.mean():.2f} frames each on average; "
        f"{int((frames == 1).sum()):,} were found in one frame only."
    )
    picture = figure_png(plot.molecule_durations(table))
    return [
        Section(
            "Molecules over their frames",
            paragraphs=[words],
            tables=[Facts("", rows, ("", "5 %", "25 %", "median", "75 %", "95 %"))],
            figures=[Figure("Molecules by the number of frames in which they were found.", picture)],
        )
    ]


def _dye_step(header: TableHeader) -> Mapping[str, Any]:
    """What the newest step `dyes` of the list records, {} where there is none."""
    steps = [step for step in header.provenance.get("steps", []) if step.get("step") == "dyes"]
    return steps[-1] if steps else {}


def _dye_names(header: TableHeader) -> list[str]:
    dyes = _dye_step(header).get("dyes")
    return [str(name) for name in dyes] if isinstance(dyes, Mapping) else []


def _dyes(table: Localizations, header: TableHeader, names: list[str]) -> Section:
    """How many molecules each dye has, and how many of them are expected to be another's."""
    assert table.dye is not None
    molecules = shares_of_molecules(table)
    first = np.unique(molecules.of_row, return_index=True)
    rows_of = first[1][first[0] >= 0]
    dye = table.dye.cpu().numpy()[rows_of]
    sure = None if table.dye_probability is None else table.dye_probability.cpu().double().numpy()[rows_of]
    step = _dye_step(header)
    shares = list(step["dyes"].values()) if names else []
    scatter = step.get("scatter") or []
    rows = []
    for number in range(1, int(max(dye.max(initial=0), len(names))) + 1):
        own = dye == number
        rows.append(
            (
                str(number),
                names[number - 1] if number <= len(names) else "",
                f"{shares[number - 1]:.3f}" if number <= len(shares) else "",
                f"{scatter[number - 1]:.3f}" if number <= len(scatter) else "",
                f"{int(own.sum()):,}",
                _percent(sure, own),
            )
        )
    rows.append(("0", "none, or in doubt", "", "", f"{int((dye == 0).sum()):,}", ""))
    told = _percent(sure, dye > 0)
    words = [f"Of the molecules that were given a dye, {told} are expected to be wrong."] if told else []
    if told:
        words.append(
            "This is what the probabilities of the list claim; it is true as far as shares and scatter of the "
            "dyes are."
        )
    heads = ("number", "dye", "share", "scatter beyond σ", "molecules", "expected wrong")
    return Section("Dyes", paragraphs=words, tables=[Facts("", rows, heads)])


def _percent(sure: np.ndarray[Any, Any] | None, rows: np.ndarray[Any, Any]) -> str:
    """The expected part of wrong dyes of some molecules, by their own probabilities."""
    if sure is None or not rows.any():
        return ""
    return f"{100 * float((1 - sure[rows]).mean()):.2f} %"
