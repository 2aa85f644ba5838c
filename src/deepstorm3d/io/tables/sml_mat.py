"""SMAP ``_sml.mat`` tables, read only: the fields of ``saveloc.loc``, in MATLAB 7 or 7.3 (HDF5) files.

Fields, units, origin and frame base are those of SMAP's CSV (`smap`); the pixel size is
``saveloc.file.info.cam_pixelsize_um`` of the first file. A table that SMAP has split into ``_sml_p1.mat``,
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
from .smap import smap_localizations

__all__ = ["read_sml_mat"]

_DAMAGED = (ValueError, TypeError, OSError, EOFError, KeyError, IndexError, NotImplementedError, zlib.error)
"""What SciPy raises, besides its own error, on a file that is cut or none of MATLAB's."""
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def read_sml_mat(path: Path, pixel_um: float | None = None) -> tuple[Localizations, TableHeader]:
    """Read a 3D table (fields it lacks are 0).

    pixel_um: used where the file does not name its pixel size; 0.0 takes positions as they stand.
    Raises InputError for another MATLAB file, a damaged or split one, missing fields, or an
    unknown pixel size.
    """
    if re.search(r"_sml_p\d+$", path.stem):
        raise InputError(
            f"{path} is one part of a table that SMAP has split",
            "open it in SMAP and save it as CSV, or in one file",
        )
    fields, named = _read_mat73(path) if _is_mat73(path) else _read_mat(path)
    # A 2D table has an empty znm: that is no column.
    columns = Columns(path, {name: values for name, values in fields.items() if len(values)} or fields)
    return smap_localizations(columns, pixel_size(path, named, pixel_um, rows=len(columns)))


def _is_mat73(path: Path) -> bool:
    """HDF5 begins at byte 512 there, behind MATLAB's own lines (at 0 where another program wrote it)."""
    with path.open("rb") as handle:
        first = handle.read(520)
    return first.startswith(HDF5_MAGIC) or first[512:] == HDF5_MAGIC


def _read_mat(path: Path) -> tuple[dict[str, NDArray[Any]], float | None]:
    """Fields (N,) and pixel µm of a MATLAB 7 file."""
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
    first = files[0] if isinstance(files, np.ndarray | list) and len(files) else files
    size = _inside(first, "info", "cam_pixelsize_um")
    return {name: np.ravel(values) for name, values in loc.items()}, _first_number(size)


def _inside(mapping: Any, *names: str) -> Any:
    """One field of nested structs, None where there is none."""
    for name in names:
        mapping = mapping.get(name) if isinstance(mapping, dict) else None
    return mapping


def _read_mat73(path: Path) -> tuple[dict[str, NDArray[Any]], float | None]:
    """Fields (N,) and pixel µm of a MATLAB 7.3 file."""
    import h5py

    with reading(path) as file:
        loc = file.get("saveloc/loc")
        if not isinstance(loc, h5py.Group):
            raise _foreign(path)
        fields = {str(name): _array(loc[name]) for name in loc if isinstance(loc[name], h5py.Dataset)}
        info = file.get("saveloc/file/info")
        if isinstance(info, h5py.Dataset):  # several files: a reference to the info of each
            references = np.ravel(info[()])
            info = file[references[0]] if info.dtype.kind == "O" and len(references) else None
        size = info.get("cam_pixelsize_um") if isinstance(info, h5py.Group) else None
        return fields, _first_number(_array(size)) if isinstance(size, h5py.Dataset) else None


def _array(dataset: Any) -> NDArray[Any]:
    """(N,); MATLAB writes an empty array as its size, marked by an attribute."""
    return np.zeros(0) if dataset.attrs.get("MATLAB_empty", 0) else np.ravel(dataset[()])


def _first_number(values: Any) -> float | None:
    numbers = np.ravel(np.asarray(values))
    return float(numbers[0]) if numbers.dtype.kind in "fiu" and len(numbers) else None


def _foreign(path: Path) -> InputError:
    return InputError(f"{path}: no SMAP table in this MATLAB file; saveloc.loc is missing")
