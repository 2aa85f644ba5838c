"""The native table: HDF5 that Picasso opens as its own, with our extra columns and provenance inside.

Picasso's convention: x, y in camera pixels with 0.0 at the centre of the first pixel, x = column; z and
lpz in nm; lpx, lpy in pixels; frames from 0. Beyond its columns we write lpz, prob, sigma_photons,
sigma_bg and fit_quality (``sx``, ``sy`` are a nominal constant). The group ``/deepstorm3d`` holds the
provenance.

Never NaN: Picasso drops a row with NaN in any column without a word. It also drops rows with x or y
below 0 (a molecule in the outer half of the first pixel), x ≥ Width or y ≥ Height. Those rows are kept
here, since they are real; Picasso shows the table without them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from .. import __version__
from ..emitters import Localizations, SigmaSource
from ..errors import InputError
from .header import FRAME_BASE_NOTE, NOMINAL_PSF_SIGMA_PX, TableHeader
from .parts import reserve_space

__all__ = ["PicassoFile", "read_picasso", "sidecar_path"]

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
CHUNK_ROWS = 4096
SPARE_BYTES = 2**20
"""More than one rewritten chunk and the index of chunks can need."""
PRIVATE = "deepstorm3d"


def sidecar_path(path: Path) -> Path:
    """The YAML file that Picasso before 0.11 needs beside the table."""
    return path.with_suffix(".yaml")


class PicassoFile:
    """A growing Picasso file: closed between blocks, so that it can be read at any time.

    The group ``/deepstorm3d`` counts frames and rows done; rows beyond that count are an unfinished block.
    """

    def __init__(self, path: Path, header: TableHeader) -> None:
        self.path, self.header = path, header

    def companions(self, path: Path) -> list[Path]:
        """All files that make up a table named `path`, the table first."""
        return [path, sidecar_path(path)]

    def create(self) -> None:
        """Start an empty table."""
        reserve_space(self.path, SPARE_BYTES)
        with _opened(self.path, "w") as file:
            file.create_dataset(
                "locs",
                shape=(0,),
                maxshape=(None,),
                dtype=ROW,
                chunks=(CHUNK_ROWS,),
                compression="gzip",
                shuffle=True,
            )
            file.create_dataset("metadata", data=json.dumps([_info(self.header)]))
            private = file.create_group(PRIVATE)
            private.create_dataset("provenance", data=json.dumps(dict(self.header.provenance), default=str))
            private.attrs.update(
                {
                    "format_version": 1,
                    "origin": "centre of the first pixel",
                    "axis_order": "xyz",
                    "pixel_um": self.header.pixel_um,
                    "sigma_source": "none",
                    "frames_done": 0,
                    "rows_done": 0,
                }
            )
        info = yaml.safe_dump_all([_info(self.header)], sort_keys=False)
        sidecar_path(self.path).write_text(info, encoding="utf-8")

    def resume(self) -> tuple[int, int]:
        """Drop rows of an unfinished block; returns frames and rows done.

        Raises InputError where the file is damaged or belongs to another recording.
        """
        try:
            with _opened(self.path, "r+") as file:
                if PRIVATE not in file:
                    raise InputError(f"{self.path} was not written by this program; it cannot be resumed")
                done, info = file[PRIVATE].attrs, json.loads(_text(file["metadata"]))[0]
                here = _info(self.header)
                for key in ("Width", "Height", "Frames", "Pixelsize"):
                    if info[key] != here[key]:
                        raise InputError(
                            f"{self.path} belongs to another recording ({key} {info[key]}, now {here[key]}); "
                            "give the same movie, or start again with --overwrite"
                        )
                frames, rows = int(done["frames_done"]), int(done["rows_done"])
                file["locs"].resize((rows,))
                return frames, rows
        except (OSError, KeyError) as error:
            raise InputError(
                f"{self.path} is damaged and cannot be resumed ({error}); start again with --overwrite"
            ) from error

    def append(self, table: Localizations, *, frames_done: int, first_row: int) -> None:
        """Add a block; the count of frames done is raised only when its rows are in the file."""
        rows = _rows(table, self.header.pixel_um)
        reserve_space(self.path, 2 * rows.nbytes + SPARE_BYTES)
        with _opened(self.path, "r+") as file:
            private = file[PRIVATE].attrs
            _agree_on_sigma(private, table, first_row)
            locs = file["locs"]
            locs.resize((first_row + len(rows),))
            locs[first_row:] = rows
            file.flush()
            private["rows_done"] = first_row + len(rows)
            private["frames_done"] = frames_done

    def forget_progress(self) -> None:
        """The counts stay in the complete table, where they do no harm."""


def _agree_on_sigma(private: Any, table: Localizations, first_row: int) -> None:
    if not len(table):
        return
    if first_row and private["sigma_source"] != table.sigma_source:
        raise ValueError(f"rows with σ from '{table.sigma_source}' after rows from '{private['sigma_source']}'")
    private["sigma_source"] = table.sigma_source


def read_picasso(path: Path, pixel_um: float | None = None) -> tuple[Localizations, TableHeader]:
    """Read a Picasso table, ours or another program's (columns it lacks are 0, its probability 1).

    pixel_um: used where neither the file nor its YAML sidecar names the pixel size.
    Raises InputError for missing columns or an unknown pixel size.
    """
    with _opened(path, "r") as file:
        rows: NDArray[Any] = file["locs"][()]
        private = dict(file[PRIVATE].attrs) if PRIVATE in file else {}
        info = json.loads(_text(file["metadata"])) if "metadata" in file else _sidecar_info(path)
        provenance = json.loads(_text(file[f"{PRIVATE}/provenance"])) if f"{PRIVATE}/provenance" in file else {}
    names = rows.dtype.names or ()
    missing = [name for name in ("frame", "x", "y", "z") if name not in names]
    if missing:
        raise InputError(
            f"{path}: the Picasso table has no column {', '.join(missing)} (it has {', '.join(names)}); "
            "a 3D table is needed"
        )
    merged: dict[str, Any] = {}
    for part in info if isinstance(info, list) else [info]:
        merged |= part or {}
    if "pixel_um" in private:
        pixel_um = float(private["pixel_um"])
    elif merged.get("Pixelsize"):
        pixel_um = float(merged["Pixelsize"]) / 1000
    if pixel_um is None:
        raise InputError(
            f"{path}: neither the file nor {sidecar_path(path).name} gives Pixelsize; give the pixel size"
        )
    table = _table(rows, pixel_um, private.get("sigma_source"))
    if {"Width", "Height", "Frames"} <= merged.keys():
        shape = (int(merged["Height"]), int(merged["Width"]))
        return table, TableHeader(pixel_um, int(merged["Frames"]), shape, provenance)
    return table, TableHeader.around(table, pixel_um)


def _rows(table: Localizations, pixel_um: float) -> NDArray[Any]:
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
    rows = np.empty(len(table), dtype=ROW)
    for name, values in columns.items():
        rows[name] = values
        if not np.isfinite(rows[name]).all():
            raise ValueError(
                f"column {name} has NaN or infinite values; Picasso would drop these rows silently"
            )
    return rows


def _table(rows: NDArray[Any], pixel_um: float, sigma_source: Any) -> Localizations:
    names = rows.dtype.names or ()

    def column(name: str, missing: float = 0.0) -> NDArray[np.float64]:
        if name not in names:
            return np.full(len(rows), missing)
        return np.nan_to_num(rows[name].astype(np.float64), nan=missing, posinf=missing, neginf=missing)

    def tensor(values: NDArray[np.float64]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32))

    sigma = np.stack([column("lpx") * pixel_um, column("lpy") * pixel_um, column("lpz") / 1000], axis=1)
    known: SigmaSource = (
        sigma_source if sigma_source in get_args(SigmaSource) else "fit" if sigma.any() else "none"
    )
    return Localizations(
        xyz=tensor(np.stack([column("x") * pixel_um, column("y") * pixel_um, column("z") / 1000], axis=1)),
        frame=torch.from_numpy(rows["frame"].astype(np.int64)),
        photons=tensor(column("photons")),
        background=tensor(column("bg")),
        probability=tensor(column("prob", 1.0)),
        sigma_xyz=tensor(sigma),
        sigma_photons=tensor(column("sigma_photons")),
        sigma_background=tensor(column("sigma_bg")),
        fit_quality=tensor(column("fit_quality")),
        sigma_source=known,
    )


def _info(header: TableHeader) -> dict[str, Any]:
    """Picasso's description of the recording."""
    return {
        "Generated by": f"deepstorm3d {__version__}",
        "Width": header.shape[1],
        "Height": header.shape[0],
        "Frames": header.frames,
        "Pixelsize": header.pixel_nm,
        "Convention": f"0.0 is the centre of the first pixel; {FRAME_BASE_NOTE}",
    }


def _sidecar_info(path: Path) -> list[dict[str, Any]]:
    sidecar = sidecar_path(path)
    if not sidecar.is_file():
        return []
    try:
        documents = list(yaml.safe_load_all(sidecar.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise InputError(f"{sidecar}: not valid YAML ({error})") from error
    return [document for document in documents if isinstance(document, dict)]


def _text(dataset: Any) -> str:
    value = dataset[()]
    return value.decode() if isinstance(value, bytes) else str(value)


@contextmanager
def _opened(path: Path, mode: Literal["r", "r+", "w"]) -> Iterator[Any]:
    """The file without HDF5's lock: a viewer that holds it open must not stop a run of hours."""
    file = _open_patiently(path, mode)
    try:
        yield file
    finally:
        file.close()


def _open_patiently(path: Path, mode: Literal["r", "r+", "w"]) -> Any:
    """Within one process HDF5 refuses to read and write a file at once: wait for the other thread's block."""
    import h5py

    for pause in (0.05, 0.2, 0.5, 1.0):
        try:
            return h5py.File(path, mode, locking=False)
        except OSError as error:
            if "already open" not in str(error):
                raise
            time.sleep(pause)
    return h5py.File(path, mode, locking=False)
