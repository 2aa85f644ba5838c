"""Positions of one channel as registration needs them: with variances; beads as one point each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...emitters import Localizations

__all__ = ["Points", "beads_merged", "looks_like_beads", "points_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Rows of one bead in different frames lie within this of each other: 3 σ of the difference, and the room for
# what σ does not say (drift, steps of a stage), µm.
_SIGMAS = 3.0
_ROOM_UM = 0.03
# Rows whose partners in other frames are counted, to tell beads from molecules.
_PROBED = 400
# A bead shines in at least this share of the frames.
_LASTING = 0.5
# A bead is kept that is seen in at least this share of the frames which show the most constant one.
_SEEN = 0.3


@dataclass(frozen=True)
class Points:
    """Positions of one channel.

    xy: (N, 2) µm;  z: (N,) µm;  variance: (N, 3) of x, y, z, µm², 0 where not known;  frame: (N,), one number
    for all where beads were merged.
    """

    xy: Floats
    z: Floats
    variance: Floats
    frame: Ints

    def __len__(self) -> int:
        return len(self.xy)

    def rows(self, chosen: NDArray[np.bool_] | Ints) -> Points:
        """Some of the points."""
        return Points(self.xy[chosen], self.z[chosen], self.variance[chosen], self.frame[chosen])


def points_of(table: Localizations) -> Points:
    """All rows of a list."""
    xyz = table.xyz.double().cpu().numpy()
    variance = np.square(table.sigma_xyz.double().cpu().numpy())
    return Points(xyz[:, :2], xyz[:, 2], variance, table.frame.cpu().numpy().astype(np.int64))


def looks_like_beads(points: Points) -> bool:
    """Whether most rows have one at the same place in at least half of all frames that have any."""
    from scipy.spatial import KDTree

    frames = np.unique(points.frame)
    if len(frames) < 2:
        return False
    probes = np.unique(np.linspace(0, len(points) - 1, min(_PROBED, len(points))).astype(np.int64))
    near = KDTree(points.xy).query_ball_point(points.xy[probes], _reach(points))
    seen = [len(np.unique(points.frame[rows])) / len(frames) for rows in near]
    return float(np.median(seen)) >= _LASTING


def beads_merged(points: Points) -> Points:
    """One point for each bead: the mean over its frames, with the variance of that mean.

    Rows within 3 σ of each other, in whatever frame, are one bead; what is seen in few frames is left out. The
    variance is the scatter of its rows, or what their σ says where that is more, over their number.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    if not len(points):
        return points
    pairs = KDTree(points.xy).query_pairs(_reach(points), output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(points),) * 2)
    count, bead = connected_components(links, directed=False)
    size = np.bincount(bead, minlength=count)
    frames = np.bincount(np.unique(np.stack([bead, points.frame]), axis=1)[0], minlength=count)

    def mean(values: Floats) -> Floats:
        return np.bincount(bead, values, count) / size

    xyz = np.column_stack([points.xy, points.z])
    middle = np.stack([mean(column) for column in xyz.T], axis=1)
    # Divided by n − 1: with a single row the scatter says nothing.
    scatter = np.stack([mean(column) for column in np.square(xyz - middle[bead]).T], axis=1)
    scatter *= (size / np.maximum(size - 1, 1))[:, None]
    stated = np.stack([mean(column) for column in points.variance.T], axis=1)
    kept = frames >= max(1.0, _SEEN * frames.max())
    variance = np.maximum(scatter, stated) / size[:, None]
    return Points(middle[kept, :2], middle[kept, 2], variance[kept], np.zeros(int(kept.sum()), np.int64))


def _reach(points: Points) -> float:
    """How far rows of one bead may lie apart, µm."""
    known = points.variance[:, :2].mean(1)
    known = known[known > 0]
    sigma = float(np.sqrt(np.median(known))) if len(known) else 0.0
    return _SIGMAS * np.sqrt(2) * sigma + _ROOM_UM
