"""The tiles of a window put together: each molecule once, each row of the list at most once.

A site belongs to the tile in whose core its first row lies, in the list that all tiles began with. Where two
tiles tie rows near their edge in different ways, both may own a site with the same row, or neither does. So a
row is given once, in the first tile that has it, and a row whose tile kept it, but which came with no site, is
given from that tile.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...emitters import Localizations
from .kept import in_blocks

__all__ = ["FittedWindow", "Part", "joined"]

# Two looks of one frame in different tiles nearer than this are the same, µm; a distance in depth counts half.
_SAME_UM = 0.1


@dataclass(frozen=True)
class FittedWindow:
    """The sites of a window.

    rows: one for each look, in order of frame;  site: (N,) int64 of each row;  place: (S, q) of each site;
    blocks: sites (k,) that were fitted together, and the covariance (k·q, k·q) of their places: each site is in
    one block. Sites that were carried into the window come first, in their order.
    """

    rows: Localizations
    site: Tensor
    place: Tensor
    blocks: tuple[tuple[Tensor, Tensor], ...]

    def __len__(self) -> int:
        return len(self.place)

    @property
    def sigma(self) -> Tensor:
        """σ of x, y and z of each site, (S, 3) µm."""
        sigma = torch.zeros_like(self.place)
        for sites, covariance in self.blocks:
            sigma[sites] = covariance.diagonal().clamp(min=0).sqrt().view(len(sites), self.place.shape[1])
        return sigma[:, :3]


@dataclass(frozen=True)
class Part:
    """What one tile gives, positions in the field.

    rows: (N,), one for each look, and site (N,) of each;  origin: (N,) row of the window's list, −1: found
    later;  near: (N,) bool, rows of the list in the tile's core;  place: (S, q) of the sites;
    carried: (S,) number of each among the carried ones, −1: it begins here;  own: (S,) bool, the sites that
    belong to the tile;  covariance: (S·q, S·q) of the places.
    """

    rows: Localizations
    site: Tensor
    origin: Tensor
    near: Tensor
    place: Tensor
    carried: Tensor
    own: Tensor
    covariance: Tensor


def joined(parts: list[Part], carried: int) -> FittedWindow:
    """The window of its tiles;  carried: number of the sites that were carried into it."""
    taken = _Taken()
    chosen = [taken.of(number, part, part.own[part.site]) for number, part in enumerate(parts)]
    for number, part in enumerate(parts):
        chosen[number] |= taken.of(number, part, ~part.own[part.site] & part.near)
    names: list[Tensor] = []
    count = carried
    for part, looks in zip(parts, chosen, strict=True):
        new = part.carried < 0
        new &= torch.bincount(part.site[looks], minlength=len(new)) > 0
        name = torch.where(part.own, part.carried, -1)
        name[new] = torch.arange(count, count + int(new.sum()))
        count += int(new.sum())
        names.append(name)
    place = parts[0].place.new_zeros(count, parts[0].place.shape[1])
    rows, site, blocks = list[Localizations](), list[Tensor](), list[tuple[Tensor, Tensor]]()
    for name, part, looks in zip(names, parts, chosen, strict=True):
        looks &= name[part.site] >= 0
        some = (name >= 0).nonzero()[:, 0]
        place[name[some]] = part.place[some]
        rows.append(part.rows.select(looks))
        site.append(name[part.site[looks]])
        blocks.append((name[some], in_blocks(part.covariance, some, part.place.shape[1])))
    table, number = Localizations.concat(rows), torch.cat(site)
    order = torch.argsort(table.frame, stable=True)
    return FittedWindow(table.select(order), number[order], place, tuple(blocks))


class _Taken:
    """The looks that are in the window already."""

    def __init__(self) -> None:
        self._origin = torch.zeros(0, dtype=torch.int64)
        self._tile = torch.zeros(0, dtype=torch.int64)
        self._at = torch.zeros(0, 4, dtype=torch.float64)

    def of(self, tile: int, part: Part, looks: Tensor) -> Tensor:
        """Those of the looks, (N,) bool, that no other tile has given; they are given from now on."""
        xyz, others = part.rows.xyz.double(), self._tile != tile
        # Looks of different frames are far from each other.
        at = torch.cat([xyz[:, :2], xyz[:, 2:] / 2, 1e6 * part.rows.frame[:, None].double()], 1)
        given = (part.origin >= 0) & torch.isin(part.origin, self._origin[others])
        rows = (looks & ~given).nonzero()[:, 0]
        far = torch.cdist(at[rows], self._at[others], compute_mode="donot_use_mm_for_euclid_dist")
        rows = rows[(far > _SAME_UM).all(1)]
        self._origin = torch.cat([self._origin, part.origin[rows]])
        self._tile = torch.cat([self._tile, torch.full_like(rows, tile)])
        self._at = torch.cat([self._at, at[rows]])
        return torch.zeros_like(looks).index_fill(0, rows, True)
