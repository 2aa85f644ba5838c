"""What every source of frames has in common: the protocol of a movie, its gaps, and checks of what is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

__all__ = [
    "Movie",
    "Source",
    "check_finite",
    "check_range",
    "frames_in_words",
    "import_reader",
    "in_words",
    "late_notes",
    "missing_notes",
    "read_as",
    "readable_ranges",
    "refuse_truncated",
    "runs",
]


class Movie(Protocol):
    """Frames of one camera in order, read on demand; a context manager."""

    @property
    def path(self) -> Path:
        """The file or folder."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames, height, width); frames counts those that lie in gaps too."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the counts that `read` gives."""
        ...

    @property
    def pixel_um(self) -> float | None:
        """Object pixel from the file's own metadata, its width, µm; None where it says nothing believable."""
        ...

    @property
    def pixel_height_um(self) -> float | None:
        """Its height, where the file states that by itself; None else."""
        ...

    @property
    def gaps(self) -> Sequence[tuple[int, int]]:
        """Frames first … last−1 that are known to be missing, in order, never at the end of the movie.

        Only a movie opened with ``partial=True`` has any; `readable_ranges` leaves them out.
        """
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of this movie: what was cut off, which frame numbers are uncertain."""
        ...

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Frames start … stop−1, (n, height, width) counts.

        Raises InputError naming the frame that is damaged, in a gap, of another size, or (float) not finite.
        """
        ...

    def close(self) -> None:
        """Release the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Source:
    """What most movies answer alike: no gaps, nothing to report, nothing held open; a context manager."""

    pixel_um: float | None = None
    pixel_height_um: float | None = None
    gaps: Sequence[tuple[int, int]] = ()
    notes: Sequence[str] = ()

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def readable_ranges(
    gaps: Sequence[tuple[int, int]], start: int, stop: int, step: int | None = None
) -> Iterator[tuple[int, int]]:
    """Frames start … stop−1 without the gaps, in order, as ranges (first, last) with last not included.

    gaps: as a Movie has them;  step: the most frames in a range (all that follow each other where None).
    """
    here = start
    for first, last in (*gaps, (stop, stop)):
        end = min(first, stop)
        size = step or max(1, end - here)
        for begin in range(here, end, size):
            yield begin, min(begin + size, end)
        here = max(here, last)


def runs(frames: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Single frames, in order, as gaps: 3, 4, 5, 9 are (3, 6) and (9, 10)."""
    found: list[tuple[int, int]] = []
    for frame in frames:
        if found and found[-1][1] == frame:
            found[-1] = (found[-1][0], frame + 1)
        else:
            found.append((frame, frame + 1))
    return tuple(found)


def missing_notes(path: Path, gaps: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """A sentence for each gap (first, last), for `Movie.notes`."""
    return tuple(f"{path}: {frames_in_words([gap])} missing" for gap in gaps)


def late_notes(path: Path, late: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """A sentence on frames (first, last) that came when they were not waited for any more; none without any."""
    if not late:
        return ()
    many = sum(last - first for first, last in late) != 1
    return (
        f"{path}: frame{'s' if many else ''} {in_words(late)} came too late: given up by then, and not read; "
        f"to have {'them' if many else 'it'} in the list, localize the finished movie anew",
    )


def in_words(numbers: Sequence[tuple[int, int]]) -> str:
    """Gaps (first, last) as "3 to 5, 9", last not included; at most five of them."""
    parts = [f"{first}" + (f" to {last - 1}" if last - first > 1 else "") for first, last in numbers]
    more = f" … ({sum(last - first for first, last in numbers)} in all)" if len(parts) > 5 else ""
    return ", ".join(parts[:5]) + more


def frames_in_words(numbers: Sequence[tuple[int, int]]) -> str:
    """Gaps as "frame 9 is" or "frames 3 to 5, 9 are"."""
    many = sum(last - first for first, last in numbers) != 1
    return f"frame{'s' if many else ''} {in_words(numbers)} {'are' if many else 'is'}"


def check_range(movie: Movie, start: int, stop: int) -> None:
    """Raises InputError for frames that the movie has not, or that lie in a gap."""
    frames = movie.shape[0]
    if not 0 <= start <= stop <= frames:
        raise InputError(f"frames {start}:{stop} are not in the movie, which has frames 0:{frames}")
    for first, last in movie.gaps:
        if first < stop and start < last:
            raise InputError(
                f"{movie.path}: {frames_in_words([(first, last)])} missing (truncated or absent files)",
                "leave them out, or copy the movie again",
            )


def check_finite(block: NDArray[Any], start: int, path: Path) -> None:
    """Raises InputError for the first frame with NaN or infinity in a block (n, h, w) from frame `start` on."""
    if block.dtype.kind != "f":
        return
    bad = np.count_nonzero(~np.isfinite(block), axis=(1, 2))
    if bad.any():
        row = int(np.argmax(bad > 0))
        raise InputError(
            f"{path}: frame {start + row} has {int(bad[row])} of {block[row].size} pixels NaN or infinite",
            "give the raw counts of the camera, or replace or leave out such frames",
        )


def read_as(stored: np.dtype[Any]) -> np.dtype[Any]:
    """The type in which counts stored so are read: float16, which does not hold 65535, as float32."""
    return np.dtype(np.float32) if stored.kind == "f" and stored.itemsize < 4 else stored.newbyteorder("=")


def refuse_truncated(path: Path, whole: int, promised: int, *, partial: bool) -> None:
    """Raises InputError for a movie that was cut off, unless its whole frames are asked for and there are any.

    whole: frames that can be read;  promised: frames that the file announces (not more than whole: unknown).
    """
    if whole == 0:
        raise InputError(f"{path}: truncated: not one whole frame is left", "copy the file again")
    if partial:
        return
    total, lost = (f" of {promised}", "") if promised > whole else ("", ", an unknown number are lost")
    raise InputError(
        f"{path}: truncated: {whole}{total} whole frames can be read{lost}",
        "copy the file again, or read only what is whole (`partial=True`)",
    )


def import_reader(package: str, path: Path) -> Any:
    """A package that reads one format, and is installed only on demand; raises InputError that says how."""
    try:
        return import_module(package)
    except ImportError as error:
        raise InputError(
            f"{path}: this format is read by the package {package.partition('.')[0]}, which is missing "
            f"({error})",
            "install it: pip install 'deepstorm3d[io]'",
        ) from error
