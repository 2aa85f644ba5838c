"""Register: the transform between two channels, from a list of each; lists taken from one to the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..calibration.registration.figure import registration as registration_figure
from ..calibration.registration.registration import (
    ChannelList,
    Registration,
    RegistrationRule,
    register_lists,
)
from ..channels import halves_of
from ..channels.camera_halves import Side
from ..emitters import Localizations
from ..errors import InputError
from ..field import Field
from ..io.tables import TableHeader, claim_list
from ..io.transforms import read_transform, write_transform
from ..io.transforms.formats import claim_transform
from ..plot.panels import claim_picture, save_figure
from ..watch import SILENT, Watcher
from .reading_lists import read_localizations, write_derived

__all__ = ["MovedList", "Unsaid", "field_of_list", "move_list", "register_files", "split_list", "whole_frame"]


@dataclass(frozen=True)
class Unsaid:
    """For lists that do not say it: camera pixel in the sample, nm; (height, width) px of the whole frames."""

    pixel_nm: float | None = None
    shape: tuple[int, int] | None = None


def register_files(
    sources: tuple[Path, Path] | tuple[Path, Side],
    out: Path,
    rule: RegistrationRule | None = None,
    *,
    picture: Path | None = None,
    unsaid: Unsaid | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> Registration:
    """Find the transform between two lists (`register_lists`), write it, and draw it where asked to.

    sources: the list of each channel, or one list of both halves of a camera and how they lie;  out: .yaml;
    unsaid: what the lists do not say of their frames; without a shape two lists are taken to fill them, and a
    warning says so.
    Raises InputError as `register_lists`, and for an output that cannot be written.
    """
    claim_transform(out, overwrite=overwrite)
    if picture is not None:
        claim_picture(picture, overwrite=overwrite)
    first, second, notes = _channels(sources, unsaid or Unsaid())
    try:
        found = register_lists(first, second, rule, watch=watch)
    except InputError as error:
        raise InputError(f"{first.name}, {second.name}: {error.what}", error.remedy) from error
    found = replace(found, warnings=[*notes, *found.warnings])
    if picture is not None:
        save_figure(registration_figure(found), picture)
    write_transform(out, found.channels, overwrite=overwrite)
    return found


def _channels(
    sources: tuple[Path, Path] | tuple[Path, Side], unsaid: Unsaid
) -> tuple[ChannelList, ChannelList, list[str]]:
    """Both channels with their fields, and what was seen while reading."""
    source, other = sources
    pixel_nm, shape = unsaid.pixel_nm, unsaid.shape
    table, header = read_localizations(source, pixel_nm)
    if not isinstance(other, Path):
        first, second = split_list(table, other, whole_frame(source, header, shape), header.pixel_um)
        return replace(first, name=source.name), replace(second, name=source.name), [*header.notes]
    there, beside = read_localizations(other, pixel_nm)
    if not (header.guessed or beside.guessed):
        whole_frame(source, header, shape)
    one, guess = field_of_list(source, header, shape)
    two, guess_there = field_of_list(other, beside, shape)
    return (
        ChannelList(table, one, source.name),
        ChannelList(there, two, other.name),
        [*header.notes, *guess, *beside.notes, *guess_there],
    )


def whole_frame(source: Path, header: TableHeader, given: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of the frames that have halves: as the list says, else as given."""
    height, width = header.shape
    if given is None and header.guessed:
        raise InputError(
            f"{source} does not say how large its frames are (its rows reach to {width} x {height} px), and "
            "halves are those of the whole frame",
            "give the frame's size (`shape`)",
        )
    if given is None or given == header.shape:
        return header.shape
    if not header.guessed or given[0] < height or given[1] < width:
        says = "its rows reach to" if header.guessed else "it says its frames are"
        raise InputError(
            f"{source}: {says} {width} x {height} px, and the frames are given as {given[1]} x {given[0]} px "
            "(`shape`)",
            "columns come first",
        )
    return given


def field_of_list(source: Path, header: TableHeader, given: tuple[int, int] | None) -> tuple[Field, list[str]]:
    """The frames of a list, and a note where they are a guess;  given: their size, for a list that has none."""
    guess = []
    if header.guessed and given is None:
        height, width = header.shape
        guess = [
            f"{source.name} does not say how large its frames are: they are taken to end where its rows do, at "
            f"{width} x {height} px; give their size (`shape`)"
        ]
    height, width = header.shape if guess or not header.guessed else whole_frame(source, header, given)
    return Field(height, width, float(header.pixel_um)), guess


def split_list(
    table: Localizations, side: Side, shape: tuple[int, int], pixel_um: float
) -> tuple[ChannelList, ChannelList]:
    """The rows of each half of the frames, those of the second half in its own µm.

    shape: (height, width) px of the frames.  Raises InputError where a half has no rows.
    """
    halves = halves_of(side, shape, float(pixel_um))
    rows = halves.rows(table.xyz)
    for which, chosen in zip(side.split("-"), rows, strict=True):
        if not bool(chosen.any()):
            raise InputError(
                f"no row lies in the {which} half of the frames of {shape[1]} x {shape[0]} px",
                "is it the other side, or are the channels in two lists?",
            )
    x, y = halves.origin_um.tolist()
    height, width = halves.size
    origin = (halves.start_px, 0) if side == "left-right" else (0, halves.start_px)
    first = ChannelList(table.select(rows[0]), Field(height, width, halves.pixel_um))
    second = ChannelList(
        table.select(rows[1]).shift((-x, -y, 0.0)), Field(height, width, halves.pixel_um, origin)
    )
    return first, second


@dataclass(frozen=True)
class MovedList:
    """A list taken to the other channel: its rows, those outside of that channel's frames, warnings."""

    rows: int
    outside: int
    warnings: list[str]


def move_list(
    source: Path,
    out: Path,
    transform: Path,
    *,
    undo: bool = False,
    pixel_nm: float | None = None,
    overwrite: bool = False,
) -> MovedList:
    """Write a list of the first channel where the second has it, or with `undo` one of the second in the first.

    Rows that lie outside of that channel's frames stay, and are counted; the list's frames are those of that
    channel, whatever lies outside. Warns where the list is of frames of
    another size or pixel than those that were registered.
    Raises InputError where the transform cannot be read, and for an output that cannot be written.
    """
    claim_list(out, overwrite=overwrite)
    table, header = read_localizations(source, pixel_nm)
    channels = read_transform(transform, pixel_um=header.pixel_um)
    warnings = [*header.notes, *channels.doubts(header.shape, header.pixel_um, second=undo)]
    moved = channels.undo(table) if undo else channels.apply(table)
    there = channels.fields[not undo]
    outside = int((~there.inside(moved.xyz)).sum())
    if outside:
        warnings.append(
            f"{outside} of {len(moved)} rows lie outside of the other channel's frames of {there.width} x "
            f"{there.height} px: that camera does not see them"
        )
    written = replace(header, pixel_um=there.pixel_um, shape=(there.height, there.width))
    settings = {"source": source.name, "transform": transform.name, "to": "first" if undo else "second"}
    write_derived(out, moved, written, "register", settings, overwrite=overwrite)
    return MovedList(len(moved), outside, warnings)
