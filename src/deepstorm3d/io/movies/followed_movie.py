"""A movie that is still being written: the frames that are whole by now, and waiting for more."""

from __future__ import annotations

import glob
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...watch import SILENT, Watcher
from .movie_source import Movie, Source, check_range
from .opening import open_movie

__all__ = ["FollowedMovie"]


class FollowedMovie(Source):
    """A movie whose number of frames grows; itself a Movie, with the frames that are available by now.

    A frame is available when two looks in a row have found it whole, for programs and network drives make
    files longer before they fill them. Frames end before the first gap: what is missing there may still
    come. The file, or the first frame in it, need not be there yet.

    path: as for `open_movie`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._movie: Movie | None = None
        self._frames = 0
        self._seen = 0
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

        Fewer: nothing new came for `timeout_s` seconds, so that the recording has ended, or the watcher
        says stop. poll_s: seconds between looks at the file.
        Raises InputError where not even one frame came in that time, with what is wrong with the file.
        """
        since = time.monotonic()
        seen = self._seen
        while self.refresh() < frames and not watch.stopped:
            now = time.monotonic()
            if self._seen > seen:
                seen, since = self._seen, now
            if now - since >= timeout_s:
                if self._frames == 0:
                    raise InputError(
                        f"{self.path}: no whole frame came within {timeout_s:g} s ({self._trouble})"
                    )
                break
            time.sleep(min(poll_s, max(0.0, timeout_s - (now - since))))
        return self._frames

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
            movie = open_movie(self.path, partial=True)
        except InputError as error:
            # A file whose index is being rewritten looks damaged for a moment; the next look tells.
            self._trouble = str(error)
            self._state = None
            return self._seen
        # First the new one: another thread may ask for its shape meanwhile.
        old, self._movie, self._state = self._movie, movie, state
        if old is not None:
            old.close()
        self._seen = movie.gaps[0][0] if movie.gaps else movie.shape[0]
        return self._seen


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
