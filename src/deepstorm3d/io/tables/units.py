"""Columns named with their unit, ``x [px]`` or ``intensity [AU]``: which unit it is, and lengths in nm.

Programs spell one unit in many ways (µm, um, a Greek letter in place of the sign for micro), and names in
capitals or not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import InputError
from .columns import Columns

__all__ = ["in_nanometres", "named_alike", "only_photons", "plain_name", "unit_of"]

_NANOMETRES = {"nm": 1.0, "µm": 1e3, "mm": 1e6, "m": 1e9}
_SPELLED = {
    "um": "µm",
    "μm": "µm",
    "micron": "µm",
    "microns": "µm",
    "micrometer": "µm",
    "micrometre": "µm",
    "nanometer": "nm",
    "nanometre": "nm",
    "pixel": "px",
    "pixels": "px",
    "pix": "px",
    "photons": "photon",
    "photon-e": "photon",
    "photoelectrons": "photon",
    "ph": "photon",
}


def plain_name(name: str) -> str:
    """The name in small letters, with its unit as the others spell it: ``X (um)`` is ``x [µm]``."""
    parts = re.fullmatch(r"(.*?)\s*[\[(]\s*([^\])]*?)\s*[\])]\s*", name)
    if parts is None:
        return " ".join(name.lower().split())
    unit = parts.group(2).lower()
    return f"{' '.join(parts.group(1).lower().split())} [{_SPELLED.get(unit, unit)}]"


def unit_of(name: str) -> str:
    """The unit of a plain name, "" where it has none."""
    parts = re.fullmatch(r".* \[(.*)\]", name)
    return parts.group(1) if parts else ""


def named_alike(columns: Columns) -> Columns:
    """The columns by their plain names; two that become one name are doubled."""
    plain = [plain_name(name) for name in columns.values]
    return replace(
        columns,
        values=dict(zip(plain, columns.values.values(), strict=True)),
        doubled=frozenset(name for name in plain if plain.count(name) > 1)
        | {plain_name(name) for name in columns.doubled},
        unread={plain_name(name): words for name, words in columns.unread.items()},
    )


def in_nanometres(columns: Columns, lengths: Iterable[str], pixel_um: float | None) -> Columns:
    """The columns with those of `lengths` (``x``, ``uncertainty``, …) in nm, whatever unit the file has.

    pixel_um: of lateral lengths in pixels.  A file that has a length in nm and in another unit is taken by its
    nm.  Raises InputError for an unknown unit, depth in pixels, or pixels of unknown size.
    """
    values, unread, doubled = dict(columns.values), dict(columns.unread), set(columns.doubled)
    for length in lengths:
        wanted = f"{length} [nm]"
        others = [name for name in values if name.startswith(f"{length} [") and name != wanted]
        if wanted in values or not others:
            continue
        name = others[0]
        if len(others) > 1:
            raise InputError(f"{columns.path} has {length} in several units ({', '.join(others)})", "keep one")
        step = _step(columns.path, name, pixel_um)
        column = np.asarray(values[name])
        values[wanted] = column * step if column.dtype.kind in "fiub" else column
        if name in unread:
            unread[wanted] = unread[name]
        if name in doubled:
            doubled.add(wanted)
    return replace(columns, values=values, unread=unread, doubled=frozenset(doubled))


def _step(path: Path, name: str, pixel_um: float | None) -> float:
    """One step of a column, nm."""
    unit = unit_of(name)
    if unit in _NANOMETRES:
        return _NANOMETRES[unit]
    if unit == "px" and not name.startswith(("z ", "uncertainty_z ", "std_z ")):
        if not pixel_um:
            raise InputError(
                f"{path}: the unit of {name} is the camera's pixel, and the table does not say its size",
                "give the pixel size",
            )
        return 1000 * pixel_um
    raise InputError(
        f"{path}: the unit of the column {name} is not known",
        f"write it in nm or µm, and say so in its name ({name.partition(' [')[0]} [nm])",
    )


def only_photons(columns: Columns, amounts: Collection[str]) -> Columns:
    """The columns without those of `amounts` (``intensity``, …) that are not in photons, which is noted.

    Counts of a camera, or an arbitrary unit, are no photons, and nothing in the file turns them into some.
    """
    foreign = [
        name
        for name in columns.values
        if name.partition(" [")[0] in amounts and unit_of(name) not in ("photon", "photon/px", "photon/pixel")
    ]
    known = {name.partition(" [")[0] for name in columns.values if name not in foreign}
    told = [name for name in foreign if name.partition(" [")[0] not in known]
    notes = columns.notes
    if told:
        units = "no unit" if not any(map(unit_of, told)) else "another unit"
        notes = (
            *notes,
            f"{columns.path.name}: {', '.join(told)}: {units}, not photons; these photons are not known (a "
            "column in photons is named e.g. intensity [photon])",
        )
    kept = {name: values for name, values in columns.values.items() if name not in foreign}
    return replace(columns, values=kept, notes=notes)
