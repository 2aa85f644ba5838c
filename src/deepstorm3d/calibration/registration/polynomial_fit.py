"""The transform that fits pairs of positions best, some of which are no partners; how well it predicts others.

Two rows are partners with probability w: then the residual is normal, with the variances of both rows and a
common one that no σ tells; else it lies anywhere within the gate (expectation and maximization; Dempster, Laird
and Rubin, J. R. Stat. Soc. B 39:1, 1977). Degrees are compared by cross-validation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ...channels.polynomials import terms, terms_of_degree
from ...channels.transform import Transform

__all__ = ["FittedPairs", "PairData", "cross_validated", "fit_pairs"]

Floats = NDArray[np.float64]

# Rounds of expectation and maximization at most.
_ROUNDS = 60
# Steps towards the common variance in each round.
_NEWTON_STEPS = 3
# Of the pairs that should be partners, this share must support the transform.
_SUPPORTED = 0.7
# They end where no weight changes by more than this.
_SETTLED = 1e-4
# Variance that every pair has at least, µm²: a hundredth of a nanometre.
_FLOOR = 1e-10
# Parts into which the pairs are divided for cross-validation.
_FOLDS = 10


@dataclass(frozen=True)
class PairData:
    """Pairs to fit.

    first, second: (P, 2) µm;  variance: (P, 2) that the σ of both rows tell of the residual, µm²;  place: (P,)
    the same for pairs that are held out together;  gate_um: no residual of a pair was larger when it was made;
    share: of the pairs that are partners, as far as those by chance tell it.
    """

    first: Floats
    second: Floats
    variance: Floats
    place: NDArray[np.int64]
    gate_um: float
    share: float

    def rows(self, chosen: NDArray[np.bool_]) -> PairData:
        """Some of the pairs."""
        return replace(
            self,
            first=self.first[chosen],
            second=self.second[chosen],
            variance=self.variance[chosen],
            place=self.place[chosen],
        )


@dataclass(frozen=True)
class FittedPairs:
    """A transform, and what the pairs say of it.

    weight: (P,) probability that a pair are partners;  share: mean of it;  excess: variance of a residual that
    no σ tells, µm²;  covariance: (2, K, K) of the coefficients of x' and of y', µm².
    """

    transform: Transform
    weight: Floats
    share: float
    excess: float
    covariance: Floats

    def residual(self, pairs: PairData) -> Floats:
        """Second less transformed first, (P, 2) µm."""
        return pairs.second - self.transform.apply(torch.from_numpy(pairs.first)).numpy()

    def log_likelihood(self, pairs: PairData) -> Floats:
        """Of each pair, partners or not, (P,)."""
        right, wrong = _densities(self.residual(pairs), pairs, self.share, self.excess)
        return np.log(right + wrong)

    def sigma_um(self, xy: Floats) -> Floats:
        """Standard error of the transformed position at places (N, 2) µm: (N, 2) µm."""
        uv = (torch.from_numpy(np.ascontiguousarray(xy)) - self.transform.centre_um) / self.transform.scale_um
        design = terms(uv, self.transform.degree).numpy()
        return np.sqrt(np.maximum(np.einsum("nk,akl,nl->na", design, self.covariance, design), 0.0))


def fit_pairs(
    pairs: PairData, degree: int, centre: Floats, scale: float, *, start: FittedPairs | None = None
) -> FittedPairs:
    """The transform of a degree; centre (2,) and scale µm of its local coordinates.

    start: of the same degree, from nearly the same pairs: its share and excess are begun with.
    """
    uv = (torch.from_numpy(pairs.first) - torch.from_numpy(centre)) / scale
    design = terms(uv, degree).numpy()
    share, excess = (pairs.share, (pairs.gate_um / 3) ** 2) if start is None else (start.share, start.excess)
    weight = np.full(len(pairs.first), share)
    if start is None:
        coefficients, covariance = _solve(design, pairs, weight, excess)
    else:
        coefficients, covariance = start.transform.coefficients.numpy().T, start.covariance
    for _ in range(_ROUNDS):
        off = pairs.second - design @ coefficients
        right, wrong = _densities(off, pairs, share, excess)
        before, weight = weight, right / (right + wrong)
        share = float(np.clip(weight.mean(), 1e-3, 1 - 1e-3))
        excess = max(_excess(np.square(off), pairs.variance, weight, degree, excess), _least_excess(off, pairs))
        coefficients, covariance = _solve(design, pairs, weight, excess)
        if float(np.abs(weight - before).max()) < _SETTLED:
            break
    transform = Transform(torch.from_numpy(coefficients.T.copy()), torch.from_numpy(centre), scale)
    return FittedPairs(transform, weight, share, excess, covariance)


def _solve(design: Floats, pairs: PairData, weight: Floats, excess: float) -> tuple[Floats, Floats]:
    """Weighted least squares for x' and y': coefficients (K, 2) and their covariances (2, K, K)."""
    each = weight[:, None] / (pairs.variance + excess + _FLOOR)
    normal = np.einsum("nk,na,nl->akl", design, each, design, optimize=True)
    # Local coordinates are about 1, so the normal matrix is well conditioned, unless all pairs lie on a line.
    covariance = np.linalg.pinv(normal, hermitian=True)
    pull = design.T @ (each * pairs.second)
    return np.einsum("akl,la->ka", covariance, pull), covariance


def _densities(off: Floats, pairs: PairData, share: float, excess: float) -> tuple[Floats, Floats]:
    """Density of each residual if the pair are partners, and if not, times the probability of either, 1/µm²."""
    variance = pairs.variance + excess + _FLOOR
    right = np.exp(-0.5 * (off**2 / variance).sum(1)) / (2 * np.pi * np.sqrt(variance.prod(1)))
    return share * right, np.full(len(off), (1 - share) / (np.pi * pairs.gate_um**2))


def _excess(square: Floats, variance: Floats, weight: Floats, degree: int, excess: float) -> float:
    """The variance common to all pairs with which their residuals are as large as expected, µm².

    square: (P, 2) squared residuals;  excess: of the round before, from which Newton's steps begin.
    """
    total = 2 * weight.sum()
    # As many residuals vanish as there are coefficients.
    free = max(total - 2 * terms_of_degree(degree), 0.1 * total)
    weighted, least = weight[:, None] * square, variance + _FLOOR
    if (weighted / least).sum() <= free:
        return 0.0
    for _ in range(_NEWTON_STEPS):
        whole = least + excess
        surplus, slope = float((weighted / whole).sum()) - free, float((weighted / whole**2).sum())
        # The sum falls and is convex: a step from beyond the root may pass it to the other side of 0.
        excess = max(excess + surplus / slope, 0.0)
    return excess


def _least_excess(off: Floats, pairs: PairData) -> float:
    """What the common variance is at least, so that the fit is not drawn through a few pairs alone, µm².

    Of the pairs that should be partners (`PairData.share`) 70 % must lie about where normal residuals do.
    """
    quantile = _SUPPORTED * pairs.share
    seen = float(np.quantile(np.square(off).sum(1), quantile)) / (-2 * np.log1p(-quantile))
    return max(0.5 * seen - float(np.median(pairs.variance.mean(1))), 0.0)


def cross_validated(pairs: PairData, whole: FittedPairs, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Log-likelihood (P,) and residual (P, 2) µm of each pair from a fit to the pairs of other places.

    whole: the fit to all pairs, whose degree and local coordinates are taken.
    """
    places, of = np.unique(pairs.place, return_inverse=True)
    folds = min(_FOLDS, len(places))
    fold = rng.permutation(np.arange(len(places)) % folds)[of]
    likelihood, residual = np.zeros(len(of)), np.zeros((len(of), 2))
    known = whole.transform
    for held in range(folds):
        out = fold == held
        fitted = fit_pairs(pairs.rows(~out), known.degree, known.centre_um.numpy(), known.scale_um, start=whole)
        likelihood[out] = fitted.log_likelihood(pairs.rows(out))
        residual[out] = fitted.residual(pairs.rows(out))
    return likelihood, residual
