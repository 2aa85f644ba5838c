"""A modulator's measured calibration: its phase at each grey level, from a text file."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..texts import decimal_commas, read_text

__all__ = ["read_calibration"]

Floats = NDArray[np.float64]
_TURN = 2 * np.pi
# Grey levels of an 8-bit image.
_LEVELS = 256


def read_calibration(path: Path) -> tuple[float, ...]:
    """Phase (rad) at levels 0, 1, 2, … from a text or CSV file, one line for each.

    Two columns are level and phase, and levels between those given are interpolated; else the last column is
    the phase, and the lines are the levels. Above the numbers may stand a heading, behind # a remark; the
    decimal sign may be a comma.
    Raises InputError for a line that holds no such numbers, fewer than two levels, levels that do not begin at
    0, and a phase that spans less than a turn.
    """
    rows = _rows(path)
    if not 2 <= len(rows) <= _LEVELS:
        raise InputError(
            f"{path}: a calibration has a line for each of 2 to {_LEVELS} levels, found {len(rows)}"
        )
    phases = np.array([row[-1] for row in rows])
    first = np.array([row[0] for row in rows])
    if len(rows[0]) == 2 and (first == np.rint(first)).all():
        phases = _at_every_level(path, first, phases)
    if np.ptp(phases) < 0.95 * _TURN:
        raise InputError(
            f"{path}: the phase spans {np.ptp(phases):.2f} rad over its levels, less than a turn "
            "(6.28): not every phase can be shown",
            "is it in radians?",
        )
    return tuple(float(value) for value in phases)


def _rows(path: Path) -> list[list[float]]:
    """The numbers of each line below the heading, as many in each."""
    lines = [(n, line.partition("#")[0].strip()) for n, line in enumerate(read_text(path).splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line]
    # A heading has no number; only what stands above the first line with one is a heading.
    begin = next((place for place, (_, line) in enumerate(lines) if re.match(r"[-+.]?\d", line)), len(lines))
    lines = lines[begin:]
    divided = path.suffix.lower() == ".csv" and not any(re.search(r"[;\s]", line) for _, line in lines)
    decimal = bool(decimal_commas([line for _, line in lines])) and not divided
    rows: list[list[float]] = []
    for number, line in lines:
        words = re.split(r"\s*;\s*|\s+" if decimal else r"\s*[;,]\s*|\s+", line)
        try:
            row = [float(word.replace(",", ".")) for word in words]
        except ValueError:
            row = []
        if not row or not all(map(math.isfinite, row)) or (rows and len(row) != len(rows[0])):
            raise InputError(
                f"{path}, line {number}: '{line[:40]}' is no level and phase",
                "write the level and its phase (rad) on each line, or the phase alone, and leave out levels "
                "that were not measured",
            )
        rows.append(row)
    return rows


def _at_every_level(path: Path, levels: Floats, phases: Floats) -> Floats:
    """Phase at level 0, 1, … to the last of those given, in any order; between them by straight lines."""
    order = np.argsort(levels)
    levels, phases = levels[order], phases[order]
    if levels[0] != 0 or levels[-1] >= _LEVELS or not np.diff(levels).all():
        raise InputError(
            f"{path}: its levels go from {levels[0]:g} to {levels[-1]:g}; each from 0 to at most {_LEVELS - 1} "
            "is given once",
            "give the phase at level 0, too" if levels[0] > 0 else "",
        )
    every = np.arange(int(levels[-1]) + 1)
    return phases if len(every) == len(levels) else np.interp(every, levels, np.unwrap(phases))
