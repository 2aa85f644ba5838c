"""A table that grows block by block under a ``.part`` name, survives being killed, and is resumed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from ...emitters import Emitters, Localizations
from ...errors import InputError, Interrupted
from ..movies.raw_movie import RAW_SUFFIXES
from ..parts import claim_name, explain_write_errors
from ..sole_writer import SoleWriter

__all__ = ["GrowingFile", "TableWriter", "claim_table", "discard_growing", "other_sigma", "write_whole"]

Table = TypeVar("Table", Localizations, Emitters)


class GrowingFile(Protocol):
    """One format's file that grows block by block (`PicassoFile`, `ThunderstormFile`).

    companions: all files of a table of that name, the table first;  create: start an empty table;
    resume: drop the rows of an unfinished block and return the frames and rows done;  append: add a block,
    and count it only when its rows are on the disk;  set_frames: the movie turned out to have so many frames;
    describe: add to the provenance in the header, where the format has one;  written: the rows so far, block
    by block;  forget_progress: drop that count.
    """

    path: Path

    def companions(self, path: Path) -> list[Path]: ...
    def create(self) -> None: ...
    def resume(self) -> tuple[int, int]: ...
    def append(self, table: Any, *, frames_done: int, first_row: int) -> None: ...
    def written(self) -> Iterator[Any]: ...
    def set_frames(self, frames: int) -> None: ...
    def describe(self, provenance: Mapping[str, Any]) -> None: ...
    def forget_progress(self) -> None: ...


class TableWriter(Generic[Table]):
    """A table that grows in ``OUT.part.*`` and takes its final name when it is complete.

    A context manager: a clean end is `finish`; an exception (Ctrl-C too) leaves the part file, from
    which ``resume=True`` goes on. `next_frame`: frames done so far, the first one still to do; `rows`: written.
    goes_on: whether the work can go on from a part; else none is left, and one that lies there is replaced.
    Raises InputError where another process is writing this table (`SoleWriter`), whatever else is asked.
    """

    def __init__(
        self, path: Path, growing: GrowingFile, *, overwrite: bool, resume: bool, goes_on: bool = True
    ) -> None:
        self.path = path
        self._file = growing
        self._goes_on = goes_on
        self.next_frame = 0
        self.rows = 0
        claim_table(growing.companions(path), overwrite=overwrite)
        _refuse_foreign_sidecars(growing.companions(growing.path))
        part = growing.path
        self._sole = SoleWriter(part, path)
        try:
            self._begin(part, overwrite=overwrite, resume=resume)
        except BaseException:
            self._sole.release()
            raise

    def _begin(self, part: Path, *, overwrite: bool, resume: bool) -> None:
        """Go on with the part, or start an empty one.  Raises InputError where neither may be."""
        growing = self._file
        if resume and part.exists():
            with self._explained():
                self.next_frame, self.rows = growing.resume()
        elif part.exists() and self._goes_on and not overwrite:
            raise InputError(
                f"{part} holds an interrupted run",
                "go on with it (`resume=True`), start again (`overwrite=True`), or move it away",
            )
        else:
            self._create()

    def _create(self) -> None:
        try:
            with explain_write_errors(self.path):
                self._file.create()
        except BaseException:
            self.discard()
            raise

    def append(self, table: Table, *, frames_done: int) -> None:
        """Add the rows of the frames next_frame … frames_done−1 (any number of rows, none too).

        Raises ValueError for rows of other frames or non-finite values; InputError where the disk fails,
        with all earlier blocks kept.
        """
        if frames_done < self.next_frame:
            raise ValueError(f"{self.next_frame} frames are done already, got a block up to {frames_done}")
        _refuse_other_frames(table, self.next_frame, frames_done)
        with self._explained():
            self._file.append(table, frames_done=frames_done, first_row=self.rows)
        self.next_frame = frames_done
        self.rows += len(table)

    @property
    def part(self) -> Path:
        """The file that grows; it can be read at any time."""
        return self._file.path

    def written(self) -> Iterator[Table]:
        """All rows so far, also those of before it was resumed; of an .hdf5 table a block at a time."""
        return self._file.written()

    def describe(self, provenance: Mapping[str, Any]) -> None:
        """Say more of how the rows were made than was known when the table was begun."""
        with self._explained():
            self._file.describe(provenance)

    def finish(self, frames: int | None = None) -> None:
        """Give the table its final name; frames: in the movie, where that was not known before."""
        if frames is not None:
            with self._explained():
                self._file.set_frames(frames)
        with self._explained():
            _take_name(self._file, self.path)
        self._sole.release()

    def discard(self) -> None:
        """Delete what was written: there is nothing to resume."""
        _delete(self._file)
        self._sole.release()

    @contextmanager
    def kept_once_begun(self) -> Iterator[None]:
        """An error in the body before any frame is done leaves no part: there is nothing to go on from.

        A run that was only stopped (`Interrupted`) keeps it.
        """
        try:
            yield
        except Interrupted:
            raise
        except BaseException:
            if not self.next_frame:
                self.discard()
            raise

    def _explained(self) -> Any:
        kept = f"What is done is kept in {self._file.path.name}; `resume=True` goes on from there"
        return explain_write_errors(self.path, kept if self._goes_on and self.next_frame else "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        elif not self._goes_on:
            self.discard()
        self._sole.release()


def discard_growing(part: Path) -> None:
    """Delete a table that grew under this name, in any format, with all that lies beside it to go on from.

    Raises InputError where another process is writing it.
    """
    with SoleWriter(part, part):
        for ending in (part.suffix, ".yaml", ".rows", ".json"):
            part.with_suffix(ending).unlink(missing_ok=True)


def claim_table(names: list[Path], *, overwrite: bool) -> None:
    """Check, before any work is done, that a table may be written; names: of all its files (`companions`)."""
    _refuse_foreign_sidecars(names)
    for name in names:
        claim_name(name, overwrite=overwrite)


def write_whole(path: Path, growing: GrowingFile, table: Localizations | Emitters, frames: int) -> None:
    """Write a table in one block and give it its name.

    A part of it is worth nothing, so none is left; growing: under `unfinished_path`, so that a part which
    another run left to be resumed stays.  Raises InputError where another process is writing it.
    """
    frames_done = max(frames, int(table.frame.max()) + 1 if len(table) else 0)
    _refuse_other_frames(table, 0, frames_done)
    with SoleWriter(growing.path, path):
        try:
            with explain_write_errors(path):
                growing.create()
                growing.append(table, frames_done=frames_done, first_row=0)
                _take_name(growing, path)
        finally:
            _delete(growing)


def _refuse_other_frames(table: Localizations | Emitters, first: int, end: int) -> None:
    if len(table) and not first <= int(table.frame.min()) <= int(table.frame.max()) < end:
        raise ValueError(
            f"rows of frames {int(table.frame.min())} to {int(table.frame.max())} in a block of "
            f"{first} to {end - 1}"
        )


def _take_name(growing: GrowingFile, path: Path) -> None:
    """Give a complete table its final name, and forget how far it had grown."""
    for part, final in zip(growing.companions(growing.path), growing.companions(path), strict=True):
        os.replace(part, final)
    growing.forget_progress()


def _delete(growing: GrowingFile) -> None:
    growing.forget_progress()
    for part in growing.companions(growing.path):
        part.unlink(missing_ok=True)


def other_sigma(path: Path, there: str, here: str) -> InputError:
    """The error for rows with σ from one source after rows with σ from another.

    there, here: `Localizations.sigma_source` of the rows in the file and of those to come.
    """
    return InputError(
        f"{path} was begun with rows whose σ come from '{there}', those to come have them from '{here}'",
        "go on with the model of the interrupted run, with or without `method=proposals` as there, or start "
        "again (`overwrite=True`)",
    )


def _refuse_foreign_sidecars(names: list[Path]) -> None:
    """A table's YAML sidecar may share its name with the user's experiment file, or with what describes a raw
    movie: never replace those."""
    for sidecar in names:
        if sidecar.suffix != ".yaml":
            continue
        text = sidecar.read_text(encoding="utf-8", errors="replace") if sidecar.exists() else ""
        raw = next((path for path in sidecar.parent.glob("*") if _is_raw_movie(path, sidecar.stem)), None)
        if raw is not None:
            reason = f"{sidecar} describes the raw movie {raw.name}"
        elif text and not ("Width:" in text and "Frames:" in text):
            reason = f"{sidecar} exists and does not belong to a table"
        else:
            continue
        raise InputError(
            f"{reason}; it would be replaced by the description that Picasso reads beside the output",
            "give the output another name",
        )


def _is_raw_movie(path: Path, stem: str) -> bool:
    return path.stem == stem and path.suffix.lower() in RAW_SUFFIXES
