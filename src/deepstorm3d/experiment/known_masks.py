"""Known masks and how well molecules are found through them: a table computed once by simulation."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ..optics.masks import AnyMask, MaskSpec

__all__ = ["Expected", "KnownMask", "MaskTable", "Place", "known_masks", "place_among", "with_noll_numbers"]

_FILE = resources.files("deepstorm3d") / "experiment" / "known_masks.json"


@dataclass(frozen=True)
class Place:
    """A value between two nodes of an axis: index of the lower one, and share (0 to 1) of the upper one."""

    index: int
    share: float

    def of(self, values: Sequence[float] | NDArray[np.float64]) -> float:
        """The value of a function that is known at the nodes, linear between them."""
        upper = min(self.index + 1, len(values) - 1)
        if self.share in (0, 1):
            return float(values[upper if self.share else self.index])
        return float((1 - self.share) * values[self.index] + self.share * values[upper])


def place_among(nodes: Sequence[float], value: float) -> Place:
    """Where a value lies among increasing nodes, on a logarithmic scale; beyond the ends, at the end."""
    if len(nodes) == 1 or value <= nodes[0]:
        return Place(0, 0.0)
    if value >= nodes[-1]:
        return Place(len(nodes) - 2, 1.0)
    index = bisect_right(nodes, value) - 1
    return Place(index, math.log(value / nodes[index]) / math.log(nodes[index + 1] / nodes[index]))


@dataclass(frozen=True)
class Expected:
    """What a table says of a mask in some conditions.

    jaccard: 0 to 1;  lateral, axial: RMSE of the matched molecules over the median joint Cramér-Rao bound of
    all, laterally of the full distance: below 1 where most are missed, which is no sign of precision.
    """

    jaccard: float
    lateral: float
    axial: float


@dataclass(frozen=True)
class KnownMask:
    """A mask, or the masks of two channels with half of the light each, for every depth of the table.

    about: what it is, in a few words;  channels: the mask of each channel at each depth, as in an experiment;
    gain: (depths, densities, lights) how far a molecule stands out (`MaskTable`);
    jaccard, lateral, axial: the same shape, as of `Expected`; NaN at depths that were not simulated.
    """

    name: str
    about: str
    channels: tuple[tuple[Mapping[str, Any], ...], ...]
    gain: NDArray[np.float64]
    jaccard: NDArray[np.float64]
    lateral: NDArray[np.float64]
    axial: NDArray[np.float64]

    def masks(self, depth: Place) -> tuple[MaskSpec, ...]:
        """The mask of each channel; between two depths its numbers are interpolated."""
        found = []
        for nodes in self.channels:
            upper = min(depth.index + 1, len(nodes) - 1)
            found.append(
                TypeAdapter(AnyMask).validate_python(_mixed(nodes[depth.index], nodes[upper], depth.share))
            )
        return tuple(found)

    def expected(self, depth: Place, densities: Sequence[Place], gain: float) -> Expected:
        """Interpolated figures.

        depth: of the range;  densities: place of the density among those of each depth;  gain: of a molecule.
        """
        return Expected(
            *(
                depth.of([self._at(table, k, place, gain) for k, place in enumerate(densities)])
                for table in (self.jaccard, self.lateral, self.axial)
            )
        )

    def _at(self, table: NDArray[np.float64], depth: int, density: Place, gain: float) -> float:
        """A table at one of its depths; NaN where that was not simulated."""
        if not np.isfinite(self.gain[depth]).all():
            return math.nan
        values = [
            place_among(lights.tolist(), gain).of(row)
            for lights, row in zip(self.gain[depth], table[depth], strict=True)
        ]
        return density.of(values)


@dataclass(frozen=True)
class MaskTable:
    """All known masks, and the conditions of the table.

    made_by, commit: the script that computed it;  conditions: its settings, for people;
    waves: (depths,) range of depths as defocus, `depth_waves`;
    densities: of each depth, molecules on `resolution_area`.

    The gain of a molecule is the mean over depths of Σ (N·t)²/(N·t + b), t its image, N its photons, b the
    background with the mean light of its neighbours: what a matched filter gains, in deviance.
    """

    made_by: str
    commit: str
    conditions: Mapping[str, Any]
    waves: tuple[float, ...]
    densities: tuple[tuple[float, ...], ...]
    masks: tuple[KnownMask, ...]


@cache
def known_masks() -> MaskTable:
    """The table in the package."""
    record = json.loads(_FILE.read_text(encoding="utf-8"))
    tables = ("gain", "jaccard", "lateral", "axial")
    masks = [
        KnownMask(
            each["name"],
            each["about"],
            tuple(tuple(with_noll_numbers(node) for node in nodes) for nodes in each["channels"]),
            *(_array(each[name]) for name in tables),
        )
        for each in record["masks"]
    ]
    return MaskTable(
        record["made_by"],
        record["commit"],
        record["conditions"],
        tuple(record["waves"]),
        tuple(map(tuple, record["densities"])),
        tuple(masks),
    )


def _array(depths: Sequence[Any]) -> NDArray[np.float64]:
    """A table (depths, densities, lights), NaN at depths that were not simulated."""
    known = next(np.array(each, dtype=np.float64) for each in depths if each is not None)
    return np.stack([np.full_like(known, np.nan) if each is None else np.array(each) for each in depths])


def with_noll_numbers(mask: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping of a mask with Noll indices as numbers again, which JSON keeps as texts."""
    plain = dict(mask)
    if "coefficients" in plain:
        plain["coefficients"] = {int(noll): value for noll, value in plain["coefficients"].items()}
    return plain


def _mixed(lower: Any, upper: Any, share: float) -> Any:
    """Two masks of one kind mixed number by number."""
    if isinstance(lower, Mapping):
        return {key: _mixed(value, upper[key], share) for key, value in lower.items()}
    if isinstance(lower, float | int):
        return (1 - share) * lower + share * upper
    return lower
