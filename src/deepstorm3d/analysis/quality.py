"""Quality of a list: distributions of its columns, σ over depth, rows over time, and density in the frames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..columns import COLUMNS
from ..emitters import Localizations, knows
from .binned import QUANTILES, even_edges
from .pairs import neighbour_counts

__all__ = ["Distribution", "ListQuality", "OverDepth", "OverTime", "list_quality", "local_density"]

Floats = NDArray[np.float64]

# Bins of a distribution.
_BINS = 60
# Blocks of frames along the movie.
_TIMES = 100
# Slices in depth.
_DEPTHS = 24
# Fewest rows in a slice of depth that is shown; fewer are dominated by sampling noise.
_LEAST_ROWS = 20
# Radius in which neighbours are counted, µm.
_NEIGHBOURS_UM = 1.0
# Density for one neighbour in that radius, per µm².
_ONE_NEIGHBOUR = 1 / (math.pi * _NEIGHBOURS_UM**2)
# Approximate number of rows from which the density is measured.
_DENSITY_ROWS = 200_000
_SIGMA = ("sigma_x_nm", "sigma_y_nm", "sigma_z_nm")
# Columns whose distributions are shown.
_MEASURED = (
    "photons",
    "background",
    *_SIGMA,
    "fit_quality",
    "probability",
    "z_nm",
)


@dataclass(frozen=True)
class Distribution:
    """Distribution of one column.

    unit: as displayed;  edges: (K + 1,) of the bins, from the 0.5th to the 99.5th percentile;  counts: (K,)
    rows; quantiles: 5, 25, 50, 75 and 95 %;  rows: number of rows that have the value.
    """

    unit: str
    edges: Floats
    counts: NDArray[np.int64]
    quantiles: tuple[float, float, float, float, float]
    rows: int

    @property
    def median(self) -> float:
        """The 50 % quantile."""
        return self.quantiles[2]


@dataclass(frozen=True)
class OverDepth:
    """σ as a function of depth.

    at: (K,) middles of the slices, nm;  quartiles: (K, 3 axes, 3) 25, 50 and 75 % of σ, nm.
    """

    at: Floats
    quartiles: Floats


@dataclass(frozen=True)
class OverTime:
    """Localizations along the movie: at: (K,) middles of blocks of frames;  mean: (K,) rows per frame."""

    at: Floats
    mean: Floats


@dataclass(frozen=True)
class ListQuality:
    """Content of the pictures and tables of a report.

    rows, frames: of the list and of the movie;  columns: distributions by column name (`columns.COLUMNS`);
    rows without a value are left out, also those whose σ says that it is not known, and so is a column that no
    row has;  density: neighbours in the same
    frame per µm² (None for a linked list, whose rows stand for several frames);  depth: None where there is no
    σ.
    """

    rows: int
    frames: int
    columns: Mapping[str, Distribution]
    density: Distribution | None
    depth: OverDepth | None
    time: OverTime | None

    @property
    def per_frame(self) -> float:
        """Mean rows in a frame."""
        return self.rows / self.frames if self.frames else 0.0


def list_quality(table: Localizations, frames: int) -> ListQuality:
    """Distributions of all columns of a list, its σ over depth, and its rows over time.

    frames: number of frames in the movie.
    """
    columns: dict[str, Distribution] = {}
    linked = table.detections is not None
    for name in (*_MEASURED, "detections") if linked else _MEASURED:
        values = _known(table, name)
        values = values[np.isfinite(values)]
        if len(values):
            columns[name] = _distribution(values, COLUMNS[name].unit, step=1.0 if name == "detections" else 0.0)
    near = np.zeros(0) if linked else local_density(table)
    return ListQuality(
        rows=len(table),
        frames=frames,
        columns=columns,
        density=_distribution(near, "per µm²", step=_ONE_NEIGHBOUR) if len(near) else None,
        depth=_over_depth(table) if "sigma_z_nm" in columns else None,
        time=_over_time(table, frames),
    )


def local_density(table: Localizations) -> Floats:
    """Other rows of the same frame within 1 µm laterally, divided by the area of that circle: (K,) per µm².

    Of a long list every n-th frame with rows is used, about 200,000 rows. At the border of the field up to half
    of the circle lies outside, and the density is too low by that fraction.
    """
    frame = table.frame.cpu().numpy()
    number = np.unique(frame, return_inverse=True)[1]
    rows = np.flatnonzero(number % (1 + len(frame) // _DENSITY_ROWS) == 0)
    xy = table.xyz[:, :2].detach().cpu().double().numpy()[rows]
    near = neighbour_counts(xy, frame[rows], _NEIGHBOURS_UM)
    return near.astype(np.float64) / (math.pi * _NEIGHBOURS_UM**2)


def _known(table: Localizations, name: str) -> Floats:
    """A column (N,), NaN where a row does not know it: also where its σ is that of an unknown position."""
    values = COLUMNS[name].values(table).astype(np.float64)
    if name in _SIGMA:
        values[~knows(table.sigma_xyz[:, _SIGMA.index(name)]).cpu().numpy()] = math.nan
    return values


def _distribution(values: Floats, unit: str, *, step: float = 0.0) -> Distribution:
    """step: the values are multiples of it; each multiple has its own bin if these are not too many."""
    low, high = np.quantile(values, [0.005, 0.995])
    if 0 < high - low + step <= _BINS * step:
        edges = step * (np.arange(math.floor(low / step), math.ceil(high / step) + 2) - 0.5)
    else:
        edges = even_edges(float(low), float(high), _BINS)
    quantiles = tuple(np.quantile(values, QUANTILES).tolist())
    return Distribution(unit, edges, np.histogram(values, bins=edges)[0], quantiles, len(values))


def _over_depth(table: Localizations) -> OverDepth | None:
    depth = COLUMNS["z_nm"].values(table)
    low, high = np.quantile(depth, [0.005, 0.995])
    edges = np.linspace(low, high, _DEPTHS + 1)
    slice_of = np.searchsorted(edges, depth, side="right") - 1
    sigma = np.stack([_known(table, f"sigma_{axis}_nm") for axis in "xyz"], axis=1)
    known = np.isfinite(sigma).all(axis=1)
    found = []
    for number in range(_DEPTHS):
        rows = sigma[(slice_of == number) & known]
        if len(rows) >= _LEAST_ROWS:
            middle = (edges[number] + edges[number + 1]) / 2
            found.append((middle, np.quantile(rows, [0.25, 0.5, 0.75], axis=0).T))
    if len(found) < 2:
        return None
    at, quartiles = zip(*found, strict=True)
    return OverDepth(np.array(at), np.stack(quartiles))


def _over_time(table: Localizations, frames: int) -> OverTime | None:
    if not len(table) or frames < 1:
        return None
    frame = table.frame.cpu().numpy()
    length = max(frames, int(frame.max()) + 1)
    edges = np.unique(np.linspace(0, length, min(length, _TIMES) + 1).round())
    counts = np.histogram(frame, bins=edges)[0]
    return OverTime((edges[:-1] + edges[1:] - 1) / 2, counts / np.diff(edges))
