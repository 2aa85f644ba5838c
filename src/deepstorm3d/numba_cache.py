"""Functions compiled by Numba, and the folder in which their machine code is kept."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.core import config as numba_settings

__all__ = ["cache_folder", "compiled", "compiled_in_place", "is_compiled_already"]

# Files with compiled functions. Numba itself notices only a change of the file of the function that is called,
# not of those that it calls: so the name of the folder contains a hash of all of them.
_SOURCES = (
    *("numba_cache.py", "optics/compiled*.py", "optics/tabulated.py", "fitting/kernels/*.py"),
    *("fitting/damping.py", "rendering/compiled.py", "analysis/compiled.py", "localizer/winograd_compiled.py"),
)


@cache
def cache_folder() -> Path:
    """Folder of the compiled code: one for each state of the sources, in the user's folder for caches.

    NUMBA_CACHE_DIR, if it is set, is used in its place. It is not in the installation, which may be read-only.
    """
    package = Path(__file__).parent
    files = sorted(file for pattern in _SOURCES for file in package.glob(pattern))
    stamp = hashlib.sha256(b"".join(file.read_bytes() for file in files) + numba.__version__.encode())
    named = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    home = Path(named) if named else Path.home() / (".cache" if sys.platform != "darwin" else "Library/Caches")
    if sys.platform == "win32" and not named:
        home = Path(os.environ.get("LOCALAPPDATA", tempfile.gettempdir()))
    folder = home / "deepstorm3d" / f"compiled-{stamp.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = (
            Path(tempfile.gettempdir())
            / f"deepstorm3d-{os.getuid() if hasattr(os, 'getuid') else 0}"
            / folder.name
        )
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def is_compiled_already(package: str) -> bool:
    """Whether there is compiled code of a package ("fitting"), so that its first call starts at once."""
    return any((cache_folder() / package).rglob("*.nbi"))


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function on its first call, without Python's lock while it runs; keep the code on the disk."""
    return _compiled(function, counted=True)


def compiled_in_place(function: Callable[..., Any]) -> Any:
    """The same for a function that makes no array: it works on parts of those that it is given.

    Numba counts who uses an array, for each part of it that is named, with instructions that wait for the other
    cores: in short loops that took a fifth to a third of all time. Here nothing is counted, so nothing can be
    freed: a function that makes an array does not compile this way, and none may be returned.
    """
    return _compiled(function, counted=False)


def _compiled(function: Callable[..., Any], *, counted: bool) -> Any:
    settings: Any = numba_settings
    package = function.__module__.split(".")[1]
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(cache_folder() / package)
    try:
        # Reordering sums lets the compiler use vector instructions; not-a-number is still respected.
        # `_nrt` is Numba's runtime that counts the users of an array; else a function has it from its caller.
        options = {"nogil": True, "cache": True, "error_model": "numpy", "_nrt": counted}
        return njit(fastmath={"contract", "reassoc", "nsz", "arcp"}, **options)(function)
    finally:
        settings.CACHE_DIR = before
