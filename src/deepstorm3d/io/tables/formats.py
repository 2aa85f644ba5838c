"""The formats of tables in files: all of them, and which one a file is in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...emitters import Localizations
from ...errors import InputError
from .challenge import is_challenge, read_challenge, write_challenge
from .csv_table import column_names
from .decode import is_decode, read_decode, write_decode
from .deepstorm3d_csv import is_deepstorm3d_csv, read_deepstorm3d_csv
from .growing import GrowingFile
from .hdf5 import reading
from .header import TableHeader
from .oni import is_oni, read_oni
from .picasso import is_picasso, read_picasso
from .picasso_file import PicassoFile
from .smap import is_smap, read_smap, write_smap
from .smappy import is_smappy, read_smappy, write_smappy
from .sml_mat import read_sml_mat
from .thunderstorm import ThunderstormFile, is_thunderstorm, read_thunderstorm

__all__ = ["FORMATS", "TableFormat", "format_of", "format_to_write"]


@dataclass(frozen=True)
class TableFormat:
    """One kind of table file: a module of its own converts origin, axes, units and frame base.

    name: as `write_table` takes it;  title: for people;  endings: of its files, the first one the usual;
    also_read: endings that others give such a file;  sniff: whether a file with such an ending is of this
    kind;  read: rows and header of a file, given the pixel in µm for one that does not name it;  write: a
    whole table;  grow: a file that takes it in blocks, made from its path, the header and a table that has the
    columns of all blocks.
    companions: all files of a table of that name, the table first.
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
    companions: Callable[[Path], list[Path]] = lambda path: [path]

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
        companions=PicassoFile.companions,
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
        name="oni",
        title="ONI CSV",
        endings=(".csv",),
        also_read=TEXT_ENDINGS,
        sniff=_named(is_oni),
        read=read_oni,
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

# Endings of movies and pictures, which are now and then given in place of a list.
_MOVIES = {".tif", ".tiff", ".nd2", ".zarr", ".raw", ".png"}


def format_of(path: Path) -> TableFormat:
    """The format of a file, by its ending and what is in it."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such table", "check the name")
    possible = [kind for kind in FORMATS if path.suffix.lower() in kind.endings + kind.also_read]
    if not possible:
        raise _unknown_to_read(path)
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
    elif {"x_nm", "y_nm", "z_nm"} <= set(names):
        remedy = "; these are the names of to_pandas and to_numpy: write the list with ds.write_table"
    elif len(names) == 1:
        remedy = "; are the names separated by something else than commas, semicolons or tabs?"
    return InputError(f"{path}: no known table has these columns: {listed}; known are {known}{remedy}")


def format_to_write(path: Path, name: str | None) -> TableFormat:
    """The format of that name, or the one whose usual ending the path has."""
    suffix, writable = path.suffix.lower(), [kind for kind in FORMATS if kind.writes]
    if name is None:
        usual = next((kind for kind in writable if kind.endings[0] == suffix), None)
        if usual is None:
            first = {kind.endings[0]: kind.title for kind in reversed(writable)}
            endings = " or ".join(f"{ending} ({title})" for ending, title in reversed(first.items()))
            raise InputError(f"{path}: no list is written as '{path.suffix}'", f"name it {endings}")
        return usual
    kind = next((kind for kind in writable if kind.name == name), None)
    if kind is None:
        known = ", ".join(kind.name for kind in writable)
        raise InputError(f"'{name}' is no format of a table that can be written; there are {known}")
    if suffix not in kind.endings:
        raise InputError(f"{path}: {kind.title} is written as {' or '.join(kind.endings)}, not '{path.suffix}'")
    return kind


def _unknown_to_read(path: Path) -> InputError:
    if path.suffix.lower() in _MOVIES:
        return InputError(f"{path} is a movie or a picture, not a list", "localize the movie first")
    known = ", ".join(f"{kind.title} ({kind.endings[0]})" for kind in FORMATS)
    return InputError(f"{path}: unknown kind of table '{path.suffix}'; known are {known}")
