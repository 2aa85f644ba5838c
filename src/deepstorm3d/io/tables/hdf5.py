"""HDF5 files that others may hold open: without locks, patiently, and with errors in the user's words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from ...errors import InputError

__all__ = ["opened", "reading", "text"]


@contextmanager
def opened(path: Path, mode: Literal["r", "r+", "w"]) -> Iterator[Any]:
    """The file without HDF5's lock: a viewer that holds it open must not stop a run of hours."""
    file = _open_patiently(path, mode)
    try:
        yield file
    finally:
        file.close()


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """The file to read.  Raises InputError where it is no HDF5 file, or a damaged one."""
    try:
        with opened(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not an HDF5 file, or damaged ({error})") from error


def text(dataset: Any) -> str:
    """A scalar dataset or attribute of text."""
    value = dataset[()] if hasattr(dataset, "shape") else dataset
    return value.decode() if isinstance(value, bytes) else str(value)


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
