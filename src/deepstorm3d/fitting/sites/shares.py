"""From looks to rows of a list: one for each molecule and frame, with its light in all channels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...emitters import Localizations
from .covariance import Landscape
from .fit import background_at_places
from .frames import unknowns_of_looks
from .score import score_of_looks

__all__ = ["rows_of_channels", "share_of_light"]

# Share of the information about a molecule's light that its neighbours must leave for its σ to be known: less
# is rounding error.
_LEAST_LEFT = 1e-5


def rows_of_channels(land: Landscape, looks: Localizations, free: Landscape) -> tuple[Localizations, Tensor]:
    """One row for each site and frame, in order of frame and site, and the site of each, (R,) int64.

    looks: a row for each look;  free: the landscape with the light of each channel by itself
    (`with_light_apart`).
    Photons and background are those of all channels together. With two channels rows have the share of the
    photons in the second one; where a molecule has no look in a channel, its light there is that of a score
    test at the known place. The σ of the share is 0 (not known) where a channel does not show the place.
    Where the fit knows the shares, photons are by them, and the share of a row is what its images say without.
    """
    if land.movie.shared:
        return _with_known_shares(land, looks, free)
    sites, count, number = land.sites, land.sites.channels, max(len(land.sites), 1)
    key, row = torch.unique(sites.frame * number + sites.site, return_inverse=True)
    frame, site = key // number, key % number
    both = looks.photons.double(), looks.sigma_photons.double()
    photons, covariance = _light(land, both, (frame, site), row)
    background = background_at_places(land)
    first = torch.full_like(key, len(row)).scatter_reduce(0, row, torch.arange(len(row)), "amin")
    image = frame[:, None] * count + torch.arange(count)
    weight = looks.photons.double().clamp(min=1e-9)
    quality = _sums(row, weight * looks.fit_quality, len(key)) / _sums(row, weight, len(key))
    table = replace(
        looks.select(first),
        photons=photons.sum(1).to(looks.photons),
        sigma_photons=covariance.sum((1, 2)).clamp(min=0).sqrt().to(looks.photons),
        background=background[site[:, None], image].sum(1).to(looks.photons),
        sigma_background=_sums(row, looks.sigma_background.double() ** 2, len(key)).sqrt().to(looks.photons),
        fit_quality=quality.to(looks.photons),
        probability=torch.zeros(len(key))
        .to(looks.probability)
        .scatter_reduce(0, row, looks.probability, "amax"),
    )
    if count != 2:
        return table, site
    share, sigma = (each.to(looks.photons) for each in share_of_light(photons, covariance))
    return replace(table, share=share, sigma_share=sigma), site


def share_of_light(photons: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Share of the light in the second of two channels, and its σ to first order, each (R,).

    photons: (R, 2);  covariance: (R, 2, 2) of them; a variance of 0 (not known) gives a σ of 0.
    """
    known = covariance.diagonal(dim1=1, dim2=2) > 0
    total = photons.sum(1).clamp(min=1e-9)
    slope = torch.stack([-photons[:, 1], photons[:, 0]], 1) / total[:, None] ** 2
    variance = ((slope[:, None] @ covariance)[:, 0] * slope).sum(1)
    sigma = torch.where(known.all(1), variance.clamp(min=1e-12).sqrt(), 0.0)
    return photons[:, 1] / total, sigma


def _with_known_shares(land: Landscape, looks: Localizations, free: Landscape) -> tuple[Localizations, Tensor]:
    """The rows with photons by the known shares, and the shares of one step of the fit without them."""
    sites, number = land.sites, max(len(land.sites), 1)
    order = torch.argsort(sites.image * number + sites.site, stable=True)
    site, table = sites.site[order], looks.select(order)
    if len(land.movie.channels) != 2:
        return table, site
    steps = []
    for rows, part in zip(free.slices, free.parts, strict=True):
        left = free.left[unknowns_of_looks(free.sites, rows)]
        steps.append(part.light_step(left)[: rows.stop - rows.start])
    photons = (free.sites.photons + torch.cat(steps)).clamp(min=0)
    row = torch.searchsorted(
        (sites.image * number + sites.site)[order], free.sites.frame * number + free.sites.site
    )
    light = _light(free, (photons, free.bound().photons), (sites.image[order], site), row)
    share, sigma = (each.to(table.photons) for each in share_of_light(*light))
    return replace(table, share=share, sigma_share=sigma), site


def _light(
    land: Landscape, light: tuple[Tensor, Tensor], rows: tuple[Tensor, Tensor], row: Tensor
) -> tuple[Tensor, Tensor]:
    """Photons (R, C) of each row in each channel and their covariance (R, C, C), 0 where nothing is known.

    light: photons and their σ of each look, (N,);  rows: frame and site of each, (R,);  row: (N,) of each look.
    """
    sites, count = land.sites, land.sites.channels
    channel = sites.image % count
    photons = sites.place.new_zeros(len(rows[0]), count)
    covariance = sites.place.new_zeros(len(rows[0]), count, count)
    photons[row, channel] = light[0]
    covariance[row, channel, channel] = light[1] ** 2
    # Looks of a row share their place, and their photons follow it.
    by_row: dict[int, list[int]] = {}
    for look, number in enumerate(row.tolist()):
        by_row.setdefault(number, []).append(look)
    for number, several in by_row.items():
        for i, one in enumerate(several):
            for other in several[i + 1 :]:
                a, b = int(channel[one]), int(channel[other])
                covariance[number, a, b] = covariance[number, b, a] = land.photons_of_two(one, other)
    dark = torch.ones(len(rows[0]), count, dtype=torch.bool)
    dark[row, channel] = False
    where, there = dark.nonzero().unbind(1)
    value, variance = _dark_light(land, rows[1][where], rows[0][where] * count + there)
    photons[where, there], covariance[where, there, there] = value, variance
    return photons, covariance


def _dark_light(land: Landscape, site: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Photons, at least 0, and their variance (0: not known) of sites (K,) in images (K,) without a look."""
    photons = torch.zeros(len(site), dtype=torch.float64)
    variance = torch.zeros_like(photons)
    for number in image.unique().tolist():
        here = image == number
        score = score_of_looks(land, number, land.sites.place[site[here]])
        usable = (score.left > _LEAST_LEFT * score.alone) & (score.alone > 0)
        variance[here] = torch.where(usable, 1 / score.left.clamp(min=1e-30), 0.0)
        photons[here] = (score.pull * variance[here]).clamp(min=0)
    return photons, variance


def _sums(row: Tensor, values: Tensor, rows: int) -> Tensor:
    return torch.zeros(rows, dtype=torch.float64).index_add(0, row, values.double())
