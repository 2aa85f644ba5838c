"""How errors and completeness of a list depend on the depth of the molecules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..emitters import Emitters, Localizations
from .matching import Matches

__all__ = ["DepthErrors", "errors_by_depth"]


@dataclass(frozen=True)
class DepthErrors:
    """Errors of matched rows in bins of the true depth.

    edges_um: (K + 1,) of the bins;  molecules, hits: (K,) true molecules that count, and those found;
    rmse_nm, bias_nm: (K, 3) of x, y, z, localization minus truth; NaN in a bin without a hit.
    """

    edges_um: NDArray[np.float64]
    molecules: NDArray[np.int64]
    hits: NDArray[np.int64]
    rmse_nm: NDArray[np.float64]
    bias_nm: NDArray[np.float64]

    @property
    def middle_um(self) -> NDArray[np.float64]:
        """(K,) middle of each bin."""
        return (self.edges_um[1:] + self.edges_um[:-1]) / 2

    @property
    def recall(self) -> NDArray[np.float64]:
        """(K,) found share of the molecules, 0 to 1; NaN in a bin without molecules."""
        return self.hits / np.where(self.molecules > 0, self.molecules, np.nan)


def errors_by_depth(
    truth: Emitters, found: Localizations, matches: Matches, *, bins: int = 12
) -> DepthErrors | None:
    """Errors of the matched rows in bins of equal width over the depths of the truth; None without a molecule.

    found: as it was matched (moved, where it was registered);  rows that the matches leave out do not count.
    """
    counts = ~matches.truth_ignored.cpu().numpy()
    true = truth.xyz.detach().cpu().double().numpy()
    if not counts.any():
        return None
    z = true[:, 2]
    low, high = float(z[counts].min()), float(z[counts].max())
    if high <= low:
        low, high = low - 0.05, high + 0.05
    edges = np.linspace(low, high, bins + 1)
    # The deepest molecule belongs to the last bin.
    where = np.clip(np.searchsorted(edges, z, side="right") - 1, 0, bins - 1)
    t, f = matches.truth_index.cpu().numpy(), matches.found_index.cpu().numpy()
    offset = 1000 * (found.xyz.detach().cpu().double().numpy()[f] - true[t])
    hits = np.bincount(where[t], minlength=bins)
    known = np.where(hits > 0, hits, np.nan)[:, None]
    sums, squares = (
        np.stack([np.bincount(where[t], weights=axis, minlength=bins) for axis in values.T], 1)
        for values in (offset, offset**2)
    )
    return DepthErrors(
        edges, np.bincount(where[counts], minlength=bins), hits, np.sqrt(squares / known), sums / known
    )
