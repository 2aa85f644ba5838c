"""A lock on a file, which the system gives back when its holders are gone, however they ended.

Whether a run is alive is asked of this lock and not of a process number, which the system may have given to
another process since.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError

__all__ = ["held", "locked", "take"]


def take(path: Path, patience_s: float = 5.0) -> int:
    """Lock a file, made if missing, for this process and for those that inherit the descriptor.

    Returns the open descriptor; closing it in all of them gives the lock back. Raises TimeoutError where
    another holds it for longer than `patience_s`, another OSError where the file cannot be made or the file
    system has no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + patience_s
    try:
        while not _try(descriptor, shared=False):
            if time.monotonic() > until:
                raise TimeoutError(f"another process holds {path}")
            time.sleep(0.02)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def held(path: Path) -> bool:
    """Whether some process holds the lock of this file; two that ask at once do not see one another."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _try(descriptor, shared=True)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The lock for the length of a block.  Raises InputError where another process keeps it."""
    try:
        descriptor = take(path, patience_s=30.0)
    except TimeoutError as error:
        raise InputError(f"{error} for half a minute", "wait for it, or close the other program") from error
    try:
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _try(descriptor: int, *, shared: bool) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        if shared:
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        return True

else:
    import fcntl

    def _try(descriptor: int, *, shared: bool) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
