"""The named columns of a table file, checked as they become ours: never NaN, no row dropped without a word.

What a file does not know, in a row or at all, becomes 0 (`emitters.Localizations`): σ, photons, deviances and
probabilities that are missing, no number, or not above 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...emitters import SigmaSource
from ...errors import InputError, MissingPixelSize
from ...extent import refuse_pixel

__all__ = ["FRACTIONS", "NM", "Columns", "listed", "pixel_size", "rows_of_each", "sigma_source"]

NM = (1e-3, 1e-3, 1e-3)
"""One step of x, y and z in a file in nm, µm."""
FARTHEST_UM = 16384.0
"""Up to here float32 keeps steps of 1 nm or less (0.3 nm rms); mosaics of many fields are smaller."""
FRACTIONS = ("share", "sigma_share", "dye_probability")
"""Columns of a list from two channels that lie between 0 and 1."""


@dataclass(frozen=True)
class Columns:
    """The columns of one table file by their names there; each call checks what it takes.

    path: for messages;  values: name -> (N,) as in the file, in its units and from its origin;
    doubled: names that the file gives to more than one column;  unread: name -> the words in a column that
    should be numbers;  number: (N,) of each row in the file, from 1 (None: all are there);  notes: what was
    seen that the user should know.
    """

    path: Path
    values: Mapping[str, NDArray[Any]]
    doubled: frozenset[str] = frozenset()
    unread: Mapping[str, str] = field(default_factory=dict)
    number: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def __len__(self) -> int:
        """Rows of the longest column."""
        return max((len(np.atleast_1d(column)) for column in self.values.values()), default=0)

    def require(self, names: Iterable[str], what: str) -> None:
        """Raise InputError where one of the columns is missing that make it a table of this kind in 3D."""
        missing = [name for name in names if name not in self.values]
        if missing:
            there = ", ".join(self.values) or "(none)"
            raise InputError(
                f"{self.path}: the {what} has no column {', '.join(missing)} (it has {there}); "
                "a 3D table is needed"
            )

    def placed(self, positions: Sequence[str], frame: str = "frame") -> Columns:
        """The rows that have a place and a frame; how many have none is added to the notes.

        Raises InputError where no row has one.
        """
        there = np.all([np.isfinite(self.raw(name)) for name in (*positions, frame)], axis=0)
        if there.all():
            return self
        lost = np.flatnonzero(~there) + 1
        what = f"{len(lost)} of {len(there)} rows have no finite position or no frame ({listed(lost)})"
        if not there.any():
            raise InputError(f"{self.path}: {what}; is this the table that you meant?")
        return replace(
            self,
            values={
                name: np.asarray(column)[there] if np.shape(column) == there.shape else column
                for name, column in self.values.items()
            },
            number=np.flatnonzero(there) + 1,
            notes=(*self.notes, f"{self.path.name}: {what}; they are left out"),
        )

    def telling_joined(self, name: str) -> Columns:
        """With a note where this column tells rows apart that become one list here."""
        if name not in self.values or len(found := np.unique(self.numbers(name))) < 2:
            return self
        which = ", ".join(f"{number:g}" for number in found[:5]) + (", …" if len(found) > 5 else "")
        told = (
            f"{self.path.name}: {name} is {which}: all rows are read as one list; to keep them apart, write "
            f"each {name} to a file of its own in the program that wrote this one"
        )
        return replace(self, notes=(*self.notes, told))

    def raw(self, name: str) -> NDArray[np.float64]:
        """A column as it stands, (N,); what float32 cannot hold is infinite.

        Raises InputError for text, a name that two columns have, or another number of rows.
        """
        column = np.asarray(self.values[name])
        if name in self.doubled:
            raise InputError(
                f"{self.path} has more than one column {name}: which one is meant cannot be told",
                "rename or take out the others",
            )
        if name in self.unread:
            raise InputError(
                f"{self.path}: a row cannot be read as numbers: column {name} holds {self.unread[name]}"
            )
        if column.dtype.kind not in "fiub":
            raise InputError(f"{self.path}: column {name} holds {column.dtype}, not numbers")
        if column.shape != (len(self),):
            raise InputError(
                f"{self.path}: column {name} has shape {column.shape}, other columns have {len(self)} rows; "
                "the file is damaged"
            )
        with np.errstate(invalid="ignore"):  # a damaged file may hold numbers that are none
            values = column.astype(np.float64)
        return np.where(np.abs(values) > np.finfo(np.float32).max, np.inf, values)

    def numbers(self, *names: str, missing: float = 0.0) -> NDArray[np.float64]:
        """The first of these columns that is there; `missing` where there is none, and for NaN and infinity."""
        name = next((name for name in names if name in self.values), None)
        column = np.full(len(self), missing) if name is None else self.raw(name)
        return np.nan_to_num(column, nan=missing, posinf=missing, neginf=missing)

    def tensor(self, *names: str) -> Tensor:
        """The first of these columns that is there, (N,) float32; 0 where it is not known."""
        return torch.from_numpy(self.numbers(*names).astype(np.float32))

    def amount(self, *names: str, unit: float = 1.0, most: float = math.inf) -> Tensor:
        """Like `tensor`, of what is known only above 0: photons, a σ, a deviance, a probability (`most` 1).

        unit: one step of the file.
        """
        values = self.numbers(*names) * unit
        return torch.from_numpy(np.where((values > 0) & (values <= most), values, 0.0).astype(np.float32))

    def positions(self, names: Sequence[str], *, unit_um: Sequence[float], origin_um: float = 0.0) -> Tensor:
        """(N, 3) µm from the centre of the first pixel.

        names: of the columns of x, y and z;  unit_um: one step of each, µm;  origin_um: where the file has
        the centre of the first pixel, in x and y, µm.  All must be finite (`placed`).
        Raises InputError where most lie farther from there than `FARTHEST_UM`.
        """
        xyz = np.stack([self.raw(name) * unit for name, unit in zip(names, unit_um, strict=True)], axis=1)
        self._refuse(~np.isfinite(xyz).all(axis=1), "have no finite position")
        xyz -= np.array([origin_um, origin_um, 0.0])
        far = float(np.median(np.abs(xyz), axis=0).max()) if len(xyz) else 0.0
        if far > FARTHEST_UM:
            step = 1000 * float(np.spacing(np.float32(far)))
            raise InputError(
                f"{self.path}: positions lie about {far / 1000:.3g} mm from the origin, where only steps of "
                f"{step:.2g} nm are kept",
                "subtract the position of the stage in the program that wrote the file, or correct the unit",
            )
        return torch.from_numpy(xyz.astype(np.float32))

    def sigmas(self, names: Sequence[Sequence[str]], *, unit_um: Sequence[float]) -> Tensor:
        """One standard deviation of x, y and z, (N, 3) µm: of each the first column that is there, or 0."""
        sigma = [self.amount(*each, unit=unit) for each, unit in zip(names, unit_um, strict=True)]
        return torch.stack(sigma, dim=1)

    def frames(self, *, first: int, name: str = "frame", hint: str = "") -> Tensor:
        """(N,) int64 from 0.

        first: number of the first frame in this format;  hint: what else to say where a number is smaller.
        """
        frame = self.raw(name)
        self._refuse(~(np.abs(frame) < 2**31), "have no frame number")
        if len(frame) and frame.min() < first:
            raise InputError(
                f"{self.path}: frames count from {first} in such a table; the smallest here is "
                f"{frame.min():g}{hint}"
            )
        self._refuse(np.asarray(frame != np.floor(frame)), "have a frame number that is not whole")
        return torch.from_numpy(frame.astype(np.int64) - first)

    def detections(self, name: str) -> Tensor | None:
        """Frames joined into each row, (N,) int64, at least 1; None where the file has no such column."""
        if name not in self.values:
            return None
        return torch.from_numpy(np.maximum(self.numbers(name, missing=1.0), 1).astype(np.int64))

    def tracks(self, name: str) -> Tensor | None:
        """The trajectory of each row, (N,) int64, −1 of none; None where the file has no such column."""
        if name not in self.values:
            return None
        return torch.from_numpy(self.numbers(name, missing=-1.0).astype(np.int64))

    def molecules(self, name: str) -> Tensor | None:
        """The molecule of each row, (N,) int64 from 0; None where the file has no such column.

        A row without a number, or one below 0, is a molecule of its own.
        """
        if name not in self.values:
            return None
        number = self.numbers(name, missing=-1.0).astype(np.int64)
        alone = number < 0
        number[alone] = max(-1, number.max(initial=-1)) + 1 + np.arange(alone.sum())
        return torch.from_numpy(number)

    def of_channels(self) -> dict[str, Tensor | None]:
        """The columns that only a list from two channels has: share, sigma_share, dye_probability, dye."""
        found: dict[str, Tensor | None] = {
            name: self.tensor(name) if name in self.values else None for name in FRACTIONS
        }
        named = "dye" in self.values
        found["dye"] = torch.from_numpy(self.numbers("dye").astype(np.int64)) if named else None
        return found

    def grouped(self, name: str, *, first: int) -> bool:
        """Whether a column of another program numbers groups (from `first`) of which one has several rows."""
        if name not in self.values:
            return False
        number = self.numbers(name, missing=first - 1.0)
        _, rows = np.unique(number[number >= first], return_counts=True)
        return bool((rows > 1).any())

    def tied_groups(self, name: str, xyz: Tensor, sigma: Tensor, *, first: int) -> Tensor | None:
        """The groups of another program as molecules, (N,) int64 from 0, where they mean the same.

        first: the smallest number of a group;  xyz, sigma: (N, 3) of the rows.  None where there are no groups
        of several rows, or the rows of one have positions or σ of their own: they were linked, not fitted
        together.
        """
        if not self.grouped(name, first=first):
            return None
        number = self.numbers(name, missing=first - 1.0).astype(np.int64) - first
        own = number < 0
        number[own] = number.max() + 1 + np.arange(own.sum())
        _, one, group = np.unique(number, return_index=True, return_inverse=True)
        place = torch.cat([xyz, sigma], dim=1)
        return torch.from_numpy(number) if torch.equal(place, place[one[group]]) else None

    def _refuse(self, bad: Any, trouble: str) -> None:
        if bad.any():
            rows = np.flatnonzero(bad) + 1 if self.number is None else self.number[bad]
            raise InputError(
                f"{self.path}: {len(rows)} of {len(bad)} rows {trouble} ({listed(rows)})",
                "take them out in the program that wrote the file",
            )


def rows_of_each(number: Tensor) -> NDArray[np.int64]:
    """How many rows have the number of each row: (N,)."""
    _, group, rows = np.unique(number.cpu().numpy(), return_inverse=True, return_counts=True)
    return rows[group]


def listed(rows: NDArray[np.int64]) -> str:
    """Some rows of a file by their numbers, the first one below the names being 1."""
    shown = ", ".join(str(row) for row in rows[:5]) + (", …" if len(rows) > 5 else "")
    return f"row {shown}, counted from 1"


def pixel_size(
    path: Path,
    named_um: float | None,
    given_um: float | None,
    *,
    rows: int,
    reason: str = "the table does not say its pixel size",
) -> float:
    """The camera pixel in the sample, µm: the file's own, else the user's.

    0.0 where the user says so (positions as they stand), or where there are no rows that could need it.
    Raises InputError where neither is known, or one is no size.
    """
    if named_um is None and given_um is None and rows:
        raise MissingPixelSize(
            f"{path}: {reason}, without which its positions cannot be placed on the camera's pixels",
            "give the pixel size (`pixel_um`)",
        )
    pixel = (given_um or 0.0) if named_um is None else named_um
    if not math.isfinite(pixel) or pixel < 0 or (named_um is not None and pixel == 0):
        raise InputError(f"{path}: a pixel of {1000 * pixel:g} nm cannot be")
    if named_um is None and pixel:
        refuse_pixel(pixel, f"{path}: ")
    return pixel


def sigma_source(named: Any, sigma: Tensor, otherwise: SigmaSource = "fit") -> SigmaSource:
    """Where σ come from: as the file says, else `otherwise` where there are any."""
    if named in get_args(SigmaSource):
        return named
    return otherwise if bool((sigma > 0).any()) else "none"
