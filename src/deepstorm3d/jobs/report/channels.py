"""Sections of a report on what only some lists have: shares of two channels, dyes, molecules over frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ... import plot
from ...analysis.frames_of_molecules import frames_of_molecules
from ...emitters import Localizations
from ...io.tables.dye_names import dye_names, dye_step
from ...io.tables.header import TableHeader
from ...plot.panels import figure_png
from .parts import Facts, Figure, Section

__all__ = ["channel_sections", "molecule_sections"]


def channel_sections(table: Localizations, header: TableHeader) -> list[Section]:
    """How the light is divided between two channels, and the dyes; nothing for a list without either."""
    if not len(table):
        return []
    names = dye_names(header)
    sections = _shares(table, names)
    return sections if table.dye is None else [*sections, _dyes(table, header, names)]


def _shares(table: Localizations, names: list[str]) -> list[Section]:
    """How the light is divided between two channels; nothing for a list of one channel."""
    known = _known_shares(table)
    if known is None:
        return []
    words = [
        f"{int(known.sum()):,} of {len(table):,} rows have a share of the light in the second channel with its "
        "σ; the others lie where that channel does not show them, or were given no light there."
    ]
    if not known.any():
        return [Section("Channels", paragraphs=words)]
    caption = "The share of each molecule's light that the second channel has"
    caption += ", in the colours of the dyes." if table.dye is not None else "."
    picture = figure_png(plot.shares(table, names))
    return [Section("Channels", paragraphs=words, figures=[Figure(caption, picture)])]


def _known_shares(table: Localizations) -> np.ndarray[Any, Any] | None:
    """Rows with a share that has its σ, (N,) bool; None for a list of one channel."""
    if table.share is None or table.sigma_share is None:
        return None
    return (table.sigma_share > 0).cpu().numpy()


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


def _dyes(table: Localizations, header: TableHeader, names: list[str]) -> Section:
    """How many molecules each dye has, and how many of them are expected to be another's."""
    assert table.dye is not None
    rows_of = _row_of_each_molecule(table)
    dye = table.dye.cpu().numpy()[rows_of]
    sure = None if table.dye_probability is None else table.dye_probability.cpu().double().numpy()[rows_of]
    step = dye_step(header)
    of_light = step.get("dyes")
    shares = list(of_light.values()) if isinstance(of_light, Mapping) else []
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
            "This is what the probabilities of the list claim; it is true as far as "
            + ("shares and scatter of the dyes are." if shares else "the PSFs of the dyes are.")
        )
    heads = ("number", "dye", "share", "scatter beyond σ", "molecules", "expected wrong")
    if not shares:  # told apart by their PSFs
        heads, rows = (*heads[:2], *heads[4:]), [(*row[:2], *row[4:]) for row in rows]
    return Section("Dyes", paragraphs=words, tables=[Facts("", rows, heads)])


def _row_of_each_molecule(table: Localizations) -> np.ndarray[Any, Any]:
    """The first row of each molecule; where the list has shares, of those rows that have one."""
    number = np.arange(len(table)) if table.molecule is None else table.molecule.cpu().numpy()
    known = _known_shares(table)
    rows = np.arange(len(table)) if known is None or not known.any() else known.nonzero()[0]
    return rows[np.unique(number[rows], return_index=True)[1]]


def _percent(sure: np.ndarray[Any, Any] | None, rows: np.ndarray[Any, Any]) -> str:
    """The expected part of wrong dyes of some molecules, by their own probabilities."""
    if sure is None or not rows.any():
        return ""
    return f"{100 * float((1 - sure[rows]).mean()):.2f} %"
