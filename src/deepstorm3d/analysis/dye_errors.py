"""How many molecules got the wrong dye, where the true ones are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..emitters import Emitters, Localizations
from .matching import Matches

__all__ = ["DyeErrors", "dye_errors"]


@dataclass(frozen=True)
class DyeErrors:
    """The dyes of K true dyes' matched rows (or molecules).

    counts: for each true dye, how many were given none, dye 1, dye 2, …;  claimed: the part of the given dyes
    that is wrong by the list's own probabilities, None where it has none.
    """

    counts: tuple[tuple[int, ...], ...]
    claimed: float | None = None

    @property
    def matched(self) -> int:
        """Matched rows whose true dye is known."""
        return sum(map(sum, self.counts))

    @property
    def none(self) -> int:
        """Of these, how many were given no dye."""
        return sum(row[0] for row in self.counts)

    @property
    def given(self) -> int:
        """How many were given one."""
        return self.matched - self.none

    @property
    def wrong(self) -> int:
        """How many were given another dye than their own."""
        return self.given - sum(row[number] for number, row in enumerate(self.counts, 1) if number < len(row))

    def __str__(self) -> str:
        """One line."""
        if not self.given:
            return f"{self.matched} matched, none of them was given a dye"
        told = f"{100 * self.wrong / self.given:.2f} %"
        if self.claimed is not None:
            told += f"; by the list's own probabilities {100 * self.claimed:.2f} %"
        return f"{self.wrong} of {self.given} with a dye have a wrong one ({told}), {self.none} have none"

    def to_mapping(self) -> Mapping[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "counts": [list(row) for row in self.counts],
            "matched": self.matched,
            "given": self.given,
            "wrong": self.wrong,
            "claimed": self.claimed,
        }


def dye_errors(truth: Emitters, found: Localizations, pairs: Matches) -> DyeErrors | None:
    """Count the dyes of matched rows; None where truth or list does not tell them.

    Dyes of both are numbered alike: from the smallest share of the light in the second channel on, or, told
    apart in one channel, from the shortest wavelength on.
    truth.dye: 0 where it is not known: such rows do not count.
    """
    if truth.dye is None or found.dye is None:
        return None
    own, given = truth.dye[pairs.truth_index].cpu(), found.dye[pairs.found_index].cpu()
    known = own > 0
    own, given = own[known], given[known]
    most = int(truth.dye.max()) if len(truth) else 0
    columns = max(most, int(found.dye.max()) if len(found) else 0) + 1
    counts = torch.bincount((own - 1) * columns + given, minlength=most * columns).view(most, columns)
    claimed = None
    if found.dye_probability is not None:
        sure = found.dye_probability[pairs.found_index].cpu().double()[known][given > 0]
        claimed = float((1 - sure).mean()) if len(sure) else None
    return DyeErrors(tuple(tuple(row) for row in counts.tolist()), claimed)
