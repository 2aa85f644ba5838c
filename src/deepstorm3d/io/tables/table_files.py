"""Read and write tables of localizations and of true emitters, in any of `FORMATS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import torch

from ...emitters import Emitters, Localizations
from ...errors import InputError
from ...extent import refuse_pixel
from ...front_door import public
from ..parts import claim_name, part_path, unfinished_path, whole_file
from ..sole_writer import SoleWriter
from .formats import format_of, format_to_write
from .growing import TableWriter, claim_table, write_whole
from .header import TableHeader
from .thunderstorm import ThunderstormFile, read_thunderstorm_truth
from .writable import refuse_unwritable

__all__ = [
    "claim_list",
    "claim_truth",
    "open_list_writer",
    "open_table_writer",
    "open_truth_writer",
    "read_header",
    "read_list",
    "read_table",
    "read_truth",
    "read_truth_list",
    "write_list",
    "write_table",
    "write_truth",
]


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
    """A growing table of localizations, .hdf5 (Picasso) or .csv (ThunderSTORM), of rows fitted frame by frame.

    pixel_um: object pixel, µm;  frames, shape (height, width) px: of the movie;  provenance: what made the
    rows, kept in .hdf5;  resume: go on with ``OUT.part.*`` where there is one.
    Raises InputError for another ending, an existing file or an interrupted run without `overwrite`, a
    part of another recording, or a failed write.
    """
    header = TableHeader(pixel_um, frames, shape, provenance or {})
    return open_list_writer(path, header, Localizations.empty(), overwrite=overwrite, resume=resume)


def open_list_writer(
    path: str | Path,
    header: TableHeader,
    like: Localizations,
    *,
    part: Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
) -> TableWriter[Localizations]:
    """A growing table with its header, of blocks that all have the columns of one table.

    like: a table (without rows, too) with these columns, e.g. `molecule`;  part: the name under which it grows
    (None: ``OUT.part.*``);  the rest and errors as in `open_table_writer`, and InputError where the part to go
    on with has other columns.
    """
    path = Path(path)
    kind = format_to_write(path, None)
    if kind.grow is None:
        raise InputError(f"{path}: a {kind.name} table cannot grow", "write .hdf5 or .csv and convert it")
    growing = kind.grow(part or part_path(path), header, like)
    return TableWriter(path, growing, overwrite=overwrite, resume=resume)


def open_truth_writer(
    path: str | Path,
    *,
    pixel_um: float,
    frames: int,
    shape: tuple[int, int],
    like: Emitters | None = None,
    overwrite: bool = False,
) -> TableWriter[Emitters]:
    """A growing table of true emitters, .csv (ThunderSTORM); arguments and errors as in `open_table_writer`.

    A simulation cannot go on from a part of it, so none is left, and what was left by one that was killed is
    replaced.
    like: a table (without rows, too) with the columns of all blocks; None: those of `Emitters.empty`.
    """
    path = Path(path)
    _refuse_other_than_csv(path)
    like = Emitters.empty() if like is None else like
    growing = ThunderstormFile(unfinished_path(path), TableHeader(pixel_um, frames, shape), like)
    return TableWriter(path, growing, overwrite=overwrite, resume=False, goes_on=False)


@public
def write_table(
    path: str | Path,
    localizations: Localizations,
    *,
    pixel_um: float,
    frames: int,
    shape: tuple[int, int],
    format: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a whole table; the ending says how: .hdf5 Picasso, .csv ThunderSTORM, .h5 smappy.

    Parameters
    ----------
    path
        File to write.
    localizations : Localizations
    pixel_um : float
        Camera pixel in the sample, µm.
    frames : int
        Of the movie.
    shape : tuple
        Height and width of its frames, px.
    format : str
        Where the ending means another format: "picasso", "smappy", "decode", "thunderstorm", "smap" or
        "challenge".
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    InputError
        For an unknown ending or format, an ending that is not the format's, a pixel or shape that no camera
        has, rows of frames that the movie has not, a column with NaN or infinity, an existing file without
        `overwrite`, or a failed write, after which nothing stands under the final name.
    """
    refuse_pixel(pixel_um)
    _refuse_shape(shape)
    _refuse_beyond(localizations, frames)
    write_list(path, localizations, TableHeader(pixel_um, frames, shape), format=format, overwrite=overwrite)


def claim_list(path: Path, *, format: str | None = None, overwrite: bool) -> None:
    """Check, before any work is done, that `write_list` may write there; raises InputError as it does."""
    claim_table(format_to_write(path, format).companions(path), overwrite=overwrite)


def write_list(
    path: str | Path,
    localizations: Localizations,
    header: TableHeader,
    *,
    format: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a table with its header, as `read_list` gives them; arguments and errors as in `write_table`."""
    path = Path(path)
    kind = format_to_write(path, format)
    claim_list(path, format=format, overwrite=overwrite)
    refuse_unwritable(localizations)
    if kind.grow is not None:
        growing = kind.grow(unfinished_path(path), header, localizations)
        write_whole(path, growing, localizations, header.frames)
    elif kind.write is not None:
        with SoleWriter(unfinished_path(path), path), whole_file(path) as temporary:
            kind.write(temporary, localizations, header)


@public
def write_truth(
    path: str | Path,
    emitters: Emitters,
    *,
    pixel_um: float,
    frames: int,
    shape: tuple[int, int],
    overwrite: bool = False,
) -> None:
    """Write a whole table of true emitters as ThunderSTORM CSV.

    Parameters
    ----------
    path
        File, .csv.
    emitters : Emitters
    pixel_um : float
        Camera pixel in the sample, µm.
    frames : int
        Of the movie.
    shape : tuple
        Height and width of its frames, px.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    InputError
        For another ending, a pixel or shape that no camera has, rows of frames that the movie has not, a column
        with NaN or infinity, an existing file without `overwrite`, or a failed write.
    """
    path = Path(path)
    refuse_pixel(pixel_um)
    _refuse_shape(shape)
    _refuse_beyond(emitters, frames)
    claim_truth(path, overwrite=overwrite)
    refuse_unwritable(emitters)
    growing = ThunderstormFile(unfinished_path(path), TableHeader(pixel_um, frames, shape), emitters)
    write_whole(path, growing, emitters, frames)


def claim_truth(path: Path, *, overwrite: bool) -> None:
    """Check, before any work is done, that `write_truth` may write there; raises InputError as it does."""
    _refuse_other_than_csv(path)
    claim_name(path, overwrite=overwrite)


def _refuse_shape(shape: Sequence[int]) -> None:
    """Refuse what is no (height, width) in px."""
    sides = list(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else []
    whole = all(isinstance(each, Integral) and each >= 1 for each in sides)
    if len(sides) != 2 or not whole:
        raise InputError(f"the shape of a frame is (height, width) in px, two whole numbers, not {shape!r}")


def _refuse_beyond(table: Localizations | Emitters, frames: int) -> None:
    """Refuse rows of frames that a movie of so many frames has not."""
    last = int(table.frame.max()) if len(table) else -1
    if last >= frames:
        raise InputError(
            f"there are rows of frame {last}, counted from 0, and the movie has {frames} frames",
            f"give the number of the movie's frames (`frames`), at least {last + 1}",
        )


def _refuse_other_than_csv(path: Path) -> None:
    if path.suffix.lower() != ".csv":
        raise InputError(f"{path}: a table of true emitters is written as .csv, not '{path.suffix}'")


def read_table(path: str | Path, *, pixel_um: float | None = None) -> Localizations:
    """Localizations from a file of any format of `FORMATS`; rows without a position or a frame are left out.

    pixel_um: camera pixel in the sample, µm, for a file that does not name it; 0.0 takes positions in nm as
    they are.  Raises InputError for a missing or damaged file, an unknown format, missing columns, text in
    place of numbers, a doubled column, or an unknown pixel size.
    """
    return read_list(path, pixel_um=pixel_um)[0]


def read_header(path: str | Path, *, pixel_um: float | None = None) -> TableHeader:
    """Pixel, frames, image shape and provenance of a table.

    Where the format does not hold them (.csv), frames and shape are the smallest that hold its rows.
    Arguments and errors as in `read_table`.
    """
    return read_list(path, pixel_um=pixel_um)[1]


def read_list(path: str | Path, *, pixel_um: float | None = None) -> tuple[Localizations, TableHeader]:
    """What `read_table` and `read_header` give, from one reading; arguments and errors as there."""
    path = Path(path)
    return format_of(path).read(path, pixel_um)


def read_truth(path: str | Path, *, pixel_um: float | None = None) -> Emitters:
    """True emitters from ThunderSTORM CSV, or positions and photons of any other table; as `read_table`."""
    return read_truth_list(path, pixel_um=pixel_um)[0]


def read_truth_list(path: str | Path, *, pixel_um: float | None = None) -> tuple[Emitters, TableHeader]:
    """What `read_truth` gives, and the header of the file; arguments and errors as in `read_table`."""
    path = Path(path)
    if format_of(path).name == "thunderstorm":
        return read_thunderstorm_truth(path, pixel_um)
    found, header = read_list(path, pixel_um=pixel_um)
    number = torch.arange(len(found), dtype=torch.int64) if found.molecule is None else found.molecule
    truth = Emitters(xyz=found.xyz, frame=found.frame, photons=found.photons, id=number, dye=found.dye)
    return truth, header
