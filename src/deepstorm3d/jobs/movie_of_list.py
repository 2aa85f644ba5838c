"""Whether a movie is the one that a list says it is of."""

from __future__ import annotations

from ..io.tables import TableHeader
from ..localizing.excerpt import Excerpt

__all__ = ["doubts_of_movie"]


def doubts_of_movie(header: TableHeader, excerpt: Excerpt, *, channel: int = 0) -> list[str]:
    """In words, where the list's record names another movie or number of frames; a copy may be renamed.

    channel: of a list of several, that of this movie.  A list that records no movie raises no doubt.
    """
    made = header.provenance
    names = made.get("channels") or [made.get("movie")]
    named = names[channel] if channel < len(names) else None
    if not isinstance(named, str):
        return []
    with excerpt.open() as opened:
        frames = opened.movie.shape[0]
    if named == excerpt.name and (header.guessed or header.frames == frames):
        return []
    there = f"{named}, of {header.frames} frames" if not header.guessed else named
    return [f"the list says that it is of {there}; this is {excerpt.name}, of {frames}: is it the same movie?"]
