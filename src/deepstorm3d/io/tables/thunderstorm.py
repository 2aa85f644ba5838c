"""ThunderSTORM CSV tables: nm from the corner of the first pixel, frames from 1, quoted column names.

A position there is (j + 0.5)·pixel where ours is j·pixel. The columns of ThunderSTORM's 3D table come
first (``sigma1``, ``sigma2`` a nominal spot width; ``chi2`` the deviance per pixel; ``bkgstd`` the square
root of the background; ``detections`` 1 in a list that was not linked, and a list in which all are 1 is read
as one), then ours: one σ per axis, probability, and two that make the file self-describing:
``sigma_source`` (0 none, 1 network, 2 crlb, 3 fit) and ``pixel [nm]``, which tells the reader the half
pixel; ``track`` in a list that was tracked, ``molecule`` in one whose molecules were fitted over several frames
(rows with one number share a position), ``share``, ``dye`` and what is known of their errors in one of two
channels. Numbers are fixed-point, as ThunderSTORM's parser needs them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from ...emitters import Emitters, Localizations, SigmaSource
from ...errors import InputError
from ..parts import replaced_when_whole
from .columns import FRACTIONS, NM, Columns, pixel_size, sigma_source
from .csv_table import column_names, csv_lines, read_csv
from .growing import other_sigma
from .header import NOMINAL_PSF_SIGMA_PX, TableHeader, refuse_other_settings
from .units import in_nanometres, named_alike, only_photons, plain_name

__all__ = ["ThunderstormFile", "is_thunderstorm", "read_thunderstorm", "read_thunderstorm_truth"]

POSITIONS = ("x [nm]", "y [nm]", "z [nm]")
LENGTHS = ("x", "y", "z", "uncertainty_xy", "uncertainty", "uncertainty_z", "std_x", "std_y")
PHOTONS = ("intensity", "offset", "bkgstd", "std_intensity", "std_offset")
FURTHER = ("id", "frame", "sigma", "sigma1", "sigma2", "chi2", "detections", "prob", "sigma_source", "pixel")
OF_LISTS = ("blur", "track", "molecule", "dye", *FRACTIONS)
KNOWN = {*LENGTHS, *PHOTONS, *FURTHER, *OF_LISTS}
"""Columns of ThunderSTORM's and ours, without their units."""
ORIGIN_PX = 0.5
"""Where the file has the centre of the first pixel."""
SIGMA_SOURCES: tuple[SigmaSource, ...] = get_args(SigmaSource)
Formatted = dict[str, tuple[Any, str]]


class ThunderstormFile:
    """A growing CSV of localizations or of true emitters: whole blocks only.

    ``NAME.part.json`` beside the growing file counts frames, rows and bytes done; what lies beyond
    that count is an unfinished block.
    like: a table (without rows, too) of the kind of all blocks to come.
    """

    def __init__(self, path: Path, header: TableHeader, like: Localizations | Emitters) -> None:
        self.path, self.header = path, header
        self._empty = like.select(slice(0))
        self._sigma_source = "none"
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

        Raises InputError where the progress file is missing, or belongs to another recording or settings.
        """
        try:
            done = json.loads(self._progress.read_text(encoding="utf-8"))
            frames, rows, size = int(done["frames_done"]), int(done["rows_done"]), int(done["bytes"])
            recording = done["recording"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.path} cannot be resumed: {self._progress.name} beside it, which counts what is done, "
                f"cannot be read ({error})",
                "start again (`overwrite=True`)",
            ) from error
        here = self._recording()
        # A movie that is still being recorded may have grown since.
        if {**recording, "frames": 0} != {**here, "frames": 0} or recording["frames"] > here["frames"]:
            raise InputError(
                f"{self.path} belongs to another recording ({recording}, now {here})",
                "give the same movie, or start again (`overwrite=True`)",
            )
        refuse_other_settings(self.path, done.get("settings"), self.header)
        if list(column_names(self.path)) != list(_columns(self._empty, self.header, 0)):
            raise InputError(
                f"{self.path} was begun with other columns than those to come",
                "go on with the settings of the interrupted run, or start again (`overwrite=True`)",
            )
        if self.path.stat().st_size < size:
            raise InputError(
                f"{self.path} has lost {size - self.path.stat().st_size} bytes",
                "start again (`overwrite=True`)",
            )
        self._sigma_source = done.get("sigma_source", "none")  # parts of earlier versions do not say it
        if isinstance(self._empty, Localizations):
            self._refuse_other_sigma(self._empty)
        os.truncate(self.path, size)
        self._bytes = size
        return frames, rows

    def append(self, table: Localizations | Emitters, *, frames_done: int, first_row: int) -> None:
        """Add a block; the count of frames done is raised only when its rows are on the disk.

        Raises InputError where its σ come from elsewhere than those of the rows before.
        """
        if type(table) is not type(self._empty):
            raise ValueError(f"this file holds {type(self._empty).__name__}, not {type(table).__name__}")
        columns = _columns(table, self.header, first_row)
        if len(table) and list(columns) != list(_columns(self._empty, self.header, 0)):
            raise ValueError("all blocks of a table have the same columns")
        if len(table) and isinstance(table, Localizations):
            self._refuse_other_sigma(table)
            self._sigma_source = table.sigma_source
        text = csv_lines(columns, len(table))
        with self.path.open("r+b") as handle:
            handle.seek(self._bytes)
            handle.truncate()
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        self._bytes += len(text)
        self._save_progress(frames_done, first_row + len(table))

    def written(self) -> Iterator[Localizations | Emitters]:
        """The rows so far, all at once."""
        read = read_thunderstorm if isinstance(self._empty, Localizations) else read_thunderstorm_truth
        yield read(self.path, self.header.pixel_um)[0]

    def set_frames(self, frames: int) -> None:
        """The format does not hold the number of frames."""

    def describe(self, provenance: Mapping[str, Any]) -> None:
        """The format does not hold how the rows were made."""

    def forget_progress(self) -> None:
        """The table is complete: nothing is left to resume."""
        self._progress.unlink(missing_ok=True)

    def _refuse_other_sigma(self, table: Localizations) -> None:
        there, here = self._sigma_source, table.sigma_source
        if "none" not in (there, here) and there != here:
            raise other_sigma(self.path, there, here)

    def _recording(self) -> dict[str, Any]:
        header = self.header
        return {"pixel_nm": header.pixel_nm, "frames": header.frames, "shape": list(header.shape)}

    def _save_progress(self, frames: int, rows: int) -> None:
        done = {
            "frames_done": frames,
            "rows_done": rows,
            "bytes": self._bytes,
            "sigma_source": self._sigma_source,
            "recording": self._recording(),
            "settings": self.header.settings,
        }
        with replaced_when_whole(self._progress) as temporary:
            temporary.write_text(json.dumps(done), encoding="utf-8")


def is_thunderstorm(names: Sequence[str]) -> bool:
    """Whether a CSV with these columns is ThunderSTORM's."""
    return any(plain_name(name).startswith("x [") for name in names)


def read_thunderstorm(path: Path, pixel_um: float | None = None) -> tuple[Localizations, TableHeader]:
    """Read a ThunderSTORM table of localizations in 3D (columns it lacks are 0).

    pixel_um: used where the file does not name its pixel size; 0.0 takes positions as they stand.
    Raises InputError for missing columns, text in place of numbers, a doubled column, or an
    unknown pixel size.
    """
    columns, pixel = _read(path, pixel_um)
    both = ("uncertainty_xy [nm]", "uncertainty [nm]")
    names = (("std_x [nm]", *both), ("std_y [nm]", *both), ("uncertainty_z [nm]",))
    sigma = columns.sigmas(names, unit_um=NM)
    detections = columns.detections("detections")
    table = Localizations(
        xyz=_positions(columns, pixel),
        frame=_frames(columns),
        photons=columns.amount("intensity [photon]"),
        background=columns.tensor("offset [photon]"),
        probability=columns.amount("prob", most=1.0),
        sigma_xyz=sigma,
        sigma_photons=columns.amount("std_intensity [photon]"),
        sigma_background=columns.amount("std_offset [photon]"),
        fit_quality=columns.amount("chi2"),
        sigma_source=sigma_source(_named_source(columns), sigma),
        detections=detections if detections is not None and (detections > 1).any() else None,
        track=columns.tracks("track"),
        molecule=columns.molecules("molecule"),
        **columns.of_channels(),
    )
    return table, TableHeader.around(table, pixel or 1.0, columns.notes)


def read_thunderstorm_truth(path: Path, pixel_um: float | None = None) -> tuple[Emitters, TableHeader]:
    """Read a ThunderSTORM table as true emitters (molecules are told apart by ``id``).

    pixel_um and errors as in `read_thunderstorm`.
    """
    columns, pixel = _read(path, pixel_um)
    blur = columns.numbers("blur [px]", missing=-1.0)
    number = columns.numbers("id") if "id" in columns else np.arange(len(columns))
    truth = Emitters(
        xyz=_positions(columns, pixel),
        frame=_frames(columns),
        photons=columns.tensor("intensity [photon]"),
        id=torch.from_numpy(number.astype(np.int64)),
        blur_px=columns.tensor("blur [px]") if len(columns) and (blur >= 0).all() else None,
        dye=columns.of_channels()["dye"],
    )
    return truth, TableHeader.around(truth, pixel or 1.0, columns.notes)


def _read(path: Path, pixel_um: float | None) -> tuple[Columns, float]:
    """The columns and the pixel in µm."""
    columns = only_photons(named_alike(read_csv(path)), PHOTONS)
    names_it = "pixel [nm]" in columns and len(columns)
    named_um = float(columns.raw("pixel [nm]")[0]) / 1000 if names_it else None
    for name in ("x", "y", "z"):
        if f"{name} [nm]" not in columns and not any(each.startswith(f"{name} [") for each in columns.values):
            columns.require((f"{name} [nm]",), "ThunderSTORM table")
    pixel = pixel_size(path, named_um, pixel_um, rows=len(columns))
    columns = in_nanometres(columns, LENGTHS, pixel if len(columns) else 1.0)
    columns.require(("frame", *POSITIONS), "ThunderSTORM table")
    return _telling_unread(columns).placed(POSITIONS), pixel


def _telling_unread(columns: Columns) -> Columns:
    """With a note on columns of another program, which are not read."""
    unread = [name for name in columns.values if name and name.partition(" [")[0] not in KNOWN]
    if not unread:
        return columns
    names = ", ".join(unread[:5]) + (", …" if len(unread) > 5 else "")
    told = (
        f"{columns.path.name}: not ThunderSTORM's columns, and not read: {names}; if another program wrote "
        "the table: its positions are taken from the corner of the first pixel, its frames from 1"
    )
    return replace(columns, notes=(*columns.notes, told))


def _positions(columns: Columns, pixel_um: float) -> torch.Tensor:
    return columns.positions(POSITIONS, unit_um=NM, origin_um=ORIGIN_PX * pixel_um)


def _frames(columns: Columns) -> torch.Tensor:
    # Picasso's export for ThunderSTORM has neither the half pixel nor the frame base of ThunderSTORM.
    return columns.frames(first=1, hint="; a list that comes from Picasso is read from its .hdf5")


def _named_source(columns: Columns) -> SigmaSource | None:
    code = columns.numbers("sigma_source", missing=-1.0)
    known = "sigma_source" in columns and len(code) > 0 and 0 <= code[0] < len(SIGMA_SOURCES)
    return SIGMA_SOURCES[int(code[0])] if known else None


def _columns(table: Localizations | Emitters, header: TableHeader, first_row: int) -> Formatted:
    """Every column of the file: name -> (values or one constant, format)."""
    nm = table.xyz.double().cpu().numpy() * 1000
    half, spot = ORIGIN_PX * header.pixel_nm, NOMINAL_PSF_SIGMA_PX * header.pixel_nm
    truth = isinstance(table, Emitters)
    number = _numbers(table.id) if truth else np.arange(first_row, first_row + len(table)) + 1
    columns: Formatted = {
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


def _truth_columns(table: Emitters) -> Formatted:
    blur = -1.0 if table.blur_px is None else _numbers(table.blur_px)
    columns: Formatted = {
        "offset [photon]": (0.0, "%.4f"),
        "uncertainty_xy [nm]": (0.0, "%.4f"),
        "blur [px]": (blur, "%.6f"),  # −1: the PSF's own
    }
    return columns if table.dye is None else columns | {"dye": (_numbers(table.dye), "%d")}


def _found_columns(table: Localizations) -> Formatted:
    sigma = table.sigma_xyz.double().cpu().numpy() * 1000
    background = _numbers(table.background)
    found: Formatted = {
        "offset [photon]": (background, "%.4f"),
        "bkgstd [photon]": (np.sqrt(np.maximum(background, 0)), "%.4f"),
        "chi2": (_numbers(table.fit_quality), "%.6f"),
        "uncertainty_xy [nm]": (np.sqrt((sigma[:, 0] ** 2 + sigma[:, 1] ** 2) / 2), "%.4f"),
        "uncertainty_z [nm]": (sigma[:, 2], "%.4f"),
        "detections": (1 if table.detections is None else _numbers(table.detections), "%d"),
        "prob": (_numbers(table.probability), "%.7f"),
        "std_x [nm]": (sigma[:, 0], "%.4f"),
        "std_y [nm]": (sigma[:, 1], "%.4f"),
        "std_intensity [photon]": (_numbers(table.sigma_photons), "%.4f"),
        "std_offset [photon]": (_numbers(table.sigma_background), "%.4f"),
        "sigma_source": (SIGMA_SOURCES.index(table.sigma_source), "%d"),
    }
    if table.track is not None:
        found["track"] = (_numbers(table.track), "%d")
    if table.molecule is not None:
        found["molecule"] = (_numbers(table.molecule), "%d")
    for name in FRACTIONS:
        if (fraction := getattr(table, name)) is not None:
            found[name] = (_numbers(fraction), "%.7f")
    if table.dye is not None:
        found["dye"] = (_numbers(table.dye), "%d")
    return found


def _numbers(column: torch.Tensor) -> NDArray[Any]:
    return column.double().cpu().numpy()
