"""Which files a chooser offers for what; others can still be typed."""

from __future__ import annotations

from pathlib import Path

from ..io.movies.opening import MOVIE_SUFFIXES
from ..io.tables.formats import FORMATS

__all__ = ["is_experiment", "is_list", "is_mask", "is_model", "is_movie"]

_LISTS = frozenset(ending for kind in FORMATS for ending in kind.endings + kind.also_read)


def is_movie(path: Path) -> bool:
    """Whether it ends as a file of a movie does."""
    return path.suffix.lower() in MOVIE_SUFFIXES


def is_list(path: Path) -> bool:
    """Whether it ends as a list of localizations of any program does."""
    return path.suffix.lower() in _LISTS


def is_experiment(path: Path) -> bool:
    """Whether it ends as an experiment file does."""
    return path.suffix.lower() in (".yaml", ".yml")


def is_model(path: Path) -> bool:
    """Whether it ends as a trained model does."""
    return path.suffix.lower() == ".pt"


def is_mask(path: Path) -> bool:
    """Whether it ends as a file of a phase in radians does, or as the image that a modulator shows."""
    return path.suffix.lower() in (".npy", ".mat", ".tif", ".tiff", ".png", ".bmp")
