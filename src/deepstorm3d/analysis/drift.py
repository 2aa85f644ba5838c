"""Drift as a curve over the movie: subtracting it, adding it back, and its table in a file."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..brief import Brief
from ..emitters import Localizations
from ..errors import InputError

__all__ = ["DriftCurve", "refuse_linked"]

Floats = NDArray[np.float64]
# Columns of the shift, nm.
_SHIFT = ("dx", "dy", "dz")
# Columns of the standard deviation of the shift, nm.
_SIGMA = ("sigma_dx", "sigma_dy", "sigma_dz")
# The header named in error messages.
_EXAMPLE = "frame,dx,dy,dz (frames from 0, nm)"


def _mean_of_each(shift: Tensor, molecule: Tensor) -> Tensor:
    """The mean of (N, 3) over the rows with the number of each row."""
    _, group, rows = torch.unique(molecule, return_inverse=True, return_counts=True)
    total = torch.zeros(len(rows), 3, dtype=shift.dtype, device=shift.device).index_add_(0, group, shift)
    return (total / rows[:, None])[group]


def refuse_linked(table: Localizations) -> None:
    """Raise InputError for rows that stand for several frames of a molecule: they moved in between."""
    if table.molecule is not None or table.detections is None:
        return
    if merged := int((table.detections > 1).sum()):
        raise InputError(
            f"the list is linked: {merged} of {len(table)} rows are means over up to "
            f"{int(table.detections.max())} frames, in which the sample moved on",
            "correct the drift of the list that it was made from, then link that",
        )


@dataclass(frozen=True, repr=False)
class DriftCurve(Brief):
    """How far the sample had moved in each frame.

    frames: (F,) int64, consecutive, from any frame, counted from 0;
    shift_um: (F, 3) µm, x, y, z, added to the position of a molecule;
    sigma_um: (F, 3) µm, one standard deviation of the shift, 0 where it is not known.
    Only differences between frames have a meaning: the estimators of this package set the mean over the movie
    to 0.
    """

    frames: NDArray[np.int64]
    shift_um: Floats
    sigma_um: Floats

    def __post_init__(self) -> None:
        wanted = (len(self.frames), 3)
        if not len(self.frames) or np.any(np.diff(self.frames) != 1):
            raise ValueError("a drift curve needs a row for every frame, in order and without gaps")
        if self.shift_um.shape != wanted or self.sigma_um.shape != wanted:
            raise ValueError(
                f"shift_um and sigma_um must have shape {wanted}, got {self.shift_um.shape} and "
                f"{self.sigma_um.shape}"
            )
        if not (np.isfinite(self.shift_um).all() and np.isfinite(self.sigma_um).all()):
            raise ValueError("a drift curve must be finite")

    def apply(self, table: Localizations) -> Localizations:
        """The table with the drift subtracted; its positions become float64, so that `undo` gives them back.

        The rows of a molecule that was fitted over several frames keep a common position: of the drift in its
        frames the mean is subtracted. `undo` gives such rows back only while all rows of the molecule are
        there, not after a filter.
        Raises InputError where the table has frames outside the curve, and for a linked list.
        """
        return self._moved(table, -1.0)

    def undo(self, table: Localizations) -> Localizations:
        """The table with the drift added back; errors as in `apply`."""
        return self._moved(table, 1.0)

    def _moved(self, table: Localizations, sign: float) -> Localizations:
        if not len(table):
            return table
        refuse_linked(table)
        first, last = int(self.frames[0]), int(self.frames[-1])
        begin, end = int(table.frame.min()), int(table.frame.max())
        if begin < first or end > last:
            raise InputError(
                f"the drift curve covers frames {first} to {last}, the list frames {begin} to {end} "
                "(counted from 0): the curve belongs to another recording, or was cut",
                "if the curve counts its frames from 1, take 1 from each" if first == 1 and begin == 0 else "",
            )
        shift = torch.from_numpy(self.shift_um).to(table.xyz.device)[table.frame - first]
        if table.molecule is not None:
            shift = _mean_of_each(shift, table.molecule)
        return replace(table, xyz=table.xyz.double() + sign * shift)

    def to_csv(self) -> str:
        """The curve as text: frame, dx, dy, dz and their σ in nm, one row for each frame."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("frame", *_SHIFT, *_SIGMA))
        for frame, shift, sigma in zip(self.frames, self.shift_um, self.sigma_um, strict=True):
            writer.writerow([int(frame), *(f"{1000 * value:.6f}" for value in (*shift, *sigma))])
        return text.getvalue()

    @classmethod
    def from_csv(cls, text: str, name: str) -> DriftCurve:
        """Read what `to_csv` wrote, or any table with the columns frame, dx, dy, dz (nm).

        Cells are separated by commas, or by semicolons or tabs, between which a comma is a decimal sign.
        name: of the file, for messages.  Raises InputError for missing columns, a cell that is not a number,
        or frames that are not whole numbers from 0 on, or not consecutive.
        """
        separator = next((sign for sign in ";\t" if sign in text.partition("\n")[0]), ",")
        if separator != "," and "," in text:
            if "." in text:
                raise InputError(
                    f"{name} holds decimal points and decimal commas; which of them is one cannot be told",
                    "write all numbers with points and without separators of thousands",
                )
            text = text.replace(",", ".")
        rows = csv.DictReader(io.StringIO(text), delimiter=separator)
        known = [column.strip() for column in rows.fieldnames or ()]
        missing = [column for column in ("frame", *_SHIFT) if column not in known]
        if missing:
            raise InputError(f"{name}: no column {', '.join(missing)}; a drift curve has {_EXAMPLE}")
        rows.fieldnames = known
        wanted = ("frame", *_SHIFT, *(_SIGMA if set(_SIGMA) <= set(known) else ()))
        try:
            values = np.array([[float(row[column]) for column in wanted] for row in rows])
        except (TypeError, ValueError):
            raise InputError(f"{name}, line {rows.line_num}: not a row of numbers; wanted {_EXAMPLE}") from None
        if not len(values) or not np.isfinite(values).all() or np.any(np.diff(values[:, 0]) != 1):
            raise InputError(
                f"{name}: a drift curve needs finite numbers for every frame, in order and without gaps"
            )
        if values[0, 0] < 0 or values[0, 0] % 1:
            raise InputError(
                f"{name}: the curve begins at frame {values[0, 0]:g}, and frames are whole numbers from 0 on",
                "count its frames from 0",
            )
        sigma = values[:, 4:] if len(wanted) > 4 else np.zeros((len(values), 3))
        return cls(values[:, 0].astype(np.int64), values[:, 1:4] / 1000, sigma / 1000)
