"""Phase masks in files: radians on the mask's own pixels, as .npy, .mat or .tif."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...front_door import public
from ..parts import claim_name, whole_file
from ..tiff_images import explained_tiff
from .modulator import read_modulator
from .plate import read_plate
from .sidecar import forget_sidecar, read_sidecar

__all__ = ["checked_phase", "claim_mask", "mask_sha256", "read_mask", "refuse_mask_ending", "write_mask"]

LARGEST_PHASE = 100.0
"""rad: no mask unwraps this far; degrees and 8-bit modulator levels do."""

LARGEST_WHOLE_PHASE = 7.0
"""rad: whole numbers beyond one turn are modulator levels, not radians."""


@public
def read_mask(path: str | Path) -> NDArray[np.float64]:
    """Read the phase of a mask.

    What ``export-mask`` wrote for a modulator or a plate is turned back into radians by the settings beside it.

    Parameters
    ----------
    path
        .npy: one 2D array; .mat: exactly one 2D numeric variable (any MATLAB version); .tif: one grey page.

    Returns
    -------
    (h, w) array
        Phase on the mask's own pixels, rad, row 0 at the top.

    Raises
    ------
    InputError
        For a missing or unreadable file, NaN, complex numbers, more or fewer than two dimensions, and values
        that are not radians (|phase| > 100, or whole numbers above 7).
    """
    path = Path(path)
    exported = read_sidecar(path)
    if exported is not None and path.is_file():
        reader = read_modulator if exported["kind"] == "slm" else read_plate
        return checked_phase(reader(path, exported), path)
    if not path.suffix and not path.exists():
        raise InputError(
            f"{path}: there is no such file; a mask is read from a .npy, .mat or .tif file",
            "a kind of mask is named in the experiment (mask.kind)",
        )
    if path.suffix.lower() not in _READERS:
        raise InputError(f"{path}: a mask is a .npy, .mat or .tif file, not '{path.suffix}'")
    if not path.is_file():
        raise InputError(f"{path}: there is no such mask file")
    return checked_phase(_READERS[path.suffix.lower()](path), path)


def mask_sha256(phase: Any) -> str:
    """The mask's fingerprint: SHA-256 of its shape and of its phase as little-endian float32.

    phase: (h, w) rad, array or tensor.  Saving and loading a mask in any of the formats keeps it.
    """
    values = np.ascontiguousarray(np.asarray(phase), dtype="<f4") + np.float32(0)  # −0 and 0 are one phase
    height, width = values.shape
    return hashlib.sha256(f"{height}x{width}:".encode() + values.tobytes()).hexdigest()


def claim_mask(path: Path, *, overwrite: bool) -> None:
    """Check, before any work is done, that a mask may be written there.

    Raises InputError as `refuse_mask_ending`, and for a name that is taken.
    """
    refuse_mask_ending(path)
    claim_name(path, overwrite=overwrite)


def refuse_mask_ending(path: Path) -> None:
    """Raise InputError for another ending than .npy, .mat or .tif."""
    if path.suffix.lower() not in _READERS:
        raise InputError(f"{path}: a mask is written as .npy, .mat or .tif, not '{path.suffix}'")


@public
def write_mask(path: str | Path, phase: Any, *, overwrite: bool = True) -> None:
    """Write the phase of a mask.

    Parameters
    ----------
    path
        .npy (float64), .mat (variable ``phase``) or .tif (float32).
    phase : (h, w) array
        Radians, on the mask's own pixels.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    InputError
        For another ending, a phase that `read_mask` would refuse, or a failed write.

    Examples
    --------
    >>> import tempfile, numpy as np, deepstorm3d as ds
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ds.write_mask(f"{folder}/flat.npy", np.zeros((5, 5)))
    ...     ds.read_mask(f"{folder}/flat.npy").shape
    (5, 5)
    """
    path = Path(path)
    values = checked_phase(np.asarray(phase), path)
    claim_mask(path, overwrite=overwrite)
    with whole_file(path) as temporary:
        _write_phase(temporary, values)
    forget_sidecar(path)


def _write_phase(path: Path, phase: NDArray[np.float64]) -> None:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        np.save(path, phase)
    elif suffix == ".mat":
        import scipy.io

        scipy.io.savemat(path, {"phase": phase})
    else:
        import tifffile

        tifffile.imwrite(path, phase.astype(np.float32), photometric="minisblack")


def checked_phase(values: NDArray[Any], path: Path | str) -> NDArray[np.float64]:
    """The phase (h, w) rad; path: what is named where it is none.  Raises InputError as `read_mask`."""
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"{path}: a mask is one image of phase (height, width); this has shape {values.shape}")
    if np.iscomplexobj(values):
        raise InputError(
            f"{path}: the mask is complex", "give its phase in radians (numpy.angle, MATLAB angle)"
        )
    if values.dtype.kind not in "fiub":
        raise InputError(f"{path}: the mask holds {values.dtype}, not numbers", "give its phase in radians")
    phase = values.astype(np.float64)
    bad = int(np.count_nonzero(~np.isfinite(phase)))
    if bad:
        raise InputError(f"{path}: {bad} of {phase.size} mask pixels are NaN or infinite", "set them to 0 rad")
    largest = float(np.abs(phase).max())
    if largest > LARGEST_PHASE or (largest > LARGEST_WHOLE_PHASE and bool((phase == np.rint(phase)).all())):
        raise InputError(
            f"{path}: the phase reaches {largest:g}, which cannot be radians",
            "multiply degrees by pi/180, 8-bit modulator levels by 2 pi/256 (or use its calibration)",
        )
    return phase


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            f"{path}: not a NumPy array of numbers ({error})", "save it with numpy.save"
        ) from error


def _read_tif(path: Path) -> NDArray[Any]:
    import tifffile

    with explained_tiff(path):
        return np.squeeze(tifffile.imread(path))


def _read_mat(path: Path) -> NDArray[Any]:
    import scipy.io
    from scipy.io.matlab import MatReadError

    try:
        found = scipy.io.loadmat(path)
    except NotImplementedError:
        return _only_image(_read_mat73(path), path)
    except (ValueError, TypeError, IndexError, OSError, EOFError, MatReadError) as error:
        raise InputError(f"{path}: cannot be read as a MATLAB file ({error})") from error
    return _only_image(found, path)


def _read_mat73(path: Path) -> dict[str, NDArray[Any]]:
    """Variables of a MATLAB 7.3 file, which is HDF5 with the axes reversed."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return {name: item[()].T for name, item in file.items() if isinstance(item, h5py.Dataset)}
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a MATLAB 7.3 file ({error})") from error


def _only_image(found: dict[str, Any], path: Path) -> NDArray[Any]:
    """The one 2D numeric variable; MATLAB's scalars and vectors are 2D too, but no mask is one pixel wide."""
    arrays = {name: np.asarray(value) for name, value in found.items() if not name.startswith("__")}
    numeric = {name: array for name, array in arrays.items() if array.dtype.kind in "fiubc"}
    images = [name for name, array in numeric.items() if array.ndim == 2 and min(array.shape) > 1]
    if len(images) == 1:
        return arrays[images[0]]
    listing = ", ".join(f"{name} {a.shape} {a.dtype}" for name, a in arrays.items()) or "no variable at all"
    raise InputError(
        f"{path}: expected exactly one 2D numeric variable, the mask's phase; found {len(images)} ({listing})",
        "save the phase alone",
    )


_READERS = {".npy": _read_npy, ".mat": _read_mat, ".tif": _read_tif, ".tiff": _read_tif}
