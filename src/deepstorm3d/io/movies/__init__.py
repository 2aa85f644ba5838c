"""Movies: one module for each kind of file, opened by `open_movie`, prepared and followed while they grow."""

from __future__ import annotations

from .any_movie import AnyMovie, as_source, opened, path_of
from .array_movie import ArrayMovie
from .followed_movie import FollowedMovie
from .opening import Movie, MovieWriter, open_movie, readable_ranges
from .preparation import Prepared, prepare

__all__ = [
    "AnyMovie",
    "ArrayMovie",
    "FollowedMovie",
    "Movie",
    "MovieWriter",
    "Prepared",
    "as_source",
    "open_movie",
    "opened",
    "path_of",
    "prepare",
    "readable_ranges",
]
