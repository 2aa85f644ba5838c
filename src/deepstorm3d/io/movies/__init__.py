"""Movies: one module for each kind of file, opened by `open_movie`, prepared and followed while they grow."""

from __future__ import annotations

from .array_movie import ArrayMovie
from .followed_movie import FollowedMovie
from .opening import Movie, MovieWriter, open_movie, readable_ranges
from .preparation import Prepared, prepare

__all__ = [
    "ArrayMovie",
    "FollowedMovie",
    "Movie",
    "MovieWriter",
    "Prepared",
    "open_movie",
    "prepare",
    "readable_ranges",
]
