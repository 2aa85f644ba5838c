"""Which dye a molecule is, from how well the PSF of each explains its image: the ratio of their likelihoods.

If frames with molecule i as dye k are left with the deviance D_ik, then p(frames | k) ∝ exp(−D_ik / 2): all
dyes have as many unknowns. A molecule may be none's for two reasons. It may be of another wavelength: that is
the mean of the same over some others, between those of the dyes and beyond. Or no PSF explains it (two in one,
other light): the deviance under its spot lies t_i standard deviations above what noise gives. For molecules of
a dye that is normal around the middle of the list, N(t; m, s²); else it may be anything between the least and
the largest t. How many molecules each dye has, and none, is found from the list (expectation and maximization).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..brief import Brief
from ..emitters import Localizations

__all__ = ["DyesByImage", "ImageEvidence", "dyes_by_image"]

Values = NDArray[np.float64]

# Steps of expectation and maximization at most, and the change of a weight at which they end.
_STEPS = 1000
_SETTLED = 1e-6
# Part of the molecules that are no dye's, where the steps begin.
_FIRST_NEITHER = 0.05
# An empty dye keeps this part of a molecule.
_LEAST = 1e-9
# Least width of the range in which molecules of no dye lie, standard deviations.
_WIDTH = 10.0
# Part of the molecules that are no dye's above which the user is told.
_MANY_NEITHER = 0.2
# Part of the given dyes that is expected to be wrong above which the user is told.
_MANY_WRONG = 0.1


@dataclass(frozen=True)
class ImageEvidence:
    """What the images of N molecules say of K dyes.

    deviance: (N, K) of the frames with the molecule as each dye, and others: (N, M) as of each of M other
    wavelengths, both up to a constant for each molecule;  excess: (N,) t_i.
    """

    deviance: Values
    others: Values
    excess: Values


@dataclass(frozen=True, repr=False)
class DyesByImage(Brief):
    """The dyes of a list of one channel.

    names: of the K dyes, in their order;  weights: (K + 1,) part of the molecules that are no dye's, then of
    each;  localizations: with the columns `dye` (from 1, 0: none, or in doubt) and `dye_probability`;
    molecules: how many are none's, then of each;  misassigned: expected part of wrong ones among those that
    were given a dye;  warnings: what a reader of the numbers should know.
    """

    names: tuple[str, ...]
    weights: Values
    localizations: Localizations
    molecules: tuple[int, ...]
    misassigned: float
    warnings: list[str]


def dyes_by_image(
    table: Localizations,
    evidence: ImageEvidence,
    names: Sequence[str],
    *,
    sure: float = 0.0,
    weights: Sequence[float] | None = None,
) -> DyesByImage:
    """Give every molecule its dye, or none, with the probability of that.

    names: of the K dyes;  sure: molecules whose dye is less probable get none;  weights: (K,) expected number
    of molecules of each dye, None: found from the list.
    """
    posterior, found = _posterior(evidence, None if weights is None else np.asarray(weights, float))
    dye = posterior.argmax(1) if len(table) else np.zeros(0, np.int64)
    probability = posterior[np.arange(len(dye)), dye]
    dye = np.where((dye > 0) & (probability < sure), 0, dye)
    given = dye > 0
    wrong = float((1 - probability[given]).mean()) if given.any() else 0.0
    device = table.frame.device
    told = replace(
        table,
        dye=torch.from_numpy(dye.astype(np.int64)).to(device),
        dye_probability=torch.from_numpy(probability.astype(np.float32)).to(device),
    )
    counts = tuple(np.bincount(dye, minlength=len(names) + 1).tolist())
    return DyesByImage(tuple(names), found, told, counts, wrong, _warnings(found, wrong))


def _posterior(evidence: ImageEvidence, given: Values | None) -> tuple[Values, Values]:
    """Posterior (N, K + 1) of none and of each dye, and the weights (K + 1,)."""
    number, dyes = evidence.deviance.shape
    share = np.full(dyes, 1 / dyes) if given is None else given / given.sum()
    weights = np.concatenate([[_FIRST_NEITHER], (1 - _FIRST_NEITHER) * share])
    if not number:
        return np.zeros((0, dyes + 1)), weights
    least = np.column_stack([evidence.deviance, evidence.others]).min(1, keepdims=True)
    other = np.exp(-0.5 * (evidence.others - least))
    likelihood = np.column_stack([np.zeros(number), np.exp(-0.5 * (evidence.deviance - least))])
    if other.shape[1]:
        likelihood[:, 0] = other.mean(1)
    posterior = likelihood
    for _ in range(_STEPS):
        posterior = weights * likelihood
        posterior /= posterior.sum(1, keepdims=True)
        before, weights = weights, (posterior.sum(0) + _LEAST) / (number + _LEAST * (dyes + 1))
        if given is not None:
            weights[1:] = (1 - weights[0]) * share
        if float(np.abs(before - weights).max()) < _SETTLED:
            break
    bad = _neither(evidence.excess)
    posterior[:, 1:] *= (1 - bad)[:, None]
    posterior[:, 0] = 1 - posterior[:, 1:].sum(1)
    return posterior, posterior.mean(0)


def _neither(excess: Values) -> Values:
    """Probability (N,) that no dye explains a molecule as well as the dyes explain the others."""
    weight, middle = _FIRST_NEITHER, float(np.median(excess))
    scatter = max(1.0, 1.4826 * float(np.median(np.abs(excess - middle))))
    anywhere = 1 / max(_WIDTH, float(np.ptp(excess)))
    neither = np.full(len(excess), weight)
    for _ in range(_STEPS):
        normal = np.exp(-0.5 * ((excess - middle) / scatter) ** 2) / (np.sqrt(2 * np.pi) * scatter)
        none = weight * anywhere
        neither = none / (none + (1 - weight) * normal)
        before, weight, ours = weight, float(neither.mean()), 1 - neither
        total = max(float(ours.sum()), _LEAST)
        middle = float((ours * excess).sum()) / total
        scatter = max(1.0, float(np.sqrt((ours * (excess - middle) ** 2).sum() / total)))
        if abs(weight - before) < _SETTLED:
            break
    return neither


def _warnings(weights: Values, wrong: float) -> list[str]:
    said = []
    if weights[0] > _MANY_NEITHER:
        said.append(
            f"{100 * weights[0]:.0f} % of the molecules are explained by no dye: is a dye missing, or are the "
            "wavelengths, the focus or the mask's index others?"
        )
    if wrong > _MANY_WRONG:
        said.append(
            f"{100 * wrong:.0f} % of the dyes are expected to be wrong: the light of a molecule does not tell "
            "these PSFs apart"
        )
    return said
