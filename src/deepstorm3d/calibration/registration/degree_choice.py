"""The degree of the transform between two channels, by how well it predicts pairs that were held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ...channels.polynomials import HIGHEST_DEGREE, terms_of_degree
from ...channels.transform import Transform
from ...errors import InputError
from ...field import Field
from ...watch import SILENT, Watcher, advance
from .pairing import Paired, chance_pairs, paired
from .points import Points
from .polynomial_fit import FittedPairs, PairData, cross_validated, fit_pairs
from .search import GATE_UM, LEAST_PLACES
from .similarity import Similarity

__all__ = ["PLACE_UM", "FoundTransform", "fit_transform"]

Floats = NDArray[np.float64]

# Partners lie within this many σ, and within these distances, µm.
_GATE_SIGMAS = 5.0
_GATE_LEAST_UM = 0.03
_GATE_MOST_UM = 0.5
# A degree is raised where the likelihood of pairs that were held out grows by this many of its standard errors.
_BETTER = 2.0
# Times that pairs are found with the transform that they led to: so often, and up to …
_PASSES = 2
_MOST_PASSES = 12
# … while each time adds this share of them. (Where distortion is large, the first similarity fits a part of the
# field only.)
_GROWING = 0.03
# Where σ of neither row is known, variance of a pair over the square of the gate.
_UNKNOWN = 1e-4

PLACE_UM = 0.2
"""Pairs within a square of this side are one place, µm: a molecule in successive frames is held out as one."""


@dataclass(frozen=True)
class FoundTransform:
    """The transform of the chosen degree, its pairs, and what each degree made of them."""

    fitted: FittedPairs
    rows: Paired
    pairs: PairData
    held_out: Floats
    by_degree_nm: dict[int, float]


def fit_transform(
    one: Points,
    other: Points,
    start: Similarity,
    degree: int | None,
    view: Field,
    watch: Watcher = SILENT,
) -> FoundTransform:
    """Pairs and transform in turn: the degree that predicts pairs which were held out best."""
    centre = np.array([view.width - 1, view.height - 1]) * view.pixel_um / 2
    scale = max(view.width, view.height) * view.pixel_um / 2
    transform = Transform.affine(torch.from_numpy(start.matrix()), torch.from_numpy(start.offset()))
    gate = GATE_UM
    found: FoundTransform | None = None
    for turn in range(_MOST_PASSES):
        advance(watch, min(turn, _PASSES - 1), _PASSES, "fitting the transform")
        rows, pairs = _pairs(one, other, transform, gate)
        degrees = _degrees(pairs, degree)
        fits = {each: fit_pairs(pairs, each, centre, scale) for each in degrees}
        tried = {each: cross_validated(pairs, fits[each], np.random.default_rng(1)) for each in degrees}
        best = degrees[0]
        for each in degrees[1:]:
            best = each if _better(tried[each][0] - tried[best][0], pairs.place) else best
        fitted = fits[best]
        by_degree = {each: 1000 * _rms(tried[each][1], fits[best].weight) for each in degrees}
        before = 0 if found is None else len(found.rows)
        found = FoundTransform(fitted, rows, pairs, tried[best][1], by_degree)
        if turn + 1 >= _PASSES and len(rows) <= (1 + _GROWING) * before:
            break
        transform = fitted.transform
        typical = float(np.median(pairs.variance.mean(1))) + fitted.excess
        gate = float(np.clip(_GATE_SIGMAS * np.sqrt(typical), _GATE_LEAST_UM, _GATE_MOST_UM))
    assert found is not None
    return found


def _pairs(one: Points, other: Points, transform: Transform, gate: float) -> tuple[Paired, PairData]:
    """Partners under a transform, with the variances that their σ tell of the residuals."""
    moved = transform.apply(torch.from_numpy(one.xy)).numpy()
    rows = paired(moved, one, other, gate)
    first = one.xy[rows.first]
    slope = transform.jacobian(torch.from_numpy(first)).numpy()
    variance = np.einsum("nij,nj->ni", slope**2, one.variance[rows.first, :2]) + other.variance[rows.second, :2]
    variance = np.where(variance > 0, variance, _UNKNOWN * gate**2)
    cells = np.floor(first / PLACE_UM).astype(np.int64)
    place = np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    by_chance = chance_pairs(moved, one, other, gate, np.random.default_rng(2))
    share = float(np.clip(1 - by_chance / max(len(rows), 1), 0.1, 0.99))
    return rows, PairData(first, other.xy[rows.second], variance, place, gate, share)


def _degrees(pairs: PairData, degree: int | None) -> list[int]:
    """The degrees that there are pairs enough for; raises InputError where these are too few."""
    places = len(np.unique(pairs.place))
    least = LEAST_PLACES if degree is None else 2 * terms_of_degree(degree)
    if places < least:
        of = "" if degree is None else f" of degree {degree}"
        raise InputError(
            f"the two channels have {len(pairs.place)} pairs at {places} places; a transform{of} needs {least}",
            "take more frames or beads"
            if degree in (None, 1)
            else "take more frames or beads, or a lower degree (`degree`)",
        )
    if degree is not None:
        return [degree]
    return [each for each in range(1, HIGHEST_DEGREE + 1) if places >= 2 * terms_of_degree(each)]


def _better(gain: Floats, place: NDArray[np.int64]) -> bool:
    """Whether log-likelihoods (P,) of held-out pairs have grown, beyond the scatter between places."""
    of_place = np.bincount(np.unique(place, return_inverse=True)[1], gain)
    error = float(of_place.std(ddof=1)) * np.sqrt(len(of_place)) if len(of_place) > 1 else np.inf
    return float(of_place.sum()) > _BETTER * error


def _rms(residual: Floats, weight: Floats) -> float:
    """Of x and y together, partners counting by their probability, µm."""
    return float(np.sqrt((weight[:, None] * residual**2).sum() / (2 * weight.sum())))
