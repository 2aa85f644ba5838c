"""Files in and out: movies, tables of molecules, phase masks."""

from __future__ import annotations

from .masks import mask_sha256, read_mask, write_mask
from .movies import Movie, MovieWriter, open_movie, readable_ranges
from .movies.followed_movie import FollowedMovie
from .movies.preparation import Prepared, prepare
from .tables import (
    TableHeader,
    TableWriter,
    open_table_writer,
    open_truth_writer,
    read_header,
    read_table,
    read_truth,
    write_list,
    write_table,
    write_truth,
)

__all__ = [
    "FollowedMovie",
    "Movie",
    "MovieWriter",
    "Prepared",
    "TableHeader",
    "TableWriter",
    "mask_sha256",
    "open_movie",
    "open_table_writer",
    "open_truth_writer",
    "prepare",
    "read_header",
    "read_mask",
    "read_table",
    "read_truth",
    "readable_ranges",
    "write_list",
    "write_mask",
    "write_table",
    "write_truth",
]
