"""A movie in whatever form it is given: an array, a tensor, an open movie, or a file."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...errors import InputError
from .array_movie import ArrayMovie
from .movie_source import Movie
from .opening import open_movie

__all__ = ["AnyMovie", "as_source", "opened", "path_of"]

AnyMovie = NDArray[Any] | Tensor | Movie | str | PathLike[str]
"""Counts (frames, height, width) in an array or a tensor, an open movie, or the file or folder of one."""


def as_source(movie: AnyMovie, *, name: str = "array") -> Path | Movie:
    """What `opened` and `Excerpt` take.

    name: of an array, for messages.  Raises InputError for what is no movie.
    """
    if isinstance(movie, np.ndarray | Tensor):
        return ArrayMovie(movie, name=name)
    if isinstance(movie, str | PathLike):
        return Path(movie)
    if not all(hasattr(movie, each) for each in ("shape", "read", "gaps", "notes")):
        raise InputError(
            f"a movie is an array, a tensor, an open movie or a file, not {type(movie).__name__}",
            "make it a numpy array (frames, height, width)",
        )
    return movie


def opened(source: Path | Movie) -> AbstractContextManager[Movie]:
    """The movie; closed after use where it is opened here."""
    return open_movie(source) if isinstance(source, Path) else nullcontext(source)


def path_of(source: Path | Movie) -> Path:
    """Its file or folder; of an array, its name."""
    return source if isinstance(source, Path) else source.path
