"""Sites that are handed from one window of frames to the next, and the rows that wait for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from ...emitters import Localizations
from .start import Carried

__all__ = ["KeptSites", "in_blocks"]


@dataclass(frozen=True)
class KeptSites:
    """K sites that may shine on, and the rows that cannot be given before it is known.

    number: (K,) int64 of each molecule in the movie;  first, last: (K,) int64, frames of the first and the last
    look;  place: (K, q);  covariances: of the places of sites that were fitted together;  block, within: (K,)
    int64, which of them a site is in, and its place there;  next_number: of the next new molecule;
    waiting: rows, or None.
    """

    number: Tensor
    first: Tensor
    last: Tensor
    place: Tensor
    block: Tensor
    within: Tensor
    covariances: tuple[Tensor, ...]
    next_number: int
    waiting: Localizations | None

    @classmethod
    def nothing(cls) -> KeptSites:
        """Before the first window."""
        none = torch.zeros(0, dtype=torch.int64)
        return cls(none, none, none, torch.zeros(0, 3).double(), none, none, (), 0, None)

    def __len__(self) -> int:
        return len(self.number)

    def seen_from(self, frame: int) -> KeptSites:
        """Those with a look in this frame or later; the rows go on waiting."""
        rows = self.last >= frame
        columns = ("number", "first", "last", "place", "block", "within")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    def rows(self, begin: int) -> Localizations:
        """The sites as rows with σ, of the frames of their last looks, counted from `begin` on."""
        each = self.place.shape[1]
        variance = torch.zeros_like(self.place)
        for number, block in enumerate(self.covariances):
            here = self.block == number
            variance[here] = block.diagonal().view(-1, each)[self.within[here]]
        nothing = torch.zeros_like(self.place[:, 0])
        rows = Localizations.proposals(self.place[:, :3], self.last - begin, nothing)
        return replace(rows, sigma_xyz=variance[:, :3].clamp(min=1e-12).sqrt())

    def carried(self, sites: Tensor, begin: int, corner: Tensor | None = None) -> Carried:
        """Some of the sites, an index (C,), as the fit of the frames from `begin` on takes them.

        corner: (3,) µm, where positions are measured from; None: as they are.
        """
        each = self.place.shape[1]
        covariance = self.place.new_zeros(len(sites) * each, len(sites) * each)
        for number, block in enumerate(self.covariances):
            here = (self.block[sites] == number).nonzero()[:, 0]
            rows = _unknowns(here, each)
            covariance[rows[:, None], rows] = in_blocks(block, self.within[sites[here]], each)
        information = torch.linalg.inv_ex(covariance)[0]
        place, rows = self.place[sites].clone(), self.rows(begin).select(sites)
        if corner is not None:
            place[:, :3] -= corner
        rows = replace(rows, xyz=place[:, :3])
        return Carried(rows, place, (information + information.mT) / 2)

    def to_mapping(self) -> dict[str, Any]:
        """Everything as tensors, numbers and words, for a file."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        if self.waiting is not None:
            plain["waiting"] = {"columns": self.waiting.columns(), "sigma_source": self.waiting.sigma_source}
        return plain | {"covariances": list(self.covariances)}

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> KeptSites:
        """What `to_mapping` gave."""
        waiting = plain["waiting"]
        if waiting is not None:
            waiting = Localizations(**waiting["columns"], sigma_source=waiting["sigma_source"])
        return cls(**{**plain, "covariances": tuple(plain["covariances"]), "waiting": waiting})


def in_blocks(covariance: Tensor, sites: Tensor, each: int) -> Tensor:
    """The part of a covariance (S·q, S·q) that belongs to some of the sites, an index (k,): (k·q, k·q)."""
    rows = _unknowns(sites, each)
    return covariance[rows[:, None], rows]


def _unknowns(sites: Tensor, each: int) -> Tensor:
    return (sites[:, None] * each + torch.arange(each)).flatten()
