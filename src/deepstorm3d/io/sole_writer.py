"""Only one process at a time writes a file: a second one is refused while the first is alive."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ..errors import InputError
from ..file_lock import take

__all__ = ["SoleWriter"]

# Files that this process writes: the descriptor of the lock, and whose it is.
_HELD: Final[dict[Path, tuple[int, object]]] = {}
_TURN: Final = threading.Lock()
# A lock file may be deleted between its opening and its locking, by the writer that ends just then.
_TRIES = 10


class SoleWriter:
    """The right of this process to write a file, kept in ``NAME.lock`` beside it until `release`.

    The system gives it back when the process is gone, however it ended. In one process the writer that came
    last has it: the one before it was given up. Where the folder or the file system allows no locks, any may
    write.
    path: of the growing file;  result: the name it will have, for the user.
    Raises InputError where another process writes it.
    """

    def __init__(self, path: Path, result: Path) -> None:
        lock = path.resolve().with_name(f"{path.name}.lock")
        owner = object()
        with _TURN:
            descriptor = _HELD[lock][0] if lock in _HELD else _taken(lock, result)
            if descriptor is not None:
                _HELD[lock] = descriptor, owner
        self.release = weakref.finalize(self, _give_back, lock, owner, os.getpid())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _taken(lock: Path, result: Path) -> int | None:
    """The descriptor of the locked file; None where nothing can be locked there."""
    for _ in range(_TRIES):
        try:
            descriptor = take(lock, patience_s=0.0)
        except TimeoutError:
            raise InputError(
                f"{result} is being written by another run",
                "wait for its end, stop it, or give this one another name",
            ) from None
        except OSError:
            return None
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor
        os.close(descriptor)
    return None


def _give_back(lock: Path, owner: object, process: int) -> None:
    """Delete the lock file and give the lock back, where they are still this owner's."""
    if os.getpid() != process:
        return
    with _TURN:
        descriptor, held_by = _HELD.get(lock, (-1, None))
        if held_by is not owner:
            return
        del _HELD[lock]
        with suppress(OSError):  # Windows keeps what is open: an empty file stays, and holds nobody up
            lock.unlink(missing_ok=True)
        os.close(descriptor)
