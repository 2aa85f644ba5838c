"""ThunderSTORM CSV tables: nm from the corner of the first pixel, frames from 1, quoted column names.

A position there is (j + 0.5)·pixel where ours is j·pixel. The columns of ThunderSTORM's 3D table come
first (``sigma1``, ``sigma2`` a nominal spot width; ``chi2`` the deviance per pixel; ``bkgstd`` the square
root of the background), then ours: one σ per axis, probability, and two that make the file
self-describing: ``sigma_source`` (0 none, 1 network, 2 crlb, 3 fit) and ``pixel [nm]``, which tells the
reader the half pixel. Numbers are fixed-point, as ThunderSTORM's parser needs them.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from ..emitters import Emitters, Localizations, SigmaSource
from ..errors import InputError
from .header import NOMINAL_PSF_SIGMA_PX, TableHeader
from .parts import write_text_atomically

__all__ = ["ThunderstormFile", "read_thunderstorm", "read_thunderstorm_truth"]

SIGMA_SOURCES: tuple[SigmaSource, ...] = get_args(SigmaSource)
Columns = dict[str, tuple[Any, str]]


class ThunderstormFile:
    """A growing CSV of localizations (or, `truth`, of emitters): whole blocks only.

    ``NAME.part.json`` beside the growing file counts frames, rows and bytes done; what lies beyond
    that count is an unfinished block.
    """

    def __init__(self, path: Path, header: TableHeader, *, truth: bool = False) -> None:
        self.path, self.header = path, header
        self._empty: Localizations | Emitters = Emitters.empty() if truth else Localizations.empty()
        self._bytes = 0

    @property
    def _progress(self) -> Path:
        return self.path.with_suffix(".json")

    def companions(self, path: Path) -> list[Path]:
        """All files that make up a table named `path`."""
        return [path]

    def create(self) -> None:
        """Start a table of one line, the column names."""
        names = ",".join(f'"{name}"' for name in _columns(self._empty, self.header, 0))
        self._bytes = len(names.encode()) + 1
        self.path.write_bytes(names.encode() + b"\n")
        self._save_progress(0, 0)

    def resume(self) -> tuple[int, int]:
        """Drop rows of an unfinished block; returns frames and rows done.

        Raises InputError where the progress file is missing or belongs to another recording.
        """
        try:
            done = json.loads(self._progress.read_text(encoding="utf-8"))
            frames, rows, size = int(done["frames_done"]), int(done["rows_done"]), int(done["bytes"])
            recording = done["recording"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.path} cannot be resumed: {self._progress.name} beside it, which counts what is done, "
                f"cannot be read ({error}); start again with --overwrite"
            ) from error
        if recording != self._recording():
            raise InputError(
                f"{self.path} belongs to another recording ({recording}, now {self._recording()}); "
                "give the same movie, or start again with --overwrite"
            )
        if self.path.stat().st_size < size:
            raise InputError(
                f"{self.path} has lost {size - self.path.stat().st_size} bytes; start with --overwrite"
            )
        os.truncate(self.path, size)
        self._bytes = size
        return frames, rows

    def append(self, table: Localizations | Emitters, *, frames_done: int, first_row: int) -> None:
        """Add a block; the count of frames done is raised only when its rows are on the disk."""
        if type(table) is not type(self._empty):
            raise ValueError(f"this file holds {type(self._empty).__name__}, not {type(table).__name__}")
        text = _lines(_columns(table, self.header, first_row))
        with self.path.open("r+b") as handle:
            handle.seek(self._bytes)
            handle.truncate()
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        self._bytes += len(text)
        self._save_progress(frames_done, first_row + len(table))

    def forget_progress(self) -> None:
        """The table is complete: nothing is left to resume."""
        self._progress.unlink(missing_ok=True)

    def _recording(self) -> dict[str, Any]:
        header = self.header
        return {"pixel_nm": header.pixel_nm, "frames": header.frames, "shape": list(header.shape)}

    def _save_progress(self, frames: int, rows: int) -> None:
        done = {"frames_done": frames, "rows_done": rows, "bytes": self._bytes, "recording": self._recording()}
        write_text_atomically(self._progress, json.dumps(done))


def read_thunderstorm(path: Path, pixel_um: float | None = None) -> tuple[Localizations, TableHeader]:
    """Read a ThunderSTORM table of localizations in 3D (columns it lacks are 0, its probability 1).

    pixel_um: used where the file does not name its pixel size; 0.0 takes positions as they stand.
    Raises InputError for missing columns, text in place of numbers, or an unknown pixel size.
    """
    columns = _read_columns(path)
    half, pixel = _half_pixel_nm(columns, path, pixel_um)
    both = _first(columns, ("uncertainty_xy [nm]", "uncertainty [nm]"), 0.0)
    sigma = np.stack(
        [
            columns.get("std_x [nm]", both),
            columns.get("std_y [nm]", both),
            _first(columns, ("uncertainty_z [nm]",), 0.0),
        ]
    )
    code = columns.get("sigma_source")
    source: SigmaSource = "fit" if np.any(sigma > 0) else "none"
    if code is not None and len(code) and 0 <= code[0] < len(SIGMA_SOURCES):
        source = SIGMA_SOURCES[int(code[0])]
    table = Localizations(
        xyz=_positions(columns, half),
        frame=_frames(columns),
        photons=_tensor(_first(columns, ("intensity [photon]", "intensity [au]"), 0.0)),
        background=_tensor(_first(columns, ("offset [photon]",), 0.0)),
        probability=_tensor(_first(columns, ("prob",), 1.0)),
        sigma_xyz=_tensor(np.nan_to_num(sigma.T / 1000, posinf=0.0)),
        sigma_photons=_tensor(_first(columns, ("std_intensity [photon]",), 0.0)),
        sigma_background=_tensor(_first(columns, ("std_offset [photon]",), 0.0)),
        fit_quality=_tensor(_first(columns, ("chi2",), 0.0)),
        sigma_source=source,
    )
    return table, TableHeader.around(table, pixel)


def read_thunderstorm_truth(path: Path, pixel_um: float | None = None) -> Emitters:
    """Read a ThunderSTORM table as true emitters (molecules are told apart by ``id``).

    pixel_um and errors as in `read_thunderstorm`.
    """
    columns = _read_columns(path)
    half, _ = _half_pixel_nm(columns, path, pixel_um)
    blur = columns.get("blur [px]")
    count = len(columns["frame"])
    return Emitters(
        xyz=_positions(columns, half),
        frame=_frames(columns),
        photons=_tensor(_first(columns, ("intensity [photon]", "intensity [au]"), 0.0)),
        id=torch.from_numpy(columns.get("id", np.arange(count, dtype=np.float64)).astype(np.int64)),
        blur_px=_tensor(blur) if blur is not None and count and (blur >= 0).all() else None,
    )


def _columns(table: Localizations | Emitters, header: TableHeader, first_row: int) -> Columns:
    """Every column of the file: name -> (values or one constant, format)."""
    nm = table.xyz.double().cpu().numpy() * 1000
    half, spot = header.pixel_nm / 2, NOMINAL_PSF_SIGMA_PX * header.pixel_nm
    truth = isinstance(table, Emitters)
    number = _numbers(table.id) if truth else np.arange(first_row, first_row + len(table)) + 1
    columns: Columns = {
        "id": (number, "%d"),
        "frame": (_numbers(table.frame) + 1, "%d"),
        "x [nm]": (nm[:, 0] + half, "%.4f"),
        "y [nm]": (nm[:, 1] + half, "%.4f"),
        "z [nm]": (nm[:, 2], "%.4f"),
        "sigma1 [nm]": (spot, "%.3f"),
        "sigma2 [nm]": (spot, "%.3f"),
        "intensity [photon]": (_numbers(table.photons), "%.4f"),
    }
    columns |= _truth_columns(table) if isinstance(table, Emitters) else _found_columns(table)
    return columns | {"pixel [nm]": (header.pixel_nm, "%.6f")}


def _truth_columns(table: Emitters) -> Columns:
    blur = -1.0 if table.blur_px is None else _numbers(table.blur_px)
    return {
        "offset [photon]": (0.0, "%.4f"),
        "uncertainty_xy [nm]": (0.0, "%.4f"),
        "blur [px]": (blur, "%.6f"),  # −1: the PSF's own
    }


def _found_columns(table: Localizations) -> Columns:
    sigma = table.sigma_xyz.double().cpu().numpy() * 1000
    background = _numbers(table.background)
    return {
        "offset [photon]": (background, "%.4f"),
        "bkgstd [photon]": (np.sqrt(np.maximum(background, 0)), "%.4f"),
        "chi2": (_numbers(table.fit_quality), "%.6f"),
        "uncertainty_xy [nm]": (np.sqrt((sigma[:, 0] ** 2 + sigma[:, 1] ** 2) / 2), "%.4f"),
        "uncertainty_z [nm]": (sigma[:, 2], "%.4f"),
        "detections": (1, "%d"),
        "prob": (_numbers(table.probability), "%.7f"),
        "std_x [nm]": (sigma[:, 0], "%.4f"),
        "std_y [nm]": (sigma[:, 1], "%.4f"),
        "std_intensity [photon]": (_numbers(table.sigma_photons), "%.4f"),
        "std_offset [photon]": (_numbers(table.sigma_background), "%.4f"),
        "sigma_source": (SIGMA_SOURCES.index(table.sigma_source), "%d"),
    }


def _numbers(column: torch.Tensor) -> NDArray[Any]:
    return column.double().cpu().numpy()


def _lines(columns: Columns) -> bytes:
    rows = len(columns["frame"][0])
    values = np.empty((rows, len(columns)))
    for index, (name, (column, _)) in enumerate(columns.items()):
        values[:, index] = column
        if not np.isfinite(values[:, index]).all():
            raise ValueError(f"column {name} has NaN or infinite values")
    text = io.BytesIO()
    np.savetxt(text, values, fmt=",".join(form for _, form in columns.values()))
    return text.getvalue()


def _read_columns(path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            names = [name.strip() for name in next(csv.reader([handle.readline()]), [])]
            _check_names(names, path)
            position = handle.tell()
            if not handle.readline().strip():
                return {name: np.zeros(0) for name in names}
            handle.seek(position)
            values = np.loadtxt(handle, delimiter=",", ndmin=2, comments=None, quotechar='"')
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file, so not a CSV table") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: a row cannot be read as numbers ({error})") from error
    if values.shape[1] != len(names):
        raise InputError(f"{path}: rows have {values.shape[1]} values, the header names {len(names)} columns")
    return {name: values[:, index] for index, name in enumerate(names)}


def _check_names(names: Sequence[str], path: Path) -> None:
    missing = [name for name in ("frame", "x [nm]", "y [nm]", "z [nm]") if name not in names]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; the columns are {', '.join(names) or '(none)'}. "
            "Known tables: ThunderSTORM CSV in 3D and nm (.csv), Picasso (.hdf5), smappy (.h5)"
        )


def _half_pixel_nm(
    columns: dict[str, NDArray[np.float64]], path: Path, pixel_um: float | None
) -> tuple[float, float]:
    """Half a pixel in nm, and the pixel in µm (1 µm stands in where it does not matter)."""
    named = columns.get("pixel [nm]")
    if named is not None and len(named):
        return float(named[0]) / 2, float(named[0]) / 1000
    if pixel_um is None and len(columns["frame"]):
        raise InputError(
            f"{path}: the table does not say its pixel size, and ThunderSTORM counts from the corner of the "
            "first pixel, half a pixel from ours; give the pixel size"
        )
    return (pixel_um or 0.0) * 500, pixel_um or 1.0


def _positions(columns: dict[str, NDArray[np.float64]], half: float) -> torch.Tensor:
    xyz = np.stack([columns["x [nm]"] - half, columns["y [nm]"] - half, columns["z [nm]"]], axis=1) / 1000
    bad = ~np.isfinite(xyz).all(axis=1)
    if bad.any():
        raise InputError(
            f"row {int(np.argmax(bad)) + 1} has no finite position ({int(bad.sum())} such rows); drop them"
        )
    return _tensor(xyz)


def _frames(columns: dict[str, NDArray[np.float64]]) -> torch.Tensor:
    frame = columns["frame"]
    if len(frame) and not (np.isfinite(frame).all() and frame.min() >= 1):
        raise InputError(f"frames count from 1 in a ThunderSTORM table; the smallest here is {frame.min():g}")
    return torch.from_numpy(frame.astype(np.int64) - 1)


def _first(
    columns: dict[str, NDArray[np.float64]], names: Sequence[str], missing: float
) -> NDArray[np.float64]:
    found = next((columns[name] for name in names if name in columns), np.full(len(columns["frame"]), missing))
    return np.nan_to_num(found, nan=missing, posinf=missing, neginf=missing)


def _tensor(values: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))
