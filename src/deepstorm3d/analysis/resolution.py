"""Resolution of a list: Fourier ring and shell correlation of its halves, and precision from neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from ..brief import Brief
from ..emitters import Localizations
from ..errors import InputError
from ..watch import SILENT, Watcher
from .fourier import Correlation, Grid, block_halves, correlate, slabs
from .merging import one_row_each
from .neighbours import AxisPrecision, neighbour_precision
from .overlap_drift import typical_sigma
from .reappearing import rows_again, spot_resolution_um
from .stated_sigma import failed_fits_note, median_sigma

__all__ = ["ResolutionReport", "resolution_of"]

Floats = NDArray[np.float64]

# Seed of the random halvings.
_SEED = 1
# Pixel of the planes, µm.
_PLANE_UM = 0.005
# Largest side of a tile in a plane, pixels.
_PLANE_SIDE = 2048
# Most tiles of a plane.
_PLANE_TILES = 6
# Voxel of the volume, µm.
_VOXEL_UM = 0.01
# Largest side of a tile in the volume, voxels.
_VOLUME_SIDE = 128
# Most tiles of the volume.
_VOLUME_TILES = 12
# Thickness of the slabs for x–z and y–z, µm.
_SLAB_UM = 1.0
# Least side of a tile, pixels, for a list that is narrower on all axes: the spot of a single bead must fit in.
_FEWEST_PIXELS = 64
# Motion from frame to frame is reported if it exceeds this many standard errors, …
_SURE = 4.0
# … and this fraction of σ.
_MOTION_TOLD = 0.2
# Approximate number of blocks of frames.
_BLOCKS = 50
# Fewest frames in a block, where the movie is long enough.
_FEWEST_FRAMES = 20
# Spots explain the measured resolution where theirs is at most so many times as coarse.
_EXPLAINED = 1.3


@dataclass(frozen=True, repr=False)
class ResolutionReport(Brief):
    """Resolution and precision of a list.

    correlations: by name (x–y, x–z, y–z, 3D);  precision: σ of x, y, z from adjacent frames, with the σ that
    the same rows state; None where too few molecules are bright in two frames, or no more pairs are near than
    by chance;  stated_nm: median σ that all rows state, None where they state none;
    block_frames, splits: how it was halved;  rows: of the list;  again: rows of its molecule that a row has in
    other blocks (`rows_again`);  notes: what a reader should know.
    """

    correlations: Mapping[str, Correlation]
    precision: tuple[AxisPrecision, AxisPrecision, AxisPrecision] | None
    stated_nm: tuple[float, float, float] | None
    block_frames: int
    splits: int
    rows: int
    again: float
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """Resolution in the planes and in 3D, and precision, in two lines."""
        each = ", ".join(
            f"{name} {one.status if one.resolution_um is None else f'{1000 * one.resolution_um:.1f} nm'}"
            for name, one in self.correlations.items()
        )
        told = f"resolution of {self.rows} localizations: {each}"
        if self.precision is None:
            return told
        sigma = ", ".join(f"{1000 * axis.sigma_um:.1f}" for axis in self.precision)
        return f"{told}\nprecision from neighbours in adjacent frames: σ {sigma} nm in x, y, z"

    @property
    def stated_of_pairs_nm(self) -> list[float] | None:
        """Median σ of x, y and z, nm, stated by the rows from which `precision` was measured."""
        stated = [] if self.precision is None else [fit.stated_um for fit in self.precision]
        known = [1000 * each for each in stated if each is not None]
        return known if len(known) == 3 else None

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "localizations": self.rows,
            "block_frames": self.block_frames,
            "splits": self.splits,
            "threshold": "1/7",
            "rows_of_a_molecule_in_other_blocks": self.again,
            "fourier": {name: _plain(each) for name, each in self.correlations.items()},
            "nena_sigma_nm": None if self.precision is None else [1000 * p.sigma_um for p in self.precision],
            "nena_error_nm": None if self.precision is None else [1000 * p.error_um for p in self.precision],
            "nena_pairs": None if self.precision is None else [p.pairs for p in self.precision],
            "nena_motion_nm": None if self.precision is None else [1000 * p.motion_um for p in self.precision],
            "stated_sigma_of_these_pairs_nm": self.stated_of_pairs_nm,
            "stated_sigma_nm": None if self.stated_nm is None else list(self.stated_nm),
            "notes": list(self.notes),
        }


def resolution_of(
    table: Localizations,
    *,
    block_frames: int | None = None,
    splits: int = 5,
    watch: Watcher = SILENT,
) -> ResolutionReport:
    """Correlate random halves of a list in the planes and in 3D, and fit its precision.

    block_frames: number of consecutive frames that stay in the same half; None: a fiftieth of the movie, at
    least 20 where it is long enough;  splits: number of random halvings. A molecule that was fitted over
    several frames counts once, in its first frame: its rows share a position, and say nothing about its
    precision.
    Raises InputError for a list without rows, or with rows in too few frames to be halved, and for no halving.
    """
    if splits < 1 or (block_frames is not None and block_frames < 1):
        raise InputError(f"{splits} halvings, blocks of {block_frames} frames: neither can be below 1")
    if len(table) < 2:
        raise InputError(
            f"the list holds {len(table)} localizations; a resolution needs thousands, in many frames"
        )
    rows, table = len(table), one_row_each(table)
    xyz, frame = table.xyz.cpu().double().numpy(), table.frame.cpu().numpy()
    seen = int(frame.max() - frame.min()) + 1
    if seen < 4:
        raise InputError(
            f"all localizations lie within {seen} frame{'s' if seen > 1 else ''}; halves are made of blocks of "
            "frames, so a resolution needs at least 4 frames, and is meaningful from about 100 on"
        )
    block = block_frames or max(1, min(max(seen // _BLOCKS, _FEWEST_FRAMES), seen // 4))
    halves = block_halves(frame, block, splits, np.random.default_rng(_SEED))
    correlations = _correlations(xyz, halves, watch)
    median = median_sigma(table)
    stated = None if median is None else (1000 * median[0], 1000 * median[1], 1000 * median[2])
    sigma = None if median is None else table.sigma_xyz.detach().cpu().double().numpy()
    precision = neighbour_precision(xyz, frame, typical_sigma(table), sigma)
    notes = _notes(table, precision, block)
    measured = None if isinstance(precision, str) else precision
    spread = typical_sigma(table) if measured is None else np.array([fit.sigma_um for fit in measured])
    again = rows_again(xyz, frame, block, spread)
    spots = spot_resolution_um(again, float(np.hypot(*spread[:2]) / np.sqrt(2)))
    notes = (*notes, *_about_spots(again, spots, correlations["x–y"]))
    return ResolutionReport(correlations, measured, stated, block, splits, rows, again, notes)


def _correlations(
    xyz: Floats,
    halves: list[NDArray[np.bool_]],
    watch: Watcher,
) -> dict[str, Correlation]:
    """Correlations of each plane, and of the volume where the list has depth."""
    extent = np.ptp(xyz, axis=0)
    work = {"x–y": (xyz[:, :2], _plane(extent[0], extent[1]))}
    if extent[2] > 10 * _VOXEL_UM:
        for name, across, along in (("x–z", 1, 0), ("y–z", 0, 1)):
            grid = replace(_plane(extent[along], extent[2]), begin_um=0.0)
            work[name] = (slabs(xyz, across, _SLAB_UM, grid.shape[0] * _PLANE_UM), grid)
        sides = _sides(extent, _VOXEL_UM, _VOLUME_SIDE)
        work["3D"] = (xyz, Grid((_VOXEL_UM,) * 3, sides, _VOLUME_TILES))
    found = {}
    for index, (name, (points, grid)) in enumerate(work.items()):
        watch.progress(index, len(work), name)
        found[name] = correlate(points, halves, grid)
    watch.progress(len(work), len(work))
    return found


def _plane(width: float, height: float) -> Grid:
    return Grid((_PLANE_UM, _PLANE_UM), _sides((width, height), _PLANE_UM, _PLANE_SIDE), _PLANE_TILES)


def _sides(widths_um: Iterable[float], pixel_um: float, most: int) -> tuple[int, ...]:
    """Pixels along the axes of a tile: as the points need, at most `most`, at least enough for a bead."""
    needed = [max(int(width / pixel_um) + 1, 16) for width in widths_um]
    needed = [max(side, _FEWEST_PIXELS) for side in needed] if max(needed) < _FEWEST_PIXELS else needed
    return tuple(min(int(next_fast_len(side, real=True) or most), most) for side in needed)


def _notes(
    table: Localizations,
    precision: tuple[AxisPrecision, ...] | str,
    block: int,
) -> tuple[str, ...]:
    notes = [note for note in (failed_fits_note(table),) if note is not None]
    if block < _FEWEST_FRAMES:
        notes.append(
            f"blocks of {block} frames are hardly longer than a blink: molecules that shine across a border "
            "make the resolution look better than it is"
        )
    if isinstance(precision, str):
        why = precision if table.detections is None else "its rows join several frames"
        notes.append(f"no precision from neighbours: {why}")
    else:
        notes += _about_precision(precision)
    return tuple(notes)


def _about_spots(again: float, spots_um: float | None, plane: Correlation) -> list[str]:
    """A note on molecules that come back so often that their rows alone explain the resolution in x–y."""
    finest = 1 / plane.nyquist if plane.status == "beyond the pixels" else plane.resolution_um
    if spots_um is None or finest is None or spots_um > _EXPLAINED * finest:
        return []
    return [
        f"molecules come back (or lie in clumps no larger than σ): a row has at least {again:.1f} others of "
        "its place in other blocks of frames, which alone keep x–y above 1/7 down to "
        f"{1000 * spots_um:.0f} nm; the Fourier figures say how well a spot is repeated, not how "
        "well the structure is sampled"
    ]


def _about_precision(precision: tuple[AxisPrecision, ...]) -> list[str]:
    """Notes on molecules that move together between frames, and on stated σ that differ from the measured."""
    notes, fits = [], list(zip("xyz", precision, strict=True))
    moved = [
        f"{name} {1000 * fit.motion_um:.1f} nm"
        for name, fit in fits
        if abs(fit.motion_um) > max(_SURE * fit.motion_error_um, _MOTION_TOLD * fit.sigma_um)
    ]
    if moved:
        notes.append(
            f"all molecules move together from each frame to the next: {'; '.join(moved)}; correct the drift "
            "first"
        )
    # Compared for the same rows: molecules that are bright in one frame only are often dim.
    far = [
        f"{name} {1000 * fit.sigma_um:.1f} nm, stated {1000 * fit.stated_um:.1f} nm"
        for name, fit in fits
        if fit.stated_um is not None and not 0.8 < fit.sigma_um / fit.stated_um < 1.25
    ]
    if far:
        notes.append(
            "the stated σ is not the scatter of the same rows from one frame to the next (median of their σ): "
            + "; ".join(far)
        )
    return notes


def _plain(each: Correlation) -> dict[str, Any]:
    resolution, spread = each.resolution_um, each.spread_um
    return {
        "verdict": each.status,
        "resolution_nm": None if resolution is None else 1000 * resolution,
        "spread_nm": None if spread is None else 1000 * spread,
        "of_each_split_nm": [None if value is None else 1000 * value for value in each.resolutions_um],
        "finest_nm": 1000 / each.nyquist,
        "frequency_per_um": each.frequency.round(6).tolist(),
        "correlation": each.smooth.mean(0).round(5).tolist(),
    }
