"""Reading an image from a TIFF file: what tifffile meets, in the user's words."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError

__all__ = ["explained_tiff", "quiet_tifffile"]


@contextmanager
def quiet_tifffile() -> Iterator[None]:
    """Keep tifffile's own log lines off the screen."""
    log = logging.getLogger("tifffile")
    log.addFilter(_drop)
    try:
        yield
    finally:
        log.removeFilter(_drop)


def _drop(record: logging.LogRecord) -> bool:
    return False


@contextmanager
def explained_tiff(path: Path) -> Iterator[None]:
    """Turn what fails while an image is read into an InputError that names the file, without log lines."""
    import tifffile

    with quiet_tifffile():
        try:
            yield
        except InputError:
            raise
        except (
            *(tifffile.TiffFileError, struct.error, RuntimeError),
            *(ValueError, KeyError, IndexError, OSError),
        ) as error:
            raise InputError(
                f"{path}: cannot be read as a TIFF image ({error})", "copy or save it again"
            ) from error
