"""Looks of which every channel has a known share of the light, and the same with each channel's light alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..likelihood import Likelihood
from .channel import ChannelModel
from .covariance import Landscape
from .movie import Movie
from .state import Sites

__all__ = ["apart", "in_common", "is_shown", "with_light_apart"]

# Beyond the edge of a channel's frame by up to this much a molecule may leave light in it, px.
_BEYOND_PX = 4


def in_common(sites: Sites, movie: Movie) -> Sites:
    """Looks of single channels as looks of their frames, with one number of photons each.

    movie: with known shares;  a frame's look has the origin of the first one of its channels.
    """
    share = _shares_of(movie, sites)[sites.image % sites.channels]
    number = max(len(sites), 1)
    key, row = torch.unique(sites.frame * number + sites.site, return_inverse=True)
    seen = share.new_zeros(len(key)).index_add(0, row, share)
    light = share.new_zeros(len(key)).index_add(0, row, sites.photons)
    first = torch.full_like(key, len(row)).scatter_reduce(0, row, torch.arange(len(row)), "amin")
    flat = [each.flatten() for each in sites.coefficients]
    count = sites.channels
    return replace(
        sites,
        site=sites.site[first],
        image=sites.frame[first],
        photons=light / seen.clamp(min=1e-9),
        origin=sites.origin[first],
        loose=sites.loose[first],
        coefficients=tuple(
            torch.cat(flat[begin : begin + count])[None] for begin in range(0, len(flat), count)
        ),
        channels=1,
    )


def apart(sites: Sites, movie: Movie) -> Sites:
    """The opposite: a look in each channel that shows the place, with its share of the photons."""
    count = len(movie.channels)
    shown = torch.stack(
        [
            is_shown(channel.places(sites.place[:, :3]), movie.lights[number], channel)
            for number, channel in enumerate(movie.channels)
        ]
    )
    image, look = torch.cat(
        [
            torch.stack([torch.full_like(here, number), here])
            for number in range(sites.images * count)
            for here in [_looks_in(sites, shown[number % count], number // count)]
        ],
        1,
    )
    parts = [movie.by_channel(each[None]) for each in sites.coefficients]
    return replace(
        sites,
        site=sites.site[look],
        image=image,
        photons=sites.photons[look] * _shares_of(movie, sites)[image % count],
        origin=sites.origin[look],
        loose=sites.loose[look],
        coefficients=tuple(part[0] for of_image in parts for part in of_image),
        channels=count,
    )


def with_light_apart(land: Landscape) -> Landscape:
    """The likelihood around the same state where the light of each channel is free."""
    if not land.movie.shared:
        return land
    channels = tuple(replace(channel, share=None) for channel in land.movie.channels)
    return Landscape(replace(land.movie, channels=channels), apart(land.sites, land.movie))


def is_shown(places: Tensor, light: Likelihood, channel: ChannelModel) -> Tensor:
    """Whether places (S, 3) µm of a channel are on its frame, or close to it: (S,) bool."""
    height, width = light.frames.shape[1:]
    last = places.new_tensor([width - 1, height - 1]) + _BEYOND_PX
    at = places[:, :2] / channel.psf.pixel_um
    return ((at >= -_BEYOND_PX) & (at <= last)).all(1)


def _looks_in(sites: Sites, shown: Tensor, number: int) -> Tensor:
    """The looks of an image whose sites are `shown`, (S,) bool: an index."""
    return ((sites.image == number) & shown[sites.site]).nonzero()[:, 0]


def _shares_of(movie: Movie, sites: Sites) -> Tensor:
    return torch.tensor([channel.share or 0.0 for channel in movie.channels]).to(sites.place)
