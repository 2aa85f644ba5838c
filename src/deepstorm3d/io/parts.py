"""Files that stand under their final name only when they are complete."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from ..errors import InputError, NameTaken

__all__ = [
    "beside",
    "claim_name",
    "explain_write_errors",
    "make_folder",
    "part_path",
    "refuse_same_names",
    "refuse_unwritable",
    "replaced_when_whole",
    "reserve_space",
    "unfinished_path",
    "whole_file",
    "write_advice",
    "write_text",
]

# Errors of the system where room is missing; None: a library's own, which does not say.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None}


def beside(path: Path, ending: str) -> Path:
    """The file beside a result that is named after it: of ``out.csv`` and ``.drift.png`` ``out.drift.png``.

    Raises InputError where the path names no file, as an empty one does.
    """
    _refuse_nameless(path)
    return path.with_name(path.stem + ending)


def _refuse_nameless(path: Path) -> None:
    if not path.name:
        raise InputError(f"cannot write '{path}': that is no name of a file", "give one; was it empty?")


def _refuse_file_as_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"cannot write into {folder}: it is a file, not a folder", "name a folder")


def part_path(path: Path) -> Path:
    """The name under which `path` grows: ``out.csv`` grows in ``out.part.csv``."""
    return beside(path, f".part{path.suffix}")


def unfinished_path(path: Path) -> Path:
    """The name under which `path` is written in one go; never that of a part that can be resumed."""
    return beside(path, f".unfinished{path.suffix}")


def claim_name(path: Path, *, overwrite: bool) -> None:
    """Check, before any work is done, that `path` may be written.

    Raises InputError where it has no name, its folder is missing or cannot be written to, it is a folder, or it
    exists and `overwrite` is False.
    """
    _refuse_nameless(path)
    _refuse_file_as_folder(path.parent)
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: the folder {path.parent} does not exist", "create it first")
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder", "give a file name")
    if path.exists() and not overwrite:
        raise NameTaken(f"{path} exists", "choose another name, or allow it to be replaced (`overwrite=True`)")
    refuse_unwritable(path)


def refuse_unwritable(path: Path) -> None:
    """Raise InputError where the system lets no file be made in the folder of `path`."""
    with explain_write_errors(path), TemporaryFile(dir=path.parent):
        pass


def refuse_same_names(paths: Iterable[Path | None]) -> None:
    """Raise InputError where one output of several would replace another; None: is not written."""
    there: set[Path] = set()
    for path in paths:
        if path is not None and path.resolve() in there:
            raise InputError(f"two outputs have the same name, {path}", "give each its own")
        if path is not None:
            there.add(path.resolve())


@contextmanager
def explain_write_errors(path: Path, further: str = "") -> Iterator[None]:
    """Turn a failed write into an InputError that names `path`, the system's reason and what to do.

    further: what else a user should know.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error).replace(unfinished_path(path).name, path.name)
        told = f"cannot write {path}: {reason}. {write_advice(error.errno)} {further}"
        raise InputError(told.rstrip()) from error


def write_advice(number: int | None) -> str:
    """What to do where the system has refused a write with this error (`errno`; None: not known)."""
    return "Free some space or choose another folder." if number in _NO_ROOM else "Choose another folder."


def make_folder(path: Path) -> Path:
    """The folder, made with those above it where they are missing; InputError where the system refuses."""
    _refuse_file_as_folder(path)
    with explain_write_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


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


@contextmanager
def replaced_when_whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it takes the name `path` when the block ends without error.

    The temporary name has the ending of `path` (``out.unfinished.csv``), because many libraries choose the
    format by it. The file is on the disk before it is renamed, so a crash or a full disk leaves either the old
    file or the new one; after an error the temporary file is deleted. OSError is passed on as it is.
    """
    temporary = unfinished_path(path)
    try:
        with _named_as(path, temporary):
            yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _named_as(path: Path, temporary: Path) -> Iterator[None]:
    """Let errors that name the temporary file, which the user does not know, name `path`."""
    try:
        yield
    except InputError as error:
        if temporary.name not in str(error):
            raise
        what, remedy = (text.replace(temporary.name, path.name) for text in (error.what, error.remedy))
        raise InputError(what, remedy) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """`replaced_when_whole` for a file of the user's: an OSError becomes an InputError."""
    with explain_write_errors(path), replaced_when_whole(path) as temporary:
        yield temporary


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8), or replace it, in one step.  Raises InputError where that fails."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
