"""Molecules that the candidates lack: the matched filter over position and depth, summed over channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...channels import ChannelView, Transform, Warp
from ...field import Field
from ...maxima import highest_around
from ..search import MatchedFilter
from .arrangements import Arrangement
from .frames import Movie
from .state import Sites

__all__ = ["ChannelFilters", "Missing"]

_APART_PX = 4  # smallest lateral distance of two candidates that are tried together
_LEAST = 1e-9  # smallest information about the photons of a molecule


@dataclass(frozen=True)
class Missing:
    """Places at which one more molecule would lower the deviance most, the best one first.

    xyz: (K, 3) µm in the first channel;  photons: (K, C) in each channel;  gain: (K,) decrease of the deviance.
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
        """The sites with each of them, with a look in every channel where the filter sees light."""
        place = self.xyz.to(sites.place)
        place = torch.cat([place[:, :2], place[:, 2:].clamp(*movie.bounds.z_um)], 1)
        if sites.blurs:
            blur = sites.place[:, 3].mean() if len(sites) else place.new_tensor(sum(movie.bounds.blur_px) / 2)
            place = torch.cat([place, blur.expand(len(place), 1)], 1)
        nobody, made = torch.zeros(0, dtype=torch.int64), list[Arrangement]()
        for row, photons in enumerate(self.photons.double()):
            image = (photons > movie.bounds.photons).nonzero()[:, 0]
            new, site = place[row : row + 1], torch.full_like(image, len(sites))
            if sites.shares is not None:
                light = photons[image].sum() / sites.shares[image].sum().clamp(min=1e-9)
                new = torch.cat([new, light.view(1, 1)], 1)
            nowhere = sites.place[:0]
            made.append(Arrangement(new[0, :2], nobody, nobody, nowhere, new, site, image, photons[image]))
        return made


class ChannelFilters:
    """Correlates the residual of each channel with its PSF, and adds the gains of all at the same place.

    Where a molecule's photons are free in every channel, the gains add up: Σ_c a_c²/b_c (`MatchedFilter`); with
    known shares s_c of its light the gain is (Σ_c s_c a_c)² / Σ_c s_c² b_c. What a further channel says is
    taken to the first one's pixels by its transform.

    filters: of each channel, at depths that belong together;  transforms: from the first channel's µm to each,
    None: the same;  shapes: height and width of the frames of each, px;  shares: (C,) of the light, None: free.
    """

    def __init__(
        self,
        filters: Sequence[MatchedFilter],
        transforms: Sequence[Transform | None],
        shapes: Sequence[tuple[int, int]],
        shares: Tensor | None = None,
    ) -> None:
        self._filters, self._shares = tuple(filters), shares
        fields = [Field(*shape, each.pixel_um) for shape, each in zip(shapes, filters, strict=True)]
        pairs = zip(transforms, fields, strict=True)
        self._onto = tuple(_onto(fields[0], transform, field) for transform, field in pairs)

    @property
    def positions(self) -> float:
        """Approximate number of independent positions of a molecule in a frame."""
        return self._filters[0].positions

    def __call__(self, movie: Movie, images: Sequence[Tensor], scatter: Tensor, least: float) -> Missing:
        """Candidates in one frame that gain more than `least`.

        images: expected photons of the frame in each channel, (1, H, W);  scatter: (C,) how many times as much
        as in noise chance changes the deviance of each.
        """
        pulls, stiffs = [], []
        parts = zip(movie.lights, images, scatter.tolist(), self._filters, self._onto, strict=True)
        for light, image, dearer, search, onto in parts:
            score, information = light.score(image)[0] / dearer, light.information(image)[0] / dearer
            pull, stiff = search.correlations(score, information)
            if onto is not None:
                inside, warp = onto
                pull, stiff = (warp(each) * inside for each in (pull, stiff))
            pulls.append(pull)
            stiffs.append(stiff)
        return self._peaks(*self._gains(torch.stack(pulls), torch.stack(stiffs)), least)

    def _gains(self, pull: Tensor, stiff: Tensor) -> tuple[Tensor, Tensor]:
        """Gain (Z, H, W) and photons (C, Z, H, W) in each channel from the sums a and b of each."""
        if self._shares is None:
            pull, stiff = pull.clamp(min=0), stiff.clamp(min=_LEAST)
            photons = pull / stiff
            return (photons * pull).sum(0), photons
        share = self._shares.to(pull).view(-1, 1, 1, 1)
        # Where a channel does not show the place it knows nothing.
        shown = stiff > _LEAST
        pull, stiff = (share * pull).sum(0).clamp(min=0), (share.square() * stiff).sum(0).clamp(min=_LEAST)
        return pull.square() / stiff, pull / stiff * share * shown

    def _peaks(self, gain: Tensor, photons: Tensor, least: float) -> Missing:
        """The best places of gains (Z, H, W) and photons (C, Z, H, W)."""
        search = self._filters[0]
        best, depth = gain.max(0)
        y, x = ((best == highest_around(best[None], _APART_PX)[0]) & (best > least)).nonzero().unbind(1)
        order = best[y, x].argsort(descending=True, stable=True)
        y, x = y[order], x[order]
        z = depth[y, x]
        xyz = torch.stack([x * search.pixel_um, y * search.pixel_um, search.z[z]], 1)
        return Missing(xyz, photons[:, z, y, x].mT, best[y, x])


def _onto(first: Field, transform: Transform | None, field: Field) -> tuple[Tensor, Warp] | None:
    """Where a channel shows the first one's pixels, (H, W) of 0 and 1, and how it is taken to them."""
    if transform is None:
        return None
    view = ChannelView("", transform, 0.0, 1.0, field)
    rows, columns = torch.arange(first.height), torch.arange(first.width)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    here = torch.stack([x, y, torch.zeros_like(x)], dim=2).view(-1, 3).double() * first.pixel_um
    inside = field.inside(view.to_channel(here)).view(*first.size)
    return inside.float(), Warp(view, first)
