"""What a list says against the dyes that are looked for in it: other shares than given, or no molecules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .dye_mixture import DyeMixture, only, refitted

__all__ = ["ShownShares", "other_shares", "rare_dyes", "shown_shares"]

Values = NDArray[np.float64]

# Molecules from which the shares that a list shows are found, about so many at most.
_MOST = 50_000
# Fewest molecules of a dye whose share is compared with the given one.
_FEWEST = 20
# A share is another than the given one where it differs by at least so many standard errors …
_CERTAIN = 5.0
# … and by this part of the largest scatter that the dye may have: less changes the dye of few molecules.
_MATTERS = 0.16
# A dye with a smaller part of the molecules is told.
_RARE = 0.003


@dataclass(frozen=True)
class ShownShares:
    """Shares of K dyes as the molecules show them.

    given, shown, errors: (K,) share that was given, the most likely one, and its standard error;
    differ: (K,) whether they differ by more than noise, and by enough to matter.
    """

    given: Values
    shown: Values
    errors: Values
    differ: NDArray[np.bool_]


def shown_shares(
    mixture: DyeMixture, share: Values, sigma: Values, widest: Values | None = None
) -> ShownShares:
    """Fit the K shares of a mixture, whose numbers and scatters were found for given shares, from N molecules.

    The standard errors follow from what the molecules say of shares, scatters and numbers together: the sum of
    the outer products of their scores (Berndt et al., Ann. Econ. Soc. Meas. 3:653, 1974).

    widest: (K,) largest scatter of each dye, in units of which a difference matters, if the mixture is a part
    of one with more dyes.
    """
    widest = mixture.widest if widest is None else widest
    every = max(1, len(share) // _MOST)
    share, sigma = share[::every], sigma[::every]
    free = refitted(mixture, share, sigma)
    scores = _scores(free, share, sigma)
    covariance = np.linalg.pinv(scores.T @ scores, hermitian=True)
    errors = np.sqrt(np.maximum(np.diag(covariance)[: len(mixture.shares)], 0.0))
    off = np.abs(free.shares - mixture.shares)
    # Where dyes overlap by more than their distance the standard errors are none: the likelihoods decide too.
    gained = free.log_likelihood(share, sigma) - mixture.log_likelihood(share, sigma)
    differ = (off > _CERTAIN * errors) & (off > _MATTERS * widest) & (gained > _CERTAIN**2 / 2)
    return ShownShares(mixture.shares, free.shares, errors, differ)


def _scores(mixture: DyeMixture, share: Values, sigma: Values) -> Values:
    """Slopes (N, 3 K) of each molecule's log-likelihood: by shares, scatters τ², and logits of the weights."""
    belongs = mixture.posterior(share, sigma)[:, 1:]
    variance = sigma[:, None] ** 2 + mixture.spreads**2
    off = share[:, None] - mixture.shares
    by_scatter = 0.5 * belongs * (off**2 / variance - 1) / variance
    return np.concatenate([belongs * off / variance, by_scatter, belongs - mixture.weights[1:]], 1)


def other_shares(mixture: DyeMixture, names: Sequence[str], share: Values, sigma: Values) -> list[str]:
    """The complaint about given shares that are not those of the molecules, or none.

    Dyes with hardly any molecule are left out: nothing tells their share.
    """
    likeliest = np.bincount(mixture.posterior(share, sigma).argmax(1), minlength=len(names) + 1)
    present = np.flatnonzero(likeliest[1:] >= _FEWEST)
    if not len(present):
        return []
    shown = shown_shares(only(mixture, present), share, sigma, mixture.widest[present])
    told = [
        f"{names[dye]} {shown.shown[at]:.4f} ± {shown.errors[at]:.4f} (given: {shown.given[at]:.4g})"
        for at, dye in enumerate(present.tolist())
        if shown.differ[at]
    ]
    if not told:
        return []
    absent = [name for dye, name in enumerate(names) if dye not in present]
    if absent:
        told[-1] += f"; hardly any molecule is likeliest {', '.join(absent)}, so these may be of several dyes"
    return [
        f"the molecules show other shares than the given ones: {', '.join(told)}. The difference was taken for "
        "scatter, and dyes and their probabilities are off by it: measure the shares with these filters, or "
        f"ask for dyes of unknown shares ({len(names)}), which finds them from the list"
    ]


def rare_dyes(names: Sequence[str], likeliest: Sequence[int], *, found: bool) -> list[str]:
    """The complaint about dyes with hardly any molecule, or none.

    likeliest: (K + 1,) molecules that are likeliest no dye's, then each dye's;  found: the shares were found
    from the list.
    """
    total = sum(likeliest)
    told = [
        f"{name} ({number:,})"
        for name, number in zip(names, likeliest[1:], strict=True)
        if number < max(1, _RARE * total)
    ]
    if not told:
        return []
    said = f"hardly any of the {total:,} molecules is likeliest {', '.join(told)}: "
    remedy = "ask for fewer dyes" if found else "is it in the sample, and is its share right?"
    return [said + remedy]
