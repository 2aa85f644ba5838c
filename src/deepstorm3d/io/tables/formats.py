"""Tables of localizations and of true emitters in files: every format, and which one a file is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...emitters import Emitters, Localizations
from ...errors import InputError
from ..parts import claim_name, part_path, whole_file
from .challenge import is_challenge, read_challenge, write_challenge
from .csv_table import column_names
from .decode import is_decode, read_decode, write_decode
from .deepstorm3d_csv import is_deepstorm3d_csv, read_deepstorm3d_csv
from .growing import GrowingFile, TableWriter, write_whole
from .hdf5 import reading
from .header import TableHeader
from .picasso import is_picasso, read_picasso
from .picasso_file import PicassoFile
from .smap import is_smap, read_smap, write_smap
from .smappy import is_smappy, read_smappy, write_smappy
from .sml_mat import read_sml_mat
from .thunderstorm import ThunderstormFile, is_thunderstorm, read_thunderstorm, read_thunderstorm_truth

__all__ = [
    "FORMATS",
    "TableFormat",
    "TableHeader",
    "TableWriter",
    "open_table_writer",
    "open_truth_writer",
    "read_header",
    "read_list",
    "read_table",
    "read_truth",
    "read_truth_list",
    "write_table",
    "write_truth",
]


@dataclass(frozen=True)
class TableFormat:
    """One kind of table file: a module of its own converts origin, axes, units and frame base.

    name: as `write_table` takes it;  title: for people;  endings: of its files, the first one the usual;
    also_read: endings that others give such a file;  sniff: whether a file with such an ending is of this
    kind;  read: rows and header of a file, given the pixel in µm for one that does not name it;  write: a
    whole table;  grow: a file that takes it in blocks, made from its path, the header and a table that has the
    columns of all blocks.
    A format has `write` or `grow`; with neither it is read only.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    sniff: Callable[[Path], bool]
    read: Callable[[Path, float | None], tuple[Localizations, TableHeader]]
    write: Callable[[Path, Localizations, TableHeader], None] | None = None
    grow: Callable[[Path, TableHeader, Localizations], GrowingFile] | None = None
    also_read: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        return self.write is not None or self.grow is not None


def _named(is_of_kind: Callable[[Sequence[str]], bool]) -> Callable[[Path], bool]:
    """The test of a CSV by the names of its columns."""
    return lambda path: is_of_kind(column_names(path))


TEXT_ENDINGS = (".txt", ".tsv", ".xls")
"""Other endings of text tables: ThunderSTORM's .xls are text with tabs."""

# A new format is one module and one entry here. The first that fits is taken: on reading by its `sniff`,
# on writing by its usual ending.
FORMATS = (
    TableFormat(
        name="picasso",
        title="Picasso HDF5",
        endings=(".hdf5", ".h5"),
        sniff=is_picasso,
        read=read_picasso,
        grow=PicassoFile,
    ),
    TableFormat(
        name="smappy",
        title="smappy HDF5",
        endings=(".h5", ".hdf5"),
        sniff=is_smappy,
        read=read_smappy,
        write=write_smappy,
    ),
    TableFormat(
        name="decode",
        title="DECODE HDF5",
        endings=(".h5", ".hdf5"),
        sniff=is_decode,
        read=read_decode,
        write=write_decode,
    ),
    TableFormat(
        name="deepstorm3d",
        title="DeepSTORM3D CSV",
        endings=(".csv",),
        also_read=TEXT_ENDINGS,
        sniff=_named(is_deepstorm3d_csv),
        read=read_deepstorm3d_csv,
    ),
    TableFormat(
        name="thunderstorm",
        title="ThunderSTORM CSV",
        endings=(".csv",),
        also_read=TEXT_ENDINGS,
        sniff=_named(is_thunderstorm),
        read=read_thunderstorm,
        grow=ThunderstormFile,
    ),
    TableFormat(
        name="smap",
        title="SMAP CSV",
        endings=(".csv",),
        also_read=TEXT_ENDINGS,
        sniff=_named(is_smap),
        read=read_smap,
        write=write_smap,
    ),
    TableFormat(
        name="challenge",
        title="SMLM challenge 2016 CSV",
        endings=(".csv",),
        also_read=TEXT_ENDINGS,
        sniff=_named(is_challenge),
        read=read_challenge,
        write=write_challenge,
    ),
    TableFormat(
        name="sml",
        title="SMAP _sml.mat",
        endings=(".mat",),
        sniff=lambda path: True,  # the reader says what is missing
        read=read_sml_mat,
    ),
)


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
    """A growing table of localizations, .hdf5 (Picasso) or .csv (ThunderSTORM); rows are single frames.

    pixel_um: object pixel, µm;  frames, shape (height, width) px: of the movie;  provenance: what made the
    rows, kept in .hdf5;  resume: go on with ``OUT.part.*`` where there is one.
    Raises InputError for another ending, an existing file or an interrupted run without `overwrite`, a
    part of another recording, or a failed write.
    """
    path, header = Path(path), TableHeader(pixel_um, frames, shape, provenance or {})
    kind = _format_to_write(path, None)
    if kind.grow is None:
        raise InputError(f"{path}: a {kind.name} table cannot grow; write .hdf5 or .csv and convert it")
    growing = kind.grow(part_path(path), header, Localizations.empty())
    return TableWriter(path, growing, overwrite=overwrite, resume=resume)


def open_truth_writer(
    path: str | Path, *, pixel_um: float, frames: int, shape: tuple[int, int], overwrite: bool = False
) -> TableWriter[Emitters]:
    """A growing table of true emitters, .csv (ThunderSTORM); arguments and errors as in `open_table_writer`."""
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise InputError(f"{path}: a table of true emitters is written as .csv, not '{path.suffix}'")
    growing = ThunderstormFile(part_path(path), TableHeader(pixel_um, frames, shape), Emitters.empty())
    return TableWriter(path, growing, overwrite=overwrite, resume=False)


def write_table(
    path: str | Path,
    localizations: Localizations,
    *,
    pixel_um: float,
    frames: int,
    shape: tuple[int, int],
    provenance: Mapping[str, Any] | None = None,
    format: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a whole table; the ending says how: .hdf5 Picasso, .csv ThunderSTORM, .h5 smappy.

    format: the name of one of `FORMATS` where the ending means another;  other arguments as in
    `open_table_writer`.  Raises InputError for an unknown ending or format, an ending that is not the
    format's, an existing file without `overwrite`, or a failed write, after which nothing stands under the
    final name.
    """
    path, header = Path(path), TableHeader(pixel_um, frames, shape, provenance or {})
    kind = _format_to_write(path, format)
    if kind.grow is not None:
        growing = kind.grow(part_path(path), header, localizations)
        write_whole(TableWriter(path, growing, overwrite=overwrite, resume=False), localizations, frames)
    elif kind.write is not None:
        claim_name(path, overwrite=overwrite)
        with whole_file(path) as temporary:
            kind.write(temporary, localizations, header)


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
        For another ending, an existing file without `overwrite`, or a failed write.
    """
    writer = open_truth_writer(path, pixel_um=pixel_um, frames=frames, shape=shape, overwrite=overwrite)
    write_whole(writer, emitters, frames)


def read_table(path: str | Path, *, pixel_um: float | None = None) -> Localizations:
    """Read localizations from a file of any known format; its contents say which.

    Rows without a position or a frame are left out.

    Parameters
    ----------
    path
        Picasso or our own .hdf5, ThunderSTORM, SMAP, DeepSTORM3D or challenge .csv, smappy or DECODE .h5,
        SMAP _sml.mat.
    pixel_um : float
        Camera pixel in the sample, µm, for a file that does not name it; 0.0 takes positions in nm as they are.

    Returns
    -------
    Localizations

    Raises
    ------
    InputError
        For a missing or damaged file, an unknown format, missing columns, text in place of numbers, a doubled
        column, or an unknown pixel size.
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
    return _format_of(path).read(path, pixel_um)


def read_truth(path: str | Path, *, pixel_um: float | None = None) -> Emitters:
    """Read true emitters from ThunderSTORM CSV, or the positions and photons of any other table.

    Parameters
    ----------
    path
        As for `read_table`.
    pixel_um : float
        Camera pixel in the sample, µm, for a file that does not name it.

    Returns
    -------
    Emitters

    Raises
    ------
    InputError
        As `read_table` does.
    """
    return read_truth_list(path, pixel_um=pixel_um)[0]


def read_truth_list(path: str | Path, *, pixel_um: float | None = None) -> tuple[Emitters, TableHeader]:
    """What `read_truth` gives, and the header of the file; arguments and errors as in `read_table`."""
    path = Path(path)
    if _format_of(path).name == "thunderstorm":
        return read_thunderstorm_truth(path, pixel_um)
    found, header = read_list(path, pixel_um=pixel_um)
    number = torch.arange(len(found), dtype=torch.int64)
    return Emitters(xyz=found.xyz, frame=found.frame, photons=found.photons, id=number), header


def _format_of(path: Path) -> TableFormat:
    """The format of a file, by its ending and what is in it."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such table; check the name")
    possible = [kind for kind in FORMATS if path.suffix.lower() in kind.endings + kind.also_read]
    if not possible:
        raise _unknown(path)
    found = next((kind for kind in possible if kind.sniff(path)), None)
    if found is not None:
        return found
    known = ", ".join(kind.title for kind in possible)
    if possible[0].endings == (".csv",):
        raise _unknown_columns(path, column_names(path), known)
    with reading(path) as file:
        names = ", ".join(file) or "nothing"
    raise InputError(f"{path}: no known table in this HDF5 file (it has: {names}); known are {known}")


def _unknown_columns(path: Path, names: Sequence[str], known: str) -> InputError:
    listed = ", ".join(names) or "(none)"
    remedy = ""
    if {"x", "y"} <= {name.lower() for name in names}:
        remedy = "; x and y name no unit: write it into the first line, e.g. x [nm] or x [px]"
    elif len(names) == 1:
        remedy = "; are the names separated by something else than commas, semicolons or tabs?"
    return InputError(f"{path}: no known table has these columns: {listed}; known are {known}{remedy}")


def _format_to_write(path: Path, name: str | None) -> TableFormat:
    """The format of that name, or the one whose usual ending the path has."""
    suffix, writable = path.suffix.lower(), [kind for kind in FORMATS if kind.writes]
    if name is None:
        usual = next((kind for kind in writable if kind.endings[0] == suffix), None)
        if usual is None:
            raise _unknown(path)
        return usual
    kind = next((kind for kind in writable if kind.name == name), None)
    if kind is None:
        known = ", ".join(kind.name for kind in writable)
        raise InputError(f"'{name}' is no format of a table that can be written; there are {known}")
    if suffix not in kind.endings:
        raise InputError(f"{path}: {kind.title} is written as {' or '.join(kind.endings)}, not '{path.suffix}'")
    return kind


def _unknown(path: Path) -> InputError:
    known = ", ".join(f"{kind.title} ({kind.endings[0]})" for kind in FORMATS)
    return InputError(f"{path}: unknown kind of table '{path.suffix}'; known are {known}")
