"""Which dye a molecule is, from the share of its light that a second channel sees."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..brief import Brief
from ..emitters import Localizations
from ..errors import InputError
from .dye_doubts import other_shares, rare_dyes
from .dye_mixture import DyeMixture, fitted_mixture, fitted_weights

__all__ = ["DyeRule", "DyesFound", "SharesOfMolecules", "find_dyes", "shares_of_molecules"]

# Fewest molecules for each dye whose share is to be found.
_FEWEST = 20
# Part of the molecules that are no dye's above which the user is told.
_MANY_NEITHER = 0.2
# Part of them that are in doubt above which the user is told.
_MANY_IN_DOUBT = 0.1
# Names of dyes that were not given any.
_UNNAMED = "dye {}"


@dataclass(frozen=True)
class DyeRule:
    """The dyes to look for.

    dyes: the share of light in the second channel of each dye by its name, or how many of unknown shares;
    sure: a molecule whose dye is less probable than this is given to none.
    Raises InputError for shares outside 0 to 1, two that are the same, or no dye.
    """

    dyes: Mapping[str, float] | int
    sure: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.sure < 1:
            raise InputError(f"a probability lies between 0 and 1, got {self.sure:g}", "0.95, for example")
        if isinstance(self.dyes, int):
            if not 1 <= self.dyes <= 4:
                raise InputError(f"{self.dyes} dyes cannot be told apart by one share", "choose 1 to 4")
            return
        if not self.dyes:
            raise InputError("no dye is given", "name each with its share, or say how many there are")
        for name, share in self.dyes.items():
            if not 0 <= share <= 1:
                raise InputError(
                    f"the share of '{name}' is {share:g}", "it is a part of the light, between 0 and 1"
                )
        if len(set(self.dyes.values())) < len(self.dyes):
            raise InputError("two dyes have the same share, so nothing tells them apart", "leave one out")


@dataclass(frozen=True, repr=False)
class SharesOfMolecules(Brief):
    """The share of light of M molecules: all rows of one taken together.

    share, sigma: (M,) share of the light in the second channel and its σ;  of_row: (N,) molecule of each row of
    the list, −1 where the share is not known.
    """

    share: NDArray[np.float64]
    sigma: NDArray[np.float64]
    of_row: NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class DyesFound(Brief):
    """The dyes of a list.

    names: of the K dyes, in order of their shares;  mixture: their shares, scatters and numbers;
    localizations: the list with the columns `dye` (from 1 in the order of `names`, 0: none) and
    `dye_probability`;  molecules: how many are no dye's (or in doubt), then how many of each dye;
    misassigned: expected part of wrong ones among those that were given a dye, by their own posteriors;
    shares: of the molecules;  warnings: what a reader of the numbers should know.
    """

    names: tuple[str, ...]
    mixture: DyeMixture
    localizations: Localizations
    molecules: tuple[int, ...]
    misassigned: float
    shares: SharesOfMolecules
    warnings: list[str] = field(default_factory=list)


def find_dyes(table: Localizations, rule: DyeRule) -> DyesFound:
    """Give every molecule of a list its dye, or none, with the probability of that.

    The shares of all molecules are described by a mixture of the dyes and of molecules that are none
    (`dye_mixture`); rows of one molecule (`molecule`) get one answer from all of its rows.
    Raises InputError for a list without shares, and for fewer molecules than their dyes can be found from.
    """
    shares = shares_of_molecules(table)
    names, mixture = _mixture(shares, rule)
    posterior = mixture.posterior(shares.share, shares.sigma)
    dye = posterior.argmax(1)
    likeliest = np.bincount(dye, minlength=len(names) + 1).tolist()
    probability = posterior[np.arange(len(dye)), dye]
    in_doubt = (dye > 0) & (probability < rule.sure)
    dye = np.where(in_doubt, 0, dye)
    given = dye > 0
    wrong = float((1 - probability[given]).mean()) if given.any() else 0.0
    known = shares.of_row >= 0
    of_rows = np.where(known, dye[shares.of_row], 0)
    sure_of_rows = np.where(known, probability[shares.of_row], 0.0)
    found = replace(
        table,
        dye=torch.from_numpy(of_rows.astype(np.int64)).to(table.frame.device),
        dye_probability=torch.from_numpy(sure_of_rows.astype(np.float32)).to(table.frame.device),
    )
    counts = tuple(np.bincount(dye, minlength=len(names) + 1).tolist())
    warnings = _warnings(mixture, names, shares, in_doubt, rule)
    found_shares = isinstance(rule.dyes, int)
    if not found_shares:
        warnings += other_shares(mixture, names, shares.share, shares.sigma)
    warnings += rare_dyes(names, likeliest, found=found_shares)
    return DyesFound(names, mixture, found, counts, wrong, shares, warnings)


def shares_of_molecules(table: Localizations) -> SharesOfMolecules:
    """The share of each molecule, the mean of its rows weighted by 1/σ².

    Raises InputError for a list without shares or whose shares have no σ.
    """
    if table.share is None or table.sigma_share is None:
        raise InputError(
            "the list does not say which share of the light the second channel saw",
            "localize both channels together",
        )
    share, sigma = (values.cpu().double().numpy() for values in (table.share, table.sigma_share))
    known = np.isfinite(share) & np.isfinite(sigma) & (sigma > 0)
    if not known.any():
        raise InputError("no row of the list has a share with its σ", "localize both channels together")
    number = np.arange(len(table)) if table.molecule is None else table.molecule.cpu().numpy()
    _, molecule = np.unique(number[known], return_inverse=True)
    weight = sigma[known] ** -2
    total = np.bincount(molecule, weight)
    of_row = np.full(len(table), -1, np.int64)
    of_row[known] = molecule
    return SharesOfMolecules(np.bincount(molecule, weight * share[known]) / total, 1 / np.sqrt(total), of_row)


def _mixture(shares: SharesOfMolecules, rule: DyeRule) -> tuple[tuple[str, ...], DyeMixture]:
    """Names in order of the shares, and the mixture."""
    if not isinstance(rule.dyes, int):
        ordered = sorted(rule.dyes.items(), key=lambda dye: dye[1])
        known = np.array([share for _, share in ordered], np.float64)
        return tuple(name for name, _ in ordered), fitted_weights(known, shares.share, shares.sigma)
    needed = _FEWEST * rule.dyes
    if len(shares.share) < needed:
        raise InputError(
            f"the shares of {rule.dyes} dyes cannot be found from {len(shares.share)} molecules: at least "
            f"{needed} are needed",
            "give the shares, measured on samples of one dye each",
        )
    mixture = fitted_mixture(rule.dyes, shares.share, shares.sigma)
    return tuple(_UNNAMED.format(1 + number) for number in range(rule.dyes)), mixture


def _warnings(
    mixture: DyeMixture,
    names: tuple[str, ...],
    shares: SharesOfMolecules,
    in_doubt: NDArray[np.bool_],
    rule: DyeRule,
) -> list[str]:
    said: list[str] = []
    unknown = int((shares.of_row < 0).sum())
    if unknown:
        said.append(f"{unknown} of {len(shares.of_row)} rows have no share with a σ: they get no dye")
    if mixture.weights[0] > _MANY_NEITHER:
        said.append(
            f"{100 * mixture.weights[0]:.0f} % of the molecules have a share that is no dye's: is a dye "
            "missing, or are the shares those of other filters?"
        )
    typical = float(np.median(shares.sigma))
    for (first, one), (second, other) in itertools.pairwise(enumerate(mixture.shares)):
        reach = np.hypot(max(mixture.spreads[first], mixture.spreads[second]), typical)
        if other - one < 3 * reach:
            said.append(
                f"{names[first]} and {names[second]} have shares of {one:.3f} and {other:.3f}, but a "
                f"molecule's is known to {reach:.3f}: many can be either"
            )
    if in_doubt.mean() > _MANY_IN_DOUBT:
        said.append(
            f"{100 * in_doubt.mean():.0f} % of the molecules are less sure than {rule.sure:g} and get no dye"
        )
    return said
