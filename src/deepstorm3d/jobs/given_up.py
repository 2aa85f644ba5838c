"""Frames that a run gave up waiting for: kept beside the growing list, for a run that goes on."""

from __future__ import annotations

import json
from pathlib import Path

from ..io.movies.movie_source import late_notes, readable_ranges
from ..io.parts import explain_write_errors, part_path, replaced_when_whole
from ..localizing.excerpt import OpenExcerpt

__all__ = ["GivenUp"]


class GivenUp:
    """The gaps of a recording that the list `path` went past, in ``OUT.part.missing`` until it is complete.

    begin: the frame that the list goes on from; gaps behind it are waited for anew, as none of it was read.
    """

    def __init__(self, path: Path, source: OpenExcerpt, begin: int) -> None:
        self._file, self._source = part_path(path).with_suffix(".missing"), source
        if not begin:
            self.discard()
        self._written = tuple(self._kept())
        self._earlier = tuple(gap for gap in self._written if gap[0] < begin)
        if source.growing is not None:
            source.growing.give_up_before(begin, self._earlier)

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """All of them (first, last), also those of the runs before."""
        growing = self._source.growing
        return self._earlier if growing is None else tuple(growing.given_up)

    def keep(self) -> None:
        """Write them down; call it before rows of frames behind them are written."""
        gaps = self.gaps
        if gaps == self._written:
            return
        with explain_write_errors(self._file), replaced_when_whole(self._file) as temporary:
            temporary.write_text(json.dumps(gaps), encoding="utf-8")
        self._written = gaps

    def told(self) -> dict[str, object]:
        """For the record of the complete list; {} where nothing was given up."""
        return {"given_up": [list(gap) for gap in self.gaps]} if self.gaps else {}

    def notes(self) -> tuple[str, ...]:
        """What has come since, where the movie itself cannot know it, as it is not followed any more."""
        movie = self._source.movie
        if self._source.growing is not None:
            return ()
        return late_notes(
            movie.path, [there for gap in self._earlier for there in readable_ranges(movie.gaps, *gap)]
        )

    def discard(self) -> None:
        """Delete the file: the list is complete, or begins anew."""
        self._file.unlink(missing_ok=True)

    def _kept(self) -> list[tuple[int, int]]:
        try:
            return [(int(first), int(last)) for first, last in json.loads(self._file.read_text("utf-8"))]
        except (OSError, ValueError, TypeError):
            return []  # none was given up
