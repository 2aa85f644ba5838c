"""Shares of light as a mixture of dyes: which shares they have, how many molecules, and whose a molecule is.

A molecule's share s_i of its light in the second channel is known with σ_i. A dye k has the share m_k; its own
molecules scatter around it by τ_k beyond their σ (orientation, place in the field). So
p(s_i) = Σ_k π_k N(s_i; m_k, σ_i² + τ_k²) + π_0 / (b − a): π_0 of all are no dye's, anywhere between a and b.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..brief import Brief

__all__ = ["DyeMixture", "fitted_mixture", "fitted_weights", "only", "refitted"]

Values = NDArray[np.float64]

# Steps of expectation and maximization at most.
_STEPS = 500
# They end where no parameter changes by more than this.
_SETTLED = 1e-6
# A search of unknown shares begins at combinations of so many places …
_PLACES = 9
# … between these quantiles, …
_BETWEEN = (0.005, 0.995)
# … with at most about so many molecules, …
_MOLECULES = 3000
# … for so many steps each.
_FIRST_STEPS = 40
# The scatter of a dye is at most this part of the distance to the next one: a wider one would be two.
_WIDEST = 0.25
# Scatter of a dye where the search begins.
_FIRST_SPREAD = 0.03
# Part of the molecules that are no dye's, where it begins.
_FIRST_NEITHER = 0.05
# An empty dye keeps this weight, so that a logarithm of it can be taken.
_LEAST = 1e-12


@dataclass(frozen=True, repr=False)
class DyeMixture(Brief):
    """K dyes in a list.

    shares: (K,) of their light in the second channel;  spreads: (K,) scatter of their molecules beyond σ;
    weights: (K + 1,) part of the molecules that are no dye's, then of each dye; they sum to 1;
    between: least and largest share that a molecule of no dye may have.
    """

    shares: Values
    spreads: Values
    weights: Values
    between: tuple[float, float] = (0.0, 1.0)

    def densities(self, share: Values, sigma: Values) -> Values:
        """Density of N shares with their σ for no dye and for each, times the weights: (N, K + 1)."""
        variance = sigma[:, None] ** 2 + self.spreads**2
        off = (share[:, None] - self.shares) ** 2 / variance
        dyes = np.exp(-0.5 * off) / np.sqrt(2 * np.pi * variance)
        low, high = self.between
        neither = np.full((len(share), 1), 1 / (high - low))
        return self.weights * np.concatenate([neither, dyes], 1)

    def posterior(self, share: Values, sigma: Values) -> Values:
        """Probability that each of N molecules is no dye's, or which one's: (N, K + 1), rows sum to 1."""
        densities = self.densities(share, sigma)
        return densities / densities.sum(1, keepdims=True)

    def log_likelihood(self, share: Values, sigma: Values) -> float:
        """Of all molecules together."""
        return float(np.log(self.densities(share, sigma).sum(1)).sum())

    @property
    def widest(self) -> Values:
        """Largest scatter that each dye may have, (K,)."""
        if len(self.shares) == 1:
            return np.array([_WIDEST])
        apart = np.abs(self.shares[:, None] - self.shares)
        np.fill_diagonal(apart, np.inf)
        return _WIDEST * apart.min(1)


def fitted_weights(shares: Values, share: Values, sigma: Values) -> DyeMixture:
    """The mixture of dyes of known shares (K,), from N molecules: their numbers and scatters are fitted."""
    return _climb(_start(shares, share), share, sigma, _STEPS, free=False)


def refitted(mixture: DyeMixture, share: Values, sigma: Values) -> DyeMixture:
    """The most likely mixture of N molecules that lies uphill of a given one: shares, scatters and numbers."""
    return _climb(mixture, share, sigma, _STEPS, free=True)


def only(mixture: DyeMixture, dyes: NDArray[np.int64]) -> DyeMixture:
    """The mixture of some of its K dyes, named by number from 0."""
    weights = mixture.weights[np.concatenate([[0], dyes + 1])]
    return replace(
        mixture, shares=mixture.shares[dyes], spreads=mixture.spreads[dyes], weights=weights / weights.sum()
    )


def fitted_mixture(dyes: int, share: Values, sigma: Values) -> DyeMixture:
    """The mixture of so many dyes of unknown shares, in order of them, from N molecules.

    Climbs begin at combinations of places in the range of the shares; the most likely one goes on with all
    molecules.
    """
    every = max(1, len(share) // _MOLECULES)
    some, its_sigma = share[::every], sigma[::every]
    tried = [
        _climb(_start(shares, share), some, its_sigma, _FIRST_STEPS, free=True)
        for shares in _first_shares(dyes, some)
    ]
    best = max(tried, key=lambda mixture: mixture.log_likelihood(some, its_sigma))
    best = _climb(best, share, sigma, _STEPS, free=True)
    order = np.argsort(best.shares)
    weights = np.concatenate([best.weights[:1], best.weights[1:][order]])
    return replace(best, shares=best.shares[order], spreads=best.spreads[order], weights=weights)


def _first_shares(dyes: int, share: Values) -> Iterator[Values]:
    """Combinations of places in the range of the shares: a rare dye has no quantile of its own."""
    low, high = np.quantile(share, _BETWEEN).tolist()
    for chosen in combinations(np.linspace(low, high, _PLACES).tolist(), dyes):
        yield np.array(chosen)


def _start(shares: Values, share: Values) -> DyeMixture:
    """Dyes of equal numbers and little scatter."""
    count = len(shares)
    weights = np.array([_FIRST_NEITHER, *[(1 - _FIRST_NEITHER) / count] * count])
    low, high = min(0.0, float(share.min())), max(1.0, float(share.max()))
    start = DyeMixture(np.asarray(shares, np.float64), np.zeros(count), weights, (low, high))
    return replace(start, spreads=np.minimum(_FIRST_SPREAD, start.widest))


def _climb(mixture: DyeMixture, share: Values, sigma: Values, steps: int, *, free: bool) -> DyeMixture:
    """Expectation and maximization (Dempster, Laird & Rubin 1977); free: the shares of the dyes too."""
    for _ in range(steps):
        risen = _step(mixture, share, sigma, free=free)
        change = max(
            float(np.abs(new - old).max())
            for new, old in (
                (risen.shares, mixture.shares),
                (risen.spreads, mixture.spreads),
                (risen.weights, mixture.weights),
            )
        )
        mixture = risen
        if change < _SETTLED:
            break
    return mixture


def _step(mixture: DyeMixture, share: Values, sigma: Values, *, free: bool) -> DyeMixture:
    """One step: posteriors, then the parameters that they make most likely."""
    posterior = mixture.posterior(share, sigma)
    weights = np.maximum(posterior.mean(0), _LEAST)
    belongs = posterior[:, 1:]
    variance = sigma[:, None] ** 2 + mixture.spreads**2
    precise = belongs / variance
    shares = mixture.shares
    if free:
        total = precise.sum(0)
        shares = np.where(total > 0, (precise * share[:, None]).sum(0) / np.maximum(total, _LEAST), shares)
    # Where the slope of the likelihood by τ² is 0: each molecule's square minus its σ², weighted by precision².
    squares = (precise / variance * ((share[:, None] - shares) ** 2 - sigma[:, None] ** 2)).sum(0)
    held = (precise / variance).sum(0)
    spreads = np.sqrt(np.maximum(squares / np.maximum(held, _LEAST), 0.0))
    risen = replace(mixture, shares=shares, weights=weights / weights.sum())
    return replace(risen, spreads=np.minimum(spreads, risen.widest))
