"""Files that are no movie here: what each is, and how it becomes one."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError

__all__ = ["refused_file"]

# Files that Fiji reads, by their ending.
_MICROSCOPES = {
    ".czi": "Zeiss CZI",
    ".dcimg": "Hamamatsu DCIMG",
    ".ims": "Imaris",
    ".lif": "Leica LIF",
    ".lsm": "Zeiss LSM",
    ".oib": "Olympus OIB",
    ".oif": "Olympus OIF",
    ".oir": "Olympus OIR",
    ".sif": "Andor SIF",
    ".spe": "Princeton Instruments SPE",
    ".vsi": "Olympus VSI",
    ".xlef": "Leica XLEF",
}
# Other files that are taken for a movie, by their ending.
_OTHERS = {
    ".avi": "AVI video",
    ".csv": "table",
    ".fits": "FITS",
    ".gif": "GIF",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".mat": "MATLAB",
    ".mp4": "MP4 video",
    ".npz": "NumPy archive",
    ".png": "PNG",
    ".yaml": "YAML",
    ".zip": "ZIP archive",
}


def refused_file(path: Path, kind: str | None = None) -> InputError:
    """The error for a file that is not of a kind that is read;  kind: None: by its ending."""
    suffix = path.suffix.lower()
    kind = kind or _MICROSCOPES.get(suffix, _OTHERS.get(suffix))
    what = (
        "not a TIFF file, nor of another kind that is read" if kind is None else f"a {kind} file, not read here"
    )
    if suffix in _OTHERS:
        return InputError(
            f"{path}: {what}", "give the camera's own frames as TIFF, or as .npy (frames, height, width)"
        )
    return InputError(
        f"{path}: {what}",
        "convert it to TIFF (in Fiji: File > Import > Bio-Formats, then File > Save As > Tiff)",
    )
