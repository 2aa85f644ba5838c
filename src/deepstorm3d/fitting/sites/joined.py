"""The tiles of a window put together: each molecule once, each row of the list at most once.

A site belongs to the tile in whose core its first row lies, in the list that all tiles began with. Where two
tiles tie rows near their edge in different ways, both may own a site with the same row, or neither does. So a
row is given once, in the first tile that has it, and a row whose tile kept it, but which came with no site, is
given from that tile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
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
    count, tied = carried, _tied_elsewhere(parts, chosen)
    for part, looks, elsewhere in zip(parts, chosen, tied, strict=True):
        new = torch.bincount(part.site[looks & ~elsewhere], minlength=len(part.own)) > 0
        new &= ~part.own | (part.carried < 0)
        name = torch.where(part.own, part.carried, -1)
        name[new] = torch.arange(count, count + int(new.sum()))
        count += int(new.sum())
        names.append(name)
    place = parts[0].place.new_zeros(count, parts[0].place.shape[1])
    rows, site, blocks = list[Localizations](), list[Tensor](), list[tuple[Tensor, Tensor]]()
    for name, part, looks, elsewhere in zip(names, parts, chosen, tied, strict=True):
        some = (name >= 0).nonzero()[:, 0]
        place[name[some]] = part.place[some]
        rows.append(part.rows.select(looks))
        site.append(torch.where(elsewhere, part.carried[part.site], name[part.site])[looks])
        blocks.append((name[some], in_blocks(part.covariance, some, part.place.shape[1])))
    borrowed = torch.cat([elsewhere[looks] for elsewhere, looks in zip(tied, chosen, strict=True)])
    table, number = Localizations.concat(rows), torch.cat(site)
    order = torch.argsort(table.frame, stable=True)
    window = FittedWindow(table.select(order), number[order], place, tuple(blocks))
    return _as_their_sites(window, borrowed[order])


def _tied_elsewhere(parts: list[Part], chosen: list[Tensor]) -> list[Tensor]:
    """Which of the chosen looks of each tile, (N,) bool, are tied to a carried site of another tile.

    None of those in a frame in which that site has a look: there it is not one molecule with them.
    """
    found = list[Tensor]()
    frames = max((int(part.rows.frame.max()) + 1 for part in parts if len(part.rows)), default=1)
    keys = [part.carried[part.site] * frames + part.rows.frame for part in parts]
    mine = [looks & part.own[part.site] for part, looks in zip(parts, chosen, strict=True)]
    held = torch.cat([key[looks] for key, looks in zip(keys, mine, strict=True)])
    for part, looks, key in zip(parts, chosen, keys, strict=True):
        theirs = looks & ~part.own[part.site] & (part.carried[part.site] >= 0) & ~torch.isin(key, held)
        held = torch.cat([held, key[theirs]])
        found.append(theirs)
    return found


def _as_their_sites(window: FittedWindow, rows: Tensor) -> FittedWindow:
    """The window, some rows of which, (N,) bool, take place and σ of their sites, which other tiles fitted."""
    if not bool(rows.any()):
        return window
    site, table = window.site[rows], window.rows
    xyz, sigma = table.xyz.clone(), table.sigma_xyz.clone()
    xyz[rows], sigma[rows] = window.place[site, :3].to(xyz), window.sigma[site].to(sigma)
    return replace(window, rows=replace(table, xyz=xyz, sigma_xyz=sigma))


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
        rows = rows[~_near_any(at[rows], self._at[others])]
        self._origin = torch.cat([self._origin, part.origin[rows]])
        self._tile = torch.cat([self._tile, torch.full_like(rows, tile)])
        self._at = torch.cat([self._at, at[rows]])
        return torch.zeros_like(looks).index_fill(0, rows, True)


def _near_any(at: Tensor, others: Tensor) -> Tensor:
    """Which of the points (K, 4) have one of the others (M, 4) at the same place: (K,) bool."""
    from scipy.spatial import KDTree

    if not len(at) or not len(others):
        return torch.zeros(len(at), dtype=torch.bool)
    low, high = at.amin(0) - _SAME_UM, at.amax(0) + _SAME_UM
    around = others[((others >= low) & (others <= high)).all(1)]
    nearest = KDTree(around.numpy()).query(at.numpy(), distance_upper_bound=2 * _SAME_UM)[0]
    return torch.from_numpy(np.asarray(nearest)) <= _SAME_UM
