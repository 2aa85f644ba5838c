"""Which file of a PSF is which: one table of formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ...psf_volume import PSFVolume
from ..parts import claim_name, whole_file
from .picasso import is_picasso, read_picasso, write_picasso
from .smap_mat import read_smap, write_smap
from .smappy import is_smappy, read_smappy, write_smappy
from .stack import read_stack, write_stack
from .uipsf import is_uipsf, read_uipsf

__all__ = ["PSF_FORMATS", "PSFFormat", "claim_psf", "read_psf", "write_psf"]


@dataclass(frozen=True)
class PSFFormat:
    """A format of PSF files: its name, the endings that ask for it, and how it is written."""

    name: str
    endings: tuple[str, ...]
    write: Callable[[Path, PSFVolume], None]


PSF_FORMATS = (
    PSFFormat("Picasso", (".hdf5",), write_picasso),
    PSFFormat("smappy", (".h5",), write_smappy),
    PSFFormat("SMAP", (".mat",), write_smap),
    PSFFormat("TIFF stack", (".tif", ".tiff"), write_stack),
)


def claim_psf(path: str | Path, *, overwrite: bool) -> PSFFormat:
    """Check, before any work is done, that a PSF may be written there; returns the format of the ending.

    Raises InputError for an ending of no format, and a name that is taken.
    """
    path = Path(path)
    kind = next((each for each in PSF_FORMATS if path.suffix.lower() in each.endings), None)
    if kind is None:
        raise InputError(f"{path}: no format of PSFs ends in '{path.suffix}'; {_known()}")
    claim_name(path, overwrite=overwrite)
    return kind


def write_psf(path: str | Path, psf: PSFVolume, *, overwrite: bool = False) -> str:
    """Write a PSF in the format of the ending, complete or not at all; returns the format's name.

    Raises InputError for another ending, a name that is taken, and a file that cannot be written.
    """
    path = Path(path)
    kind = claim_psf(path, overwrite=overwrite)
    with whole_file(path) as temporary:
        kind.write(temporary, psf)
    return kind.name


def read_psf(path: str | Path, *, pixel_um: float | None = None) -> PSFVolume:
    """Read a PSF that `write_psf` or the program of the format wrote, or that uiPSF learned.

    pixel_um: camera pixel, for files that do not name it.  Raises InputError for files that are none.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return _read(path, pixel_um)
    except InputError:
        raise
    except (OSError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{path} is damaged or no PSF calibration ({error!r})") from error


def _read(path: Path, pixel_um: float | None) -> PSFVolume:
    ending = path.suffix.lower()
    if ending == ".mat":
        return read_smap(path, pixel_um)
    if ending in (".tif", ".tiff"):
        return read_stack(path, pixel_um)
    if ending in (".h5", ".hdf5"):
        if is_picasso(path):
            return read_picasso(path, pixel_um)
        if is_smappy(path):
            return read_smappy(path, pixel_um)
        if is_uipsf(path):
            return read_uipsf(path)
        raise InputError(f"{path} is neither a spline calibration of Picasso or smappy nor a PSF of uiPSF")
    raise InputError(f"{path}: no format of PSFs ends in '{path.suffix}'; {_known()}")


def _known() -> str:
    return "known are " + ", ".join(f"{each.endings[0]} ({each.name})" for each in PSF_FORMATS)
