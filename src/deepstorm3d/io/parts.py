"""Output that grows under a ``.part`` name and takes its final name only when it is complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError

__all__ = ["claim_name", "explain_write_errors", "part_path", "reserve_space", "write_text_atomically"]


def part_path(path: Path) -> Path:
    """The name under which `path` grows: ``out.csv`` grows in ``out.part.csv``."""
    return path.with_name(f"{path.stem}.part{path.suffix}")


def claim_name(path: Path, *, overwrite: bool) -> None:
    """Check, before any work is done, that `path` may be written.

    Raises InputError where its folder is missing, it is a folder, or it exists and `overwrite` is False.
    """
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; give a file name")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another name, or allow it to be replaced (--overwrite)")


@contextmanager
def explain_write_errors(path: Path, advice: str) -> Iterator[None]:
    """Turn a failed write into an InputError that names `path`, the system's reason and what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot write {path}: {reason}. {advice}") from error


def reserve_space(path: Path, size: int) -> None:
    """Make the file `size` bytes longer with zeros, or leave it as it is and raise OSError.

    HDF5 does not survive a write that fails (it crashes later, when the file is released), so the space is
    taken by a plain write first. HDF5 ignores what lies behind its own end, and cuts it off on closing.
    """
    before = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as handle:
            handle.write(bytes(size))
            handle.flush()
            os.fsync(handle.fileno())
    except OSError:
        os.truncate(path, before)
        raise


def write_text_atomically(path: Path, text: str) -> None:
    """Replace the contents of a small file in one step: a reader sees the old text or the new, never half."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
