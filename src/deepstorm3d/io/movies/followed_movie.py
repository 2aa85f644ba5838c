"""A movie that is still being written: the frames that are whole by now, and waiting for more."""

from __future__ import annotations

import glob
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...watch import SILENT, Watcher
from .movie_source import (
    Movie,
    Source,
    check_range,
    frames_in_words,
    late_notes,
    missing_notes,
    readable_ranges,
)
from .opening import open_growing
from .stacks_movie import StacksMovie

__all__ = ["FollowedMovie"]


class FollowedMovie(Source):
    """A movie whose number of frames grows; itself a Movie, with the frames that are available by now.

    A frame is available when two looks in a row have found it whole, for programs and network drives make
    files longer before they fill them. Frames end before the first gap: what is missing there may still
    come. The file, or the first frame in it, need not be there yet.

    path: as for `open_movie`;  partial: go on behind a gap once it was waited for in vain; else the wait ends
    there, and `left_behind` says what lies behind it. A gap that was given up stays one: frames that come for
    it later are not read, and `notes` names them.
    """

    def __init__(self, path: str | Path, *, partial: bool = False) -> None:
        self.path = Path(path)
        self._partial = partial
        self._movie: Movie | None = None
        self._frames = 0
        self._seen = 0
        self._given_up = 0  # what is missing before this frame is not waited for any more
        self._gone_past: list[tuple[int, int]] = []  # the gaps that were given up, as they were then
        self._renumbered: list[int] = []  # given up: places where an unknown number of frames is missing
        self._over = False
        self._state: object = None
        self._trouble = "it is not there"
        self._look()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames available by now, height, width); raises InputError while there is none."""
        return (self._frames, *self._opened().shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the counts; raises InputError while there is no frame."""
        return self._opened().dtype

    @property
    def pixel_um(self) -> float | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Object pixel, µm, where the file says it by now."""
        return None if self._movie is None else self._movie.pixel_um

    @property
    def pixel_height_um(self) -> float | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Its height, where the file says that too."""
        return None if self._movie is None else self._movie.pixel_height_um

    @property
    def gaps(self) -> Sequence[tuple[int, int]]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Those that were gone past, with ``partial=True``; also where their frames have come since."""
        return _united([*self._missing(), *self.given_up])

    @property
    def notes(self) -> Sequence[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of gaps; and all that the file tells once the recording is over: before, its end looks cut off."""
        movie = self._movie
        told = movie.notes if self._over and movie is not None else missing_notes(self.path, self._missing())
        return [*told, *late_notes(self.path, self.late)]

    @property
    def given_up(self) -> Sequence[tuple[int, int]]:
        """The gaps (first, last) that are not waited for any more, as they were when they were given up."""
        return tuple(self._gone_past)

    @property
    def late(self) -> Sequence[tuple[int, int]]:
        """Frames (first, last) of these gaps that have come since: they are in the file, and are not read."""
        movie = self._movie
        missing = () if movie is None else movie.gaps
        return [there for gap in self._gone_past for there in readable_ranges(missing, *gap)]

    @property
    def frames(self) -> int:
        """Frames available by now; 0 before the first."""
        return self._frames

    def refresh(self) -> int:
        """Look at the file again; returns the frames available now.

        Raises InputError where there are fewer frames than before: the recording was replaced.
        """
        before = self._seen
        seen = self._look()
        if seen < self._frames:
            raise InputError(
                f"{self.path}: had {self._frames} frames and now has {seen}; it was replaced while it was "
                "followed",
                "start again with the new recording",
            )
        self._frames = min(before, seen)
        return self._frames

    def wait(
        self,
        frames: int,
        *,
        timeout_s: float,
        poll_s: float = 1.0,
        watch: Watcher = SILENT,
    ) -> int:
        """Wait until at least `frames` frames are available; returns how many are (they may be more or fewer).

        Fewer: nothing new came for `timeout_s` seconds, so that the recording has ended (or it has a gap
        there: `left_behind`), or the watcher says stop. poll_s: seconds between looks at the file.
        Raises InputError where not even one frame came in that time, with what is wrong with the file.
        """
        self._over = False
        since, before, recorded = time.monotonic(), self._waited_for(), self._recorded
        while self.refresh() < frames and not watch.stopped:
            now = time.monotonic()
            if self._waited_for() != before:
                since, before, recorded = now, self._waited_for(), self._recorded
            if now - since >= timeout_s:
                if not self._partial or not self._give_up(recorded):
                    self._end(timeout_s)
                    break
                since, before, recorded = now, self._waited_for(), self._recorded
            time.sleep(min(poll_s, max(0.0, timeout_s - (now - since))))
        return self._frames

    def give_up_before(self, frame: int, gaps: Sequence[tuple[int, int]] = ()) -> None:
        """Do not wait for what is missing before a frame: a run that goes on there has waited for it.

        gaps: those that it gave up (`given_up`), whose frames may have come since.
        """
        self._gone_past = _united([*self._gone_past, *gaps])
        self._go_past(max([frame, *(last for _, last in gaps)]))
        self.refresh()

    def left_behind(self) -> InputError | None:
        """Why a recording that is over was not followed to its end; None where it was."""
        if not self._over:
            return None
        if self._trouble:
            return InputError(
                f"{self.path}: as it lies there now it cannot be opened any more, so nothing is known of "
                f"frames from {self._frames} on ({self._trouble})",
                "put that right and run again",
            )
        holes, movie = self._holes(), self._movie
        if not holes or movie is None:
            return None
        behind = sum(last - first for first, last in readable_ranges(holes, holes[0][1], movie.shape[0]))
        count = f"{behind} whole frame{'s lie' if behind != 1 else ' lies'}"
        gaps = [gap for gap in holes if gap[1] > gap[0]]
        what = (
            f"{frames_in_words(gaps)} missing; "
            f"{count} behind the first gap and {'were' if behind != 1 else 'was'} not read"
            if holes[0] in gaps
            else f"how many frames are missing from frame {holes[0][0]} on cannot be known; {count} behind "
            "these and could only be numbered too low"
        )
        return InputError(
            f"{self.path}: {what}",
            "copy what is missing and run again, or leave it out (`partial=True`)",
        )

    def read(self, start: int, stop: int) -> NDArray[Any]:
        check_range(self, start, stop)
        return self._opened().read(start, stop)

    def close(self) -> None:
        if self._movie is not None:
            self._movie.close()
            self._movie = None

    def _opened(self) -> Movie:
        if self._movie is None:
            raise InputError(
                f"{self.path}: there is no whole frame yet ({self._trouble})", "wait for the first"
            )
        return self._movie

    def _look(self) -> int:
        """Open the movie anew if anything has changed, and count the frames before its first gap."""
        state = _state(self.path)
        if state == self._state:
            return self._seen
        try:
            movie = open_growing(self.path)
        except InputError as error:
            # A file whose index is being rewritten looks damaged for a moment; the next look tells.
            self._trouble = str(error)
            self._state = None
            return self._seen
        # First the new one: another thread may ask for its shape meanwhile.
        old, self._movie, self._state, self._trouble = self._movie, movie, state, ""
        if old is not None:
            old.close()
        if self._uncertain(self._given_up) != self._renumbered:
            raise InputError(
                f"{self.path}: a file that was no longer waited for has come, and frames behind it have other "
                "numbers now",
                "start again (`overwrite=True`)",
            )
        self._seen = self._end_of_certain()
        return self._seen

    @property
    def _recorded(self) -> int:
        """Frames of the recording by now, those behind a gap too."""
        return 0 if self._movie is None else self._movie.shape[0]

    def _holes(self) -> list[tuple[int, int]]:
        """What is still waited for: gaps, and places (n, n) where an unknown number of frames is missing."""
        movie = self._movie
        if movie is None:
            return []
        places = [(n, n) for n in self._uncertain(movie.shape[0])]
        return sorted(hole for hole in [*movie.gaps, *places] if hole[0] >= self._given_up)

    def _missing(self) -> list[tuple[int, int]]:
        """The gaps of the file now among the frames that are available."""
        return [] if self._movie is None else [gap for gap in self._movie.gaps if gap[1] <= self._frames]

    def _uncertain(self, before: int) -> list[int]:
        """Frames before which an unknown number is missing, of those before a frame."""
        movie = self._movie
        return [n for n in movie.uncertain if n < before] if isinstance(movie, StacksMovie) else []

    def _end_of_certain(self) -> int:
        """The frames up to the first hole."""
        holes = self._holes()
        return holes[0][0] if holes else self._recorded

    def _waited_for(self) -> tuple[int, bool]:
        """The frame that is waited for, and whether others lie behind it already."""
        return self._seen, bool(self._holes())

    def _give_up(self, recorded: int) -> bool:
        """Go past the first hole, and those that were there when `recorded` frames were; False without any."""
        holes = self._holes()
        if holes:
            self._go_past(max(holes[0][0] + 1, holes[0][1], recorded))
        return bool(holes)

    def _go_past(self, frame: int) -> None:
        movie, before = self._movie, self._given_up
        self._given_up = max(before, frame)
        gaps = [] if movie is None else [gap for gap in movie.gaps if before <= gap[0] < self._given_up]
        self._gone_past = _united([*self._gone_past, *gaps])
        self._renumbered = self._uncertain(self._given_up)
        self._seen = self._end_of_certain()

    def _end(self, waited_s: float) -> None:
        """The recording is over; raises InputError where it has no frame."""
        self._over = True
        if self._frames == 0:
            left = self._trouble or self.left_behind() or "the first one has just come"
            raise InputError(f"{self.path}: no whole frame came within {waited_s:g} s ({left})")


def _united(gaps: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges (first, last) in order, those that touch or overlap as one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(gaps):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def _state(path: Path) -> tuple[int, int, int]:
    """What changes when a recording grows: number, total size and last change of its files."""
    # A recording in several files is given by the first, and all their names begin like it.
    files = (
        path.rglob("*") if path.is_dir() else path.parent.glob(f"{glob.escape(path.name.partition('.')[0])}*")
    )
    count = size = newest = 0
    for file in files:
        try:
            now = file.stat()
        except OSError:
            continue  # a temporary file that is gone again
        count, size, newest = count + 1, size + now.st_size, max(newest, now.st_mtime_ns)
    return count, size, newest
