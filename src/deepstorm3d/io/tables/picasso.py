"""The native table: HDF5 that Picasso opens as its own, with our extra columns and provenance inside.

Picasso's convention: x, y in camera pixels with 0.0 at the centre of the first pixel, x = column; z and
lpz in nm; lpx, lpy in pixels; frames from 0. Beyond its columns we write lpz, prob, sigma_photons,
sigma_bg and fit_quality (``sx``, ``sy`` are a nominal constant). ``len``, the frames joined into a row, is
there only in a list that was linked: to Picasso its presence means just that. A list that was tracked has
``track``, one whose molecules were fitted over several frames ``molecule``, one of two channels ``share``,
``sigma_share`` and, where dyes were told apart, ``dye`` and ``dye_probability``. The last one there is of
``molecule``, ``track`` and ``dye`` is repeated as ``group``, by which Picasso colours. The group
``/deepstorm3d`` holds the provenance.

Never NaN: Picasso drops a row with NaN in any column without a word. It also drops rows with x or y
below 0 (a molecule in the outer half of the first pixel), x ≥ Width or y ≥ Height. Those rows are kept
here, since they are real; Picasso shows the table without them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ... import __version__
from ...emitters import Localizations
from ...errors import InputError
from ..yaml_files import read_documents
from .columns import FRACTIONS, Columns, pixel_size, sigma_source
from .hdf5 import reading, text
from .header import FRAME_BASE_NOTE, NOMINAL_PSF_SIGMA_PX, TableHeader

__all__ = [
    "PRIVATE",
    "described_row_type",
    "is_picasso",
    "picasso_info",
    "picasso_rows",
    "picasso_table",
    "read_picasso",
    "row_type",
    "sidecar_path",
]

FLOATS = (
    "x",
    "y",
    "photons",
    "sx",
    "sy",
    "bg",
    "lpx",
    "lpy",
    "z",
    "lpz",
    "prob",
    "sigma_photons",
    "sigma_bg",
    "fit_quality",
)
ROW = np.dtype([("frame", "<u4"), *((name, "<f4") for name in FLOATS)])
PRIVATE = "deepstorm3d"


def row_type(like: Localizations) -> np.dtype[Any]:
    """Picasso's row for a table that has the columns of this one."""
    more = [("len", "<u4")] if like.detections is not None else []
    numbered = {name: getattr(like, name) for name in ("track", "molecule", "dye")}
    kinds = {name: _whole(number) for name, number in numbered.items() if number is not None}
    more += kinds.items()
    more += [(name, "<f4") for name in FRACTIONS if getattr(like, name) is not None]
    if kinds:
        more.append(("group", "<i8" if "<i8" in kinds.values() else "<i4"))
    return np.dtype([*((name, ROW[name]) for name in ROW.names or ()), *more])


def _whole(number: Tensor) -> str:
    """The type of a column of whole numbers: four bytes, as Picasso's own, where they hold all."""
    far = bool(((number < -(2**31)) | (number >= 2**31)).any())
    return "<i8" if far else "<i4"


def described_row_type(recording: Mapping[str, Any]) -> np.dtype[Any]:
    """The row of a growing table from its description: that of a list of single frames where it names none."""
    named = recording.get("Columns")
    return ROW if named is None else np.dtype([(str(name), str(kind)) for name, kind in named])


def sidecar_path(path: Path) -> Path:
    """The YAML file that Picasso before 0.11 needs beside the table."""
    return path.with_suffix(".yaml")


def is_picasso(path: Path) -> bool:
    """Whether an HDF5 file has Picasso's table."""
    import h5py

    with reading(path) as file:
        return isinstance(file.get("locs"), h5py.Dataset)


def read_picasso(path: Path, pixel_um: float | None = None) -> tuple[Localizations, TableHeader]:
    """Read a Picasso table, ours or another program's (columns it lacks are 0).

    pixel_um: used where neither the file nor its YAML sidecar names the pixel size.
    Raises InputError for missing columns or an unknown pixel size.
    """
    with reading(path) as file:
        rows: NDArray[Any] = file["locs"][()]
        private = dict(file[PRIVATE].attrs) if PRIVATE in file else {}
        described = text(file["metadata"]) if "metadata" in file else None
        provenance = text(file[f"{PRIVATE}/provenance"]) if f"{PRIVATE}/provenance" in file else "{}"
    columns = Columns(path, {name: rows[name] for name in rows.dtype.names or ()})
    columns.require(("frame", "x", "y", "z"), "Picasso table")
    columns = columns.placed(("x", "y", "z"))
    info = _merged(_sidecar_info(path) if described is None else _parsed(path, described))
    named = private.get("pixel_um") or _named_pixel(path, info)
    reason = f"neither the file nor {sidecar_path(path).name} gives Pixelsize"
    pixel = pixel_size(path, named, pixel_um or None, rows=len(rows), reason=reason) or 1.0
    table = picasso_table(columns, pixel, private.get("sigma_source"))
    height, width, frames = (_counted(info.get(name)) for name in ("Height", "Width", "Frames"))
    columns = replace(columns, notes=(*columns.notes, *_odd(columns, table, frames)))
    if height and width and frames is not None:
        made = _parsed(path, provenance)
        return table, TableHeader(pixel, frames, (height, width), made, columns.notes)
    return table, TableHeader.around(table, pixel, columns.notes)


def _odd(columns: Columns, table: Localizations, frames: int | None) -> list[str]:
    """What of a file a reader should know: columns that it lacks, rows of frames that its movie has not."""
    lacking = [name for name in ("photons", "bg", "lpx", "lpy") if name not in columns]
    notes = [f"no column {', '.join(lacking)}: not known, 0 in every row"] if lacking and len(table) else []
    last = int(table.frame.max()) if len(table) else -1
    if frames is not None and last >= frames:
        beyond = int((table.frame >= frames).sum())
        notes.append(
            f"{beyond} of {len(table)} rows are of frames up to {last}, the movie is said to have {frames}"
        )
    return notes


def picasso_rows(table: Localizations, pixel_um: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The table as Picasso's rows."""
    xyz, sigma = table.xyz.double().cpu().numpy(), table.sigma_xyz.double().cpu().numpy()
    columns = {
        "frame": table.frame.cpu().numpy(),
        "x": xyz[:, 0] / pixel_um,
        "y": xyz[:, 1] / pixel_um,
        "z": xyz[:, 2] * 1000,
        "lpx": sigma[:, 0] / pixel_um,
        "lpy": sigma[:, 1] / pixel_um,
        "lpz": sigma[:, 2] * 1000,
        "sx": NOMINAL_PSF_SIGMA_PX,
        "sy": NOMINAL_PSF_SIGMA_PX,
        "photons": table.photons.cpu().numpy(),
        "bg": table.background.cpu().numpy(),
        "prob": table.probability.cpu().numpy(),
        "sigma_photons": table.sigma_photons.cpu().numpy(),
        "sigma_bg": table.sigma_background.cpu().numpy(),
        "fit_quality": table.fit_quality.cpu().numpy(),
    }
    if table.detections is not None:
        columns["len"] = table.detections.cpu().numpy()
    if table.molecule is not None:
        columns["molecule"] = columns["group"] = table.molecule.cpu().numpy()
    if table.track is not None:
        columns["track"] = columns["group"] = table.track.cpu().numpy()
    if table.dye is not None:
        columns["dye"] = columns["group"] = table.dye.cpu().numpy()
    for name in FRACTIONS:
        if (fraction := getattr(table, name)) is not None:
            columns[name] = fraction.cpu().numpy()
    rows = np.empty(len(table), dtype=dtype)
    if len(table) and set(columns) != set(dtype.names or ()):
        raise ValueError(
            f"all blocks of a table have the same columns; these differ: "
            f"{', '.join(sorted(set(columns) ^ set(dtype.names or ())))}"
        )
    for name in dtype.names or ():
        values = columns.get(name, 0)
        rows[name] = values
        if rows.dtype[name].kind in "iu" and not np.array_equal(rows[name], np.broadcast_to(values, len(rows))):
            raise ValueError(f"column {name} has numbers that {rows.dtype[name].name} does not hold")
        if not np.isfinite(rows[name]).all():
            raise ValueError(
                f"column {name} has NaN or infinite values; Picasso would drop these rows silently"
            )
    return rows


def picasso_table(columns: Columns, pixel_um: float, source: Any) -> Localizations:
    """Picasso's columns as a table; source: where the σ come from, as the file names it, or None."""
    units = (pixel_um, pixel_um, 1e-3)
    sigma = columns.sigmas((("lpx",), ("lpy",), ("lpz",)), unit_um=units)
    return Localizations(
        xyz=columns.positions(("x", "y", "z"), unit_um=units),
        frame=columns.frames(first=0),
        photons=columns.amount("photons"),
        background=columns.tensor("bg"),
        probability=columns.amount("prob", most=1.0),
        sigma_xyz=sigma,
        sigma_photons=columns.amount("sigma_photons"),
        sigma_background=columns.amount("sigma_bg"),
        fit_quality=columns.amount("fit_quality"),
        sigma_source=sigma_source(source, sigma),
        detections=columns.detections("len"),
        track=columns.tracks("track"),
        molecule=columns.molecules("molecule"),
        **columns.of_channels(),
    )


def picasso_info(header: TableHeader) -> dict[str, Any]:
    """Picasso's description of the recording."""
    return {
        "Generated by": f"deepstorm3d {__version__}",
        "Width": header.shape[1],
        "Height": header.shape[0],
        "Frames": header.frames,
        "Pixelsize": header.pixel_nm,
        "Convention": f"0.0 is the centre of the first pixel; {FRAME_BASE_NOTE}",
    }


def _sidecar_info(path: Path) -> list[Any]:
    sidecar = sidecar_path(path)
    return read_documents(sidecar) if sidecar.is_file() else []


def _counted(named: Any) -> int | None:
    """A whole number from 0 of a description, None where it gives none."""
    try:
        number = int(named)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number >= 0 else None


def _merged(documents: Any) -> dict[str, Any]:
    """Picasso's list of descriptions as one: a later step says what an earlier one did not."""
    merged: dict[str, Any] = {}
    for document in documents if isinstance(documents, list) else [documents]:
        merged |= document if isinstance(document, dict) else {}
    return merged


def _named_pixel(path: Path, info: Mapping[str, Any]) -> float | None:
    named = info.get("Pixelsize")
    try:
        return float(named) / 1000 if named else None
    except (TypeError, ValueError):
        raise InputError(f"{path}: its description gives Pixelsize as {named!r}, not in nm") from None


def _parsed(path: Path, described: str) -> Any:
    try:
        return json.loads(described)
    except ValueError as error:
        raise InputError(f"{path}: its description is damaged ({error})") from error
