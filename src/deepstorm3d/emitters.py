"""Tables of emitters and localizations, and the coordinate convention that the whole program keeps.

The convention, stated here once:

- Units: µm, photons (detected photo-electrons), radians; camera pixels only where a name ends in ``_px``.
- x is the column (right), y the row (down), z the depth into the sample from the coverslip.
  Positions are ordered x, y, z; images and stacks are ordered z, y, x.
- The origin is the centre of the first pixel: pixel (row i, column j) has its centre at
  x = j·pixel, y = i·pixel. A crop or a tile only adds an offset. File writers convert at the edge.
- Frames count from 0.
- Empty is normal: no emitters is a table of length 0.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .arguments import Kind, refuse_other
from .errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["UNKNOWN_SIGMA_UM", "Emitters", "Localizations", "Localizer", "SigmaSource", "knows"]

SigmaSource = Literal["none", "network", "crlb", "fit"]
_SOURCES = Kind((SigmaSource,))
UNKNOWN_SIGMA_UM = 1000.0
"""σ of a position that is stated and not known, µm: of a depth held by an end of the range of a fit."""


def knows(sigma: Tensor) -> Tensor:
    """Which σ of positions, µm, are known: stated, and not that of a position that is not known."""
    return (sigma > 0) & (sigma < UNKNOWN_SIGMA_UM / 2)


@dataclass(frozen=True, repr=False)
class _Table:
    """Columns of equal length on one device; a row is one molecule in one frame."""

    xyz: Tensor
    frame: Tensor

    def __post_init__(self) -> None:
        for name, column in ((field.name, getattr(self, field.name)) for field in fields(self)):
            if name == "sigma_source":
                refuse_other(name, column, _SOURCES)
            elif column is not None and not isinstance(column, Tensor):
                raise InputError(
                    f"{name} of a table is a tensor, not a {type(column).__name__}", "torch.as_tensor makes one"
                )
        if self.frame.is_floating_point():
            if bool((self.frame != self.frame.round()).any()):
                raise InputError("frame holds whole numbers, not fractions of them", "give frame.long()")
            object.__setattr__(self, "frame", self.frame.long())
        n = len(self.frame)
        if self.xyz.shape != (n, 3):
            raise ValueError(f"xyz must have shape ({n}, 3) to match {n} frames, got {tuple(self.xyz.shape)}")
        for name, column in self.columns().items():
            if len(column) != n:
                raise ValueError(f"column {name} has {len(column)} rows, the table has {n}")

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        """One line: how many rows, in which frames, how bright, how deep."""
        name, rows = type(self).__name__, len(self)
        if not rows:
            return f"{name}(no rows)"
        first, last = int(self.frame.min()), int(self.frame.max())
        z = self.xyz[:, 2]
        told = [
            f"{rows:,} row{'s' if rows > 1 else ''}",
            f"frame {first}" if first == last else f"frames {first} to {last}",
            f"z {float(z.min()):.2f} to {float(z.max()):.2f} µm",
            *self._facts(),
        ]
        return f"{name}({', '.join(told)})"

    def _facts(self) -> list[str]:
        """What else `repr` says."""
        return []

    @overload
    def __getitem__(self, key: str) -> NDArray[Any]: ...

    @overload
    def __getitem__(self, key: int | Tensor | NDArray[Any] | slice) -> Self: ...

    def __getitem__(self, key: str | int | Tensor | NDArray[Any] | slice) -> NDArray[Any] | Self:
        """``table["x_nm"]``: a column (N,) with its unit;  ``table[rows]``: some of the rows.

        Columns are named as in files and in `filter` (x_nm, sigma_z_nm, photons, …), NaN where not known.
        rows: a boolean mask (N,), an index array (K,), a slice, or the number of one row, which is a table too.
        Raises InputError for a column that there is not, and IndexError for such a row.
        """
        if isinstance(key, str):
            from .columns import values_of

            return values_of(self, key)  # pyright: ignore[reportArgumentType]
        if isinstance(key, np.ndarray):
            key = torch.from_numpy(key).to(self.frame.device)
        if isinstance(key, slice) or getattr(key, "ndim", 0) or not hasattr(key, "__index__"):
            return self.select(key)  # pyright: ignore[reportArgumentType]
        row = range(len(self))[operator.index(key)]  # pyright: ignore[reportArgumentType]
        return self.select(slice(row, row + 1))

    def to_numpy(self) -> NDArray[Any]:
        """All columns as one structured array (N,), its fields named with their units (x_nm, photons, …)."""
        from .columns import columns_of

        columns = columns_of(self)  # pyright: ignore[reportArgumentType]
        whole = np.empty(len(self), dtype=[(name, values.dtype) for name, values in columns.items()])
        for name, values in columns.items():
            whole[name] = values
        return whole

    def to_pandas(self) -> DataFrame:
        """All columns as a pandas DataFrame, named with their units; raises InputError without pandas."""
        try:
            from pandas import DataFrame
        except ImportError as error:
            from .errors import InputError

            raise InputError("to_pandas needs pandas: pip install pandas") from error
        from .columns import columns_of

        return DataFrame(columns_of(self))  # pyright: ignore[reportArgumentType]

    def columns(self) -> dict[str, Tensor]:
        """The columns that this table has, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def select(self, rows: Tensor | slice) -> Self:
        """The rows given by a boolean mask (N,), an index tensor (K,) or a slice (which copies nothing)."""
        return replace(self, **{name: column[rows] for name, column in self.columns().items()})

    def sort(self) -> Self:
        """Rows in order of frame; within a frame the order is kept."""
        return self.select(torch.argsort(self.frame, stable=True))

    def to(self, device: torch.device | str) -> Self:
        """The same table on another device."""
        return replace(self, **{name: column.to(device) for name, column in self.columns().items()})

    def shift(self, xyz: tuple[float, float, float] = (0.0, 0.0, 0.0), frames: int = 0) -> Self:
        """The table moved by an offset in µm and in frames (what a crop, a tile or a block adds)."""
        offset = self.xyz.new_tensor(xyz)
        return replace(self, xyz=self.xyz + offset, frame=self.frame + frames)

    @classmethod
    def concat(cls, tables: Iterable[Self]) -> Self:
        """All rows of several tables, in order.

        Raises ValueError where the tables do not have the same columns, or there is no table.
        """
        parts = list(tables)
        if not parts:
            raise ValueError("no table to concatenate; use empty() for a table without rows")
        names = [set(part.columns()) for part in parts]
        if any(other != names[0] for other in names):
            raise ValueError(
                f"tables differ in columns: {sorted(set.union(*names) - set.intersection(*names))}"
            )
        joined = {name: torch.cat([part.columns()[name] for part in parts]) for name in parts[0].columns()}
        return replace(parts[0], **joined)


@dataclass(frozen=True, repr=False)
class Emitters(_Table):
    """What is there: true molecules, one row for each molecule and frame.

    Parameters
    ----------
    xyz : (N, 3) tensor
        Positions, µm.
    frame : (N,) int64 tensor
        From 0.
    photons : (N,) tensor
        Detected in that frame.
    id : (N,) int64 tensor
        The same for one molecule in all its frames.
    blur_px : (N,) tensor, optional
        Gaussian σ of each image in camera pixels; None: the PSF's own.
    dye : (N,) int64 tensor, optional
        Which of the experiment's dyes each is, from 1; None where it has none.

    Examples
    --------
    >>> import torch, deepstorm3d as ds
    >>> one = torch.tensor([0])
    >>> truth = ds.Emitters(torch.tensor([[1.0, 2.0, 0.5]]), one, torch.tensor([5000.0]), one)
    >>> truth["z_nm"]
    array([500.], dtype=float32)
    """

    photons: Tensor
    id: Tensor
    blur_px: Tensor | None = None
    dye: Tensor | None = None

    def _facts(self) -> list[str]:
        return [f"{len(self.id.unique()):,} molecules", _brightness(self.photons)]

    @classmethod
    def empty(cls, device: torch.device | str = "cpu") -> Emitters:
        """A table of length 0."""
        zero = torch.zeros(0, device=device)
        whole = torch.zeros(0, dtype=torch.int64, device=device)
        return cls(xyz=torch.zeros(0, 3, device=device), frame=whole, photons=zero, id=whole)


@dataclass(frozen=True, repr=False)
class Localizations(_Table):
    """What was found: one row for each detection.

    Parameters
    ----------
    xyz : (N, 3) tensor
        Positions, µm.
    frame : (N,) int64 tensor
        From 0.
    photons, background : (N,) tensors
        Photons of the molecule, and photons per pixel under it.
    probability : (N,) tensor
        The network's confidence, 0 to 1.
    sigma_xyz : (N, 3) tensor
        One standard deviation of the position, µm.
    sigma_photons, sigma_background : (N,) tensors
        One standard deviation.
    fit_quality : (N,) tensor
        Deviance per pixel of the patch, about 1 where the model explains the image.
    sigma_source : "none", "network", "crlb" or "fit"
        Where the σ come from.
    detections : (N,) int64 tensor, optional
        Frames joined into the row by linking; None where rows are single frames.
    track : (N,) int64 tensor, optional
        The trajectory of the row, −1: of none; None in a list that was not tracked.
    molecule : (N,) int64 tensor, optional
        The molecule of the row, from 0. Rows with the same number are one molecule that does not move, in
        several frames: they share its position and σ of the position, which were found from all its frames
        together; photons, background, their σ and `fit_quality` are each frame's own. None where every row was
        found from its frame alone.
    share, sigma_share : (N,) tensors, optional
        Part of the photons that was seen in the second channel, 0 to 1, and its standard deviation; None in a
        list of one channel.
    dye : (N,) int64 tensor, optional
        The dye of the row, from 1; 0: none of them, or in doubt. None where dyes were not told apart.
    dye_probability : (N,) tensor, optional
        How sure that is, 0 to 1: the posterior of the dye, or of none.

    Notes
    -----
    ``found["sigma_z_nm"]`` is a column, ``found[rows]`` some of the rows, ``found.to_pandas()`` all columns.
    0 stands for what is not known, never NaN: a σ, photons, a deviance or a probability that nobody measured. A
    background of 0 is known where it has a σ. Columns by name give all of these as NaN.
    A σ of 1 mm stands for a position that a fit gives and does not know: that of a depth at an end of the range
    in which molecules are fitted (``sigma_z_nm < 500000`` holds for all others).
    """

    photons: Tensor
    background: Tensor
    probability: Tensor
    sigma_xyz: Tensor
    sigma_photons: Tensor
    sigma_background: Tensor
    fit_quality: Tensor
    sigma_source: SigmaSource = "none"
    detections: Tensor | None = None
    track: Tensor | None = None
    molecule: Tensor | None = None
    share: Tensor | None = None
    sigma_share: Tensor | None = None
    dye: Tensor | None = None
    dye_probability: Tensor | None = None

    def _facts(self) -> list[str]:
        facts, known = [_brightness(self.photons)], self.sigma_xyz[knows(self.sigma_xyz).all(1)]
        if len(known):
            x, y, z = (1000 * float(value) for value in known.median(dim=0).values)
            facts.append(f"median σ {x:.0f} · {y:.0f} · {z:.0f} nm")
        held = int((self.sigma_xyz[:, 2] >= UNKNOWN_SIGMA_UM / 2).sum())
        return [*facts, f"{held:,} of unknown depth"] if held else facts

    @classmethod
    def proposals(cls, xyz: Tensor, frame: Tensor, probability: Tensor) -> Localizations:
        """Positions and probabilities alone: what a network gives that measures no photons."""
        zero = torch.zeros_like(probability)
        return cls(
            xyz=xyz,
            frame=frame,
            photons=zero,
            background=zero,
            probability=probability,
            sigma_xyz=torch.zeros_like(xyz),
            sigma_photons=zero,
            sigma_background=zero,
            fit_quality=zero,
        )

    @classmethod
    def empty(cls, device: torch.device | str = "cpu") -> Localizations:
        """A table of length 0."""
        return cls.proposals(
            torch.zeros(0, 3, device=device),
            torch.zeros(0, dtype=torch.int64, device=device),
            torch.zeros(0, device=device),
        )


def _brightness(photons: Tensor) -> str:
    known = photons[photons > 0]
    return f"median {float(known.median()):,.0f} photons" if len(known) else "photons not known"


class Localizer(Protocol):
    """Anything that turns frames into positions: a network, matching pursuit, a single-emitter fit."""

    def localize(self, frames: Tensor) -> Localizations:
        """frames: (B, H, W) photons per pixel;  returns rows with frame 0 … B−1, any photons."""
        ...
