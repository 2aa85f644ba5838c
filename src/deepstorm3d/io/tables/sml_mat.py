"""SMAP ``_sml.mat`` tables, read only: the fields of ``saveloc.loc``, in MATLAB 7 or 7.3 (HDF5) files.

Fields, units, origin and frame base are those of SMAP's CSV (`smap`); the pixel size is
``saveloc.file.info.cam_pixelsize_um`` of their recording. A table that SMAP has split into ``_sml_p1.mat``,
``_sml_p2.mat``, … is refused: one part of it would pass for the whole.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...emitters import Localizations
from ...errors import InputError
from .columns import Columns, pixel_size
from .hdf5 import reading
from .header import TableHeader
from .smap import recording_of, smap_localizations

__all__ = ["read_sml_mat"]

_DAMAGED = (ValueError, TypeError, OSError, EOFError, KeyError, IndexError, NotImplementedError, zlib.error)
"""What SciPy raises, besides its own error, on a file that is cut or none of MATLAB's."""
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def read_sml_mat(path: Path, pixel_um: float | None = None) -> tuple[Localizations, TableHeader]:
    """Read a 3D table (fields it lacks are 0).

    pixel_um: used where the file does not name its pixel size; 0.0 takes positions as they stand.
    Raises InputError for another MATLAB file, a damaged or split one, missing fields, rows of several
    recordings, or an unknown pixel size.
    """
    if re.search(r"_sml_p\d+$", path.stem):
        raise InputError(
            f"{path} is one part of a table that SMAP has split",
            "open it in SMAP and save it as CSV, or in one file",
        )
    fields, sizes = _read_mat73(path) if _is_mat73(path) else _read_mat(path)
    # A 2D table has an empty znm: that is no column.
    columns = Columns(path, {name: values for name, values in fields.items() if len(values)} or fields)
    number = recording_of(columns)
    named = sizes[number - 1] if 0 < number <= len(sizes) else None
    return smap_localizations(columns, pixel_size(path, named, pixel_um, rows=len(columns)))


def _is_mat73(path: Path) -> bool:
    """HDF5 begins at byte 512 there, behind MATLAB's own lines (at 0 where another program wrote it)."""
    with path.open("rb") as handle:
        first = handle.read(520)
    return first.startswith(HDF5_MAGIC) or first[512:] == HDF5_MAGIC


def _read_mat(path: Path) -> tuple[dict[str, NDArray[Any]], list[float | None]]:
    """Fields (N,) of a MATLAB 7 file, and the pixel of each recording, µm."""
    import scipy.io
    from scipy.io.matlab import MatReadError

    try:
        found = scipy.io.loadmat(path, variable_names=["saveloc"], simplify_cells=True)
    except (*_DAMAGED, MatReadError) as error:
        raise InputError(f"{path}: not a MATLAB file, or damaged ({error})") from error
    loc: Any = _inside(found, "saveloc", "loc")
    if not hasattr(loc, "items"):
        raise _foreign(path)
    files = _inside(found, "saveloc", "file")
    each = files if isinstance(files, np.ndarray | list) else [files]
    sizes = [_first_number(_inside(file, "info", "cam_pixelsize_um")) for file in each]
    return {name: np.ravel(values) for name, values in loc.items()}, sizes


def _inside(mapping: Any, *names: str) -> Any:
    """One field of nested structs, None where there is none."""
    for name in names:
        mapping = mapping.get(name) if isinstance(mapping, dict) else None
    return mapping


def _read_mat73(path: Path) -> tuple[dict[str, NDArray[Any]], list[float | None]]:
    """Fields (N,) of a MATLAB 7.3 file, and the pixel of each recording, µm."""
    import h5py

    with reading(path) as file:
        loc = file.get("saveloc/loc")
        if not isinstance(loc, h5py.Group):
            raise _foreign(path)
        fields = {str(name): _array(loc[name]) for name in loc if isinstance(loc[name], h5py.Dataset)}
        each = [file.get("saveloc/file/info")]
        if isinstance(each[0], h5py.Dataset):  # several recordings: a reference to the info of each
            references = np.ravel(each[0][()])
            each = [file[reference] for reference in references] if each[0].dtype.kind == "O" else []
        sizes = [info.get("cam_pixelsize_um") if isinstance(info, h5py.Group) else None for info in each]
        return fields, [_first_number(_array(s)) if isinstance(s, h5py.Dataset) else None for s in sizes]


def _array(dataset: Any) -> NDArray[Any]:
    """(N,); MATLAB writes an empty array as its size, marked by an attribute."""
    return np.zeros(0) if dataset.attrs.get("MATLAB_empty", 0) else np.ravel(dataset[()])


def _first_number(values: Any) -> float | None:
    numbers = np.ravel(np.asarray(values))
    return float(numbers[0]) if numbers.dtype.kind in "fiu" and len(numbers) else None


def _foreign(path: Path) -> InputError:
    return InputError(f"{path}: no SMAP table in this MATLAB file; saveloc.loc is missing")
