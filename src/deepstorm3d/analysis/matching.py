"""Which detection belongs to which true emitter: one-to-one pairs within each frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..brief import Brief
from ..emitters import Emitters, Localizations
from ..errors import InputError
from ..extent import Extent
from .assignment import least_total
from .pairs import SLACK, pairs_within

__all__ = ["Matches", "match", "match_challenge", "match_molecules"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_Pairs = tuple[Ints, Ints]

# Width of the border that the SMLM challenge leaves out at each edge of the field, µm.
_CHALLENGE_BORDER_UM = 0.45


@dataclass(frozen=True, repr=False)
class Matches(Brief):
    """Pairs of true emitters and detections, and the rows that take no part in the score.

    truth_index, found_index: (K,) int64, row k of each names one pair, in order of the truth;
    truth_ignored: (N,) bool, neither hit nor miss (too dim, or in the border);
    found_ignored: (M,) bool, neither hit nor false (paired with a dim emitter, or in the border).
    """

    truth_index: Tensor
    found_index: Tensor
    truth_ignored: Tensor
    found_ignored: Tensor

    def __len__(self) -> int:
        return len(self.truth_index)


def match(
    truth: Emitters,
    found: Localizations,
    *,
    tolerance_um: float = 0.15,
    axial_um: float | None = None,
    min_photons: float = 0.0,
    field_um: Extent | None = None,
    border_um: float = 0.0,
) -> Matches:
    """Pair as many emitters as possible and, among the solutions with that number, at the least total distance.

    The assignment is exact (Hungarian problem), frame by frame, over the pairs within the tolerance.

    tolerance_um: radius of the 3D ball, or of the cylinder if axial_um (its half-height) is given;
    min_photons: emitters with fewer are matched too, but their pairs, hits and misses do not count;
    field_um, border_um: rows nearer than border_um to the edges of the field are left out of both lists.
    Raises InputError for positions that are not finite and for tolerances that are not positive.
    """
    assign = _most_pairs_least_distance
    return _match(truth, found, assign, (tolerance_um, axial_um), min_photons, _border(field_um, border_um))


def match_challenge(
    truth: Emitters,
    found: Localizations,
    *,
    lateral_um: float = 0.25,
    axial_um: float = 0.5,
    min_photons: float = 0.0,
    field_um: Extent | None = None,
) -> Matches:
    """Pair as the SMLM challenge 2016 does: in a cylinder, nearest pair of a frame first (greedy, 3D distance).

    field_um: the field of view (see `extent.frame_extent`), whose outer 0.45 µm are left out of both lists
    before matching; None: no border is left out. The rest as in `match`.
    Sage et al., Nature Methods 16:387 (2019).
    """
    inner = _border(field_um, _CHALLENGE_BORDER_UM)
    return _match(truth, found, _nearest_first, (lateral_um, axial_um), min_photons, inner)


def match_molecules(
    truth: Emitters,
    found: Localizations,
    rows: Matches,
    *,
    lateral_um: float = 0.15,
    axial_um: float | None = None,
) -> Matches:
    """Pair molecules over all their frames: as many as possible at the least total distance, as in `match`.

    truth, found: rows with numbers of molecules (`id`, `molecule`);  rows: their matches frame by frame, which
    say what takes no part: a molecule without a row that does is ignored. Two molecules can be a pair if they
    lie within the tolerance in a frame that both have; their distance is the least over such frames.
    The indices and masks of the result are of molecules, in order of their numbers.
    """
    assert found.molecule is not None
    true, of_truth = np.unique(truth.id.cpu().numpy(), return_inverse=True)
    seen, of_found = np.unique(found.molecule.cpu().numpy(), return_inverse=True)
    ignored = (
        _without(of_truth, rows.truth_ignored, len(true)),
        _without(of_found, rows.found_ignored, len(seen)),
    )
    t, f, distance = _near_pairs(
        (_positions(truth, "truth"), truth.frame.cpu().numpy(), ~ignored[0][of_truth]),
        (_positions(found, "localization"), found.frame.cpu().numpy(), np.ones(len(found), dtype=bool)),
        (lateral_um, axial_um),
    )
    key, pair = np.unique(of_truth[t] * len(seen) + of_found[f], return_inverse=True)
    least = np.full(len(key), np.inf)
    np.minimum.at(least, pair, distance)
    i, j = _most_pairs_least_distance(
        key // len(seen), key % len(seen), least / max(lateral_um, axial_um or 0.0)
    )
    order = np.argsort(i, kind="stable")
    ignored[1][j] = False
    parts = (i[order], j[order], *ignored)
    return Matches(*(torch.from_numpy(part).to(truth.xyz.device) for part in parts))


def _without(number: Ints, ignored: Tensor, count: int) -> NDArray[np.bool_]:
    """The numbers 0 … count − 1 of which no row takes part: (count,)."""
    return np.bincount(number[~ignored.cpu().numpy()], minlength=count) == 0


def _border(field_um: Extent | None, border_um: float) -> Extent | None:
    """The part of the field inside its border, or None where nothing is to be left out."""
    if border_um < 0:
        raise InputError(f"the border must not be negative, got {border_um} µm")
    if field_um is None or border_um == 0:
        return None
    left, top, right, bottom = field_um
    inner = (left + border_um, top + border_um, right - border_um, bottom - border_um)
    if inner[0] >= inner[2] or inner[1] >= inner[3]:
        raise InputError(
            f"a border of {border_um} µm leaves nothing of a field of {right - left:g} × {bottom - top:g} µm; "
            "make the border smaller"
        )
    return inner


def _match(
    truth: Emitters,
    found: Localizations,
    assign: Callable[[Ints, Ints, Floats], _Pairs],
    reach: tuple[float, float | None],
    min_photons: float,
    inner: Extent | None,
) -> Matches:
    """Leave out the border, pair the remaining rows, and remove the pairs of dim emitters."""
    lateral, axial = reach
    if not lateral > 0 or (axial is not None and not axial > 0):
        raise InputError(f"the matching tolerance must be above 0, got {lateral} µm (axial {axial} µm)")
    truth_xyz, found_xyz = _positions(truth, "truth"), _positions(found, "localization")
    truth_in, found_in = _inside(truth_xyz, inner), _inside(found_xyz, inner)
    t, f, distance = _near_pairs(
        (truth_xyz, truth.frame.cpu().numpy(), truth_in),
        (found_xyz, found.frame.cpu().numpy(), found_in),
        reach,
    )
    t, f = assign(t, f, distance / max(lateral, axial or lateral))
    order = np.argsort(t, kind="stable")
    t, f = t[order], f[order]
    dim = truth.photons.detach().cpu().numpy() < min_photons
    bright = ~dim[t]
    found_ignored = ~found_in
    found_ignored[f[~bright]] = True
    device = truth.xyz.device
    return Matches(
        truth_index=torch.from_numpy(t[bright]).to(device),
        found_index=torch.from_numpy(f[bright]).to(device),
        truth_ignored=torch.from_numpy(dim | ~truth_in).to(device),
        found_ignored=torch.from_numpy(found_ignored).to(device),
    )


def _positions(table: Emitters | Localizations, name: str) -> Floats:
    xyz = table.xyz.detach().cpu().double().numpy()
    bad = int((~np.isfinite(xyz).all(axis=1)).sum())
    if bad:
        raise InputError(f"{bad} of {len(xyz)} {name} rows have a position that is not a number; remove them")
    return xyz


def _inside(xyz: Floats, inner: Extent | None) -> NDArray[np.bool_]:
    if inner is None:
        return np.ones(len(xyz), dtype=bool)
    left, top, right, bottom = inner
    x, y = xyz[:, 0], xyz[:, 1]
    return (x >= left) & (x <= right) & (y >= top) & (y <= bottom)


def _near_pairs(
    truth: tuple[Floats, Ints, NDArray[np.bool_]],
    found: tuple[Floats, Ints, NDArray[np.bool_]],
    reach: tuple[float, float | None],
) -> tuple[Ints, Ints, Floats]:
    """All pairs of one frame within the tolerance: truth rows, found rows, 3D distance in µm.

    truth, found: positions (N, 3) µm, frames (N,), rows that take part (N,).
    """
    rows_t, rows_f = np.flatnonzero(truth[2]), np.flatnonzero(found[2])
    lateral, axial = reach
    scale = np.array([lateral, lateral, axial or lateral])
    i, j = pairs_within(
        (truth[0][rows_t] / scale, truth[1][rows_t]),
        (found[0][rows_f] / scale, found[1][rows_f]),
        1.0 if axial is None else 2.0**0.5,
    )
    t, f = rows_t[i], rows_f[j]
    offset = truth[0][t] - found[0][f]
    distance = np.sqrt((offset**2).sum(axis=1))
    if axial is None:
        within = distance <= lateral * SLACK
    else:
        within = (np.hypot(offset[:, 0], offset[:, 1]) <= lateral * SLACK) & (
            np.abs(offset[:, 2]) <= axial * SLACK
        )
    return t[within], f[within], distance[within]


def _nearest_first(t: Ints, f: Ints, distance: Floats) -> _Pairs:
    """Greedy assignment: take the nearest pair, strike out both partners, go on.

    A pair that is the nearest of both its partners is taken whatever happens elsewhere, so whole
    rounds of such pairs are taken at once: the same result without a loop over pairs.
    """
    order = np.lexsort((f, t, distance))
    t, f = t[order], f[order]
    taken: list[_Pairs] = []
    while len(t):
        rank = np.arange(len(t))
        mutual = (rank == _first_rank(t)) & (rank == _first_rank(f))
        taken.append((t[mutual], f[mutual]))
        left = ~(np.isin(t, t[mutual]) | np.isin(f, f[mutual]))
        t, f = t[left], f[left]
    if not taken:
        return t, f
    return np.concatenate([pair[0] for pair in taken]), np.concatenate([pair[1] for pair in taken])


def _first_rank(key: Ints) -> Ints:
    """For each entry, where its value first occurs."""
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return first[inverse]


def _most_pairs_least_distance(t: Ints, f: Ints, distance: Floats) -> _Pairs:
    """Largest assignment and, among the largest, the one of least total distance."""
    taken = least_total(t, f, distance)
    return t[taken], f[taken]
