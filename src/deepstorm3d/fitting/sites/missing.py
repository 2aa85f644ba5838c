"""Molecules that the candidates lack: the matched filter over position and depth, summed over channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...maxima import highest_around
from .arrangements import Arrangement, begins_of_new
from .movie import Movie
from .state import Sites
from .sums import ChannelSums, gains_of

__all__ = ["Missing", "missing_in_frame"]

_APART_PX = 4  # smallest lateral distance of two candidates that are tried together


@dataclass(frozen=True)
class Missing:
    """Places at which one more molecule would lower the deviance most, the best one first.

    xyz: (K, 3) µm in the first channel;  photons: (K, C) in each channel, (K, 1) in all where the shares are
    known;  gain: (K,) decrease of the deviance.
    """

    xyz: Tensor
    photons: Tensor
    gain: Tensor

    def __len__(self) -> int:
        return len(self.xyz)

    def select(self, rows: Tensor) -> Missing:
        """Some of them, an index or a mask."""
        return Missing(self.xyz[rows], self.photons[rows], self.gain[rows])

    def arrangements(self, movie: Movie, sites: Sites) -> list[Arrangement]:
        """The sites with each of them, with a look in every image where the filter sees light."""
        place = begins_of_new(self.xyz, sites, movie.bounds)
        nobody, made = torch.zeros(0, dtype=torch.int64), list[Arrangement]()
        for row, photons in enumerate(self.photons.double()):
            image = (photons > movie.bounds.photons).nonzero()[:, 0]
            new, site = place[row : row + 1], torch.full_like(image, len(sites))
            nowhere = sites.place[:0]
            made.append(Arrangement(new[0, :2], nobody, nobody, nowhere, new, site, image, photons[image]))
        return made


def missing_in_frame(
    sums: ChannelSums, movie: Movie, images: Sequence[Tensor], scatter: Tensor, least: float
) -> Missing:
    """Candidates in a movie of one frame that gain more than `least`.

    images: expected photons of the frame in each channel, (1, H, W);  scatter: (C,) how many times as much as
    in noise chance changes the deviance of each.
    """
    gain, photons = gains_of(*sums.fine(movie.lights, images, scatter.tolist()))
    best, depth = gain.max(0)
    y, x = ((best == highest_around(best[None], _APART_PX)[0]) & (best > least)).nonzero().unbind(1)
    order = best[y, x].argsort(descending=True, stable=True)
    y, x = y[order], x[order]
    z, search = depth[y, x], sums.first
    xyz = torch.stack([x * search.pixel_um, y * search.pixel_um, search.z[z]], 1)
    return Missing(xyz, photons[:, z, y, x].mT, best[y, x])
