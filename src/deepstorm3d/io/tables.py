"""Tables of localizations and of true emitters in files; the format follows the file ending."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from ..emitters import Emitters, Localizations
from ..errors import InputError
from .header import TableHeader
from .parts import claim_name, explain_write_errors, part_path
from .picasso import PicassoFile, read_picasso
from .smappy import read_smappy, write_smappy
from .thunderstorm import ThunderstormFile, read_thunderstorm, read_thunderstorm_truth

__all__ = [
    "TableHeader",
    "TableWriter",
    "open_table_writer",
    "open_truth_writer",
    "read_header",
    "read_table",
    "read_truth",
    "write_table",
    "write_truth",
]

KNOWN = "Picasso HDF5 (.hdf5), ThunderSTORM CSV (.csv) and smappy HDF5 (.h5)"
Table = TypeVar("Table", Localizations, Emitters)


class _GrowingFile(Protocol):
    """One format's file that grows block by block (`PicassoFile`, `ThunderstormFile`)."""

    path: Path

    def companions(self, path: Path) -> list[Path]: ...
    def create(self) -> None: ...
    def resume(self) -> tuple[int, int]: ...
    def append(self, table: Any, *, frames_done: int, first_row: int) -> None: ...
    def forget_progress(self) -> None: ...


class TableWriter(Generic[Table]):
    """A table that grows in ``OUT.part.*`` and takes its final name when it is complete.

    A context manager: a clean end is `finish`; an exception (Ctrl-C too) leaves the part file, from
    which ``resume=True`` goes on. `next_frame`: frames done so far, the first one still to do.
    """

    def __init__(self, path: Path, growing: _GrowingFile, *, overwrite: bool, resume: bool) -> None:
        self.path = path
        self._file = growing
        self.next_frame = 0
        self._rows = 0
        _refuse_foreign_sidecars([*growing.companions(path), *growing.companions(growing.path)])
        for name in growing.companions(path):
            claim_name(name, overwrite=overwrite)
        part = growing.path
        if resume and part.exists():
            with self._explained():
                self.next_frame, self._rows = growing.resume()
        elif part.exists() and not overwrite:
            raise InputError(
                f"{part} holds an interrupted run; go on with it (--resume), start again (--overwrite), "
                "or move it away"
            )
        else:
            self._create()

    def _create(self) -> None:
        try:
            with explain_write_errors(self.path, "Free some space or choose another folder."):
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
        if len(table) and not (
            self.next_frame <= int(table.frame.min()) <= int(table.frame.max()) < frames_done
        ):
            raise ValueError(
                f"rows of frames {int(table.frame.min())} to {int(table.frame.max())} in a block of "
                f"{self.next_frame} to {frames_done - 1}"
            )
        with self._explained():
            self._file.append(table, frames_done=frames_done, first_row=self._rows)
        self.next_frame = frames_done
        self._rows += len(table)

    def finish(self) -> None:
        """Give the table its final name."""
        parts, finals = self._file.companions(self._file.path), self._file.companions(self.path)
        with self._explained():
            for part, final in zip(parts, finals, strict=True):
                os.replace(part, final)
        self._file.forget_progress()

    def discard(self) -> None:
        """Delete what was written: there is nothing to resume."""
        self._file.forget_progress()
        for part in self._file.companions(self._file.path):
            part.unlink(missing_ok=True)

    def _explained(self) -> Any:
        return explain_write_errors(
            self.path,
            f"Free some space or choose another folder. What is done is kept in {self._file.path.name}; "
            "--resume goes on from there",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()


def open_table_writer(
    path: str | Path,
    *,
    pixel_um: float,
    frames: int,
    shape: tuple[int, int],
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    resume: bool = False,
) -> TableWriter[Localizations]:
    """A growing table of localizations, .hdf5 (Picasso) or .csv (ThunderSTORM).

    pixel_um: object pixel, µm;  frames, shape (height, width) px: of the movie;  provenance: what made the
    rows, kept in .hdf5;  resume: go on with ``OUT.part.*`` where there is one.
    Raises InputError for another ending, an existing file or an interrupted run without `overwrite`, a
    part of another recording, or a failed write.
    """
    path, header = Path(path), TableHeader(pixel_um, frames, shape, provenance or {})
    suffix = path.suffix.lower()
    if suffix == ".hdf5":
        return TableWriter(path, PicassoFile(part_path(path), header), overwrite=overwrite, resume=resume)
    if suffix == ".csv":
        return TableWriter(path, ThunderstormFile(part_path(path), header), overwrite=overwrite, resume=resume)
    if suffix == ".h5":
        raise InputError(f"{path}: a smappy table cannot grow; write .hdf5 or .csv and convert it")
    raise _unknown(path)


def open_truth_writer(
    path: str | Path, *, pixel_um: float, frames: int, shape: tuple[int, int], overwrite: bool = False
) -> TableWriter[Emitters]:
    """A growing table of true emitters, .csv (ThunderSTORM); arguments and errors as in `open_table_writer`."""
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise InputError(f"{path}: a table of true emitters is written as .csv, not '{path.suffix}'")
    growing = ThunderstormFile(part_path(path), TableHeader(pixel_um, frames, shape), truth=True)
    return TableWriter(path, growing, overwrite=overwrite, resume=False)


def write_table(
    path: str | Path,
    localizations: Localizations,
    *,
    pixel_um: float,
    frames: int,
    shape: tuple[int, int],
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a whole table; the ending says how: .hdf5 Picasso, .csv ThunderSTORM, .h5 smappy.

    Arguments as in `open_table_writer`.  Raises InputError for another ending, an existing file without
    `overwrite`, or a failed write, after which nothing stands under the final name.
    """
    path, header = Path(path), TableHeader(pixel_um, frames, shape, provenance or {})
    suffix = path.suffix.lower()
    claim_name(path, overwrite=overwrite)
    if suffix == ".h5":
        part = part_path(path)
        try:
            with explain_write_errors(path, "Free some space or choose another folder."):
                write_smappy(part, localizations, header)
                os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        return
    if suffix not in (".hdf5", ".csv"):
        raise _unknown(path)
    growing = (PicassoFile if suffix == ".hdf5" else ThunderstormFile)(part_path(path), header)
    _write_whole(TableWriter(path, growing, overwrite=overwrite, resume=False), localizations, frames)


def write_truth(
    path: str | Path,
    emitters: Emitters,
    *,
    pixel_um: float,
    frames: int,
    shape: tuple[int, int],
    overwrite: bool = False,
) -> None:
    """Write a whole table of true emitters as ThunderSTORM CSV; arguments and errors as in `write_table`."""
    writer = open_truth_writer(path, pixel_um=pixel_um, frames=frames, shape=shape, overwrite=overwrite)
    _write_whole(writer, emitters, frames)


def _write_whole(writer: TableWriter[Table], table: Table, frames: int) -> None:
    """One block and the final name; a part of it is worth nothing, so none is left."""
    try:
        with writer:
            writer.append(table, frames_done=max(frames, int(table.frame.max()) + 1 if len(table) else 0))
    except BaseException:
        writer.discard()
        raise


def read_table(path: str | Path, *, pixel_um: float | None = None) -> Localizations:
    """Read localizations from Picasso HDF5, ThunderSTORM CSV or smappy HDF5.

    pixel_um: needed only for a file that does not name its pixel size.
    Raises InputError for a missing file, an unknown format, missing columns or an unknown pixel size.
    """
    return _read(Path(path), pixel_um)[0]


def read_header(path: str | Path, *, pixel_um: float | None = None) -> TableHeader:
    """Pixel, frames, image shape and provenance of a table.

    Where the format does not hold them (.csv), frames and shape are the smallest that hold its rows.
    Arguments and errors as in `read_table`.
    """
    return _read(Path(path), pixel_um)[1]


def read_truth(path: str | Path, *, pixel_um: float | None = None) -> Emitters:
    """Read true emitters from ThunderSTORM CSV (or the positions and photons of any other table).

    Arguments and errors as in `read_table`.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        _require_file(path)
        return read_thunderstorm_truth(path, pixel_um)
    import torch

    found = read_table(path, pixel_um=pixel_um)
    return Emitters(
        xyz=found.xyz, frame=found.frame, photons=found.photons, id=torch.arange(len(found), dtype=torch.int64)
    )


def _read(path: Path, pixel_um: float | None) -> tuple[Localizations, TableHeader]:
    _require_file(path)
    if path.suffix.lower() == ".csv":
        return read_thunderstorm(path, pixel_um)
    if path.suffix.lower() not in (".hdf5", ".h5"):
        raise _unknown(path)
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            locs = file.get("locs")
            picasso, smappy = isinstance(locs, h5py.Dataset), isinstance(locs, h5py.Group)
            names = ", ".join(file)
        if picasso:
            return read_picasso(path, pixel_um)
        if smappy:
            return read_smappy(path, pixel_um)
    except OSError as error:
        raise InputError(f"{path}: not an HDF5 file, or damaged ({error})") from error
    raise InputError(
        f"{path}: no table '/locs' in this HDF5 file (it has: {names or 'nothing'}); known are {KNOWN}"
    )


def _refuse_foreign_sidecars(names: list[Path]) -> None:
    """A table's YAML sidecar may share its name with the user's experiment file: never replace that."""
    for sidecar in names:
        if sidecar.suffix == ".yaml" and sidecar.exists():
            text = sidecar.read_text(encoding="utf-8", errors="replace")
            if "Width:" not in text or "Frames:" not in text:
                raise InputError(
                    f"{sidecar} exists and does not belong to a table; it would be replaced by the description "
                    "that Picasso reads beside the output: give the output another name"
                )


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: there is no such table; check the name")


def _unknown(path: Path) -> InputError:
    return InputError(f"{path}: unknown kind of table '{path.suffix}'; known are {KNOWN}")
