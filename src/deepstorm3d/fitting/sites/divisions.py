"""Molecules that may be two: a score test of all images of each together.

Two close molecules fitted as one leave residuals with equal positive and negative parts, in which a matched
filter finds little. Dividing one changes its images along t = PSF(+h) + PSF(−h) − 2·PSF, made orthogonal to the
derivatives of its own place and its photons, in each image or in all; the deviance falls by
(t·score)²/(t·F·t), both summed over the images, frames and channels (Rao 1948).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import compiled
from ..blocks import pseudo_inverse
from ..likelihood import Likelihood
from ..linear import LinearImage
from ..proposals import HALVES_UM
from ..state import JointState
from .channel import ChannelModel
from .movie import Movie
from .state import Sites

__all__ = ["Divisions", "divisions"]


@dataclass(frozen=True)
class Divisions:
    """Sites (K,) int64 that may be two, the offset (K, 3) µm of each of the two from their centre, and the gain
    (K,) of the deviance."""

    site: Tensor
    half: Tensor
    gain: Tensor

    def __len__(self) -> int:
        return len(self.site)

    def select(self, rows: Tensor) -> Divisions:
        """Some of them, an index or a mask."""
        return Divisions(self.site[rows], self.half[rows], self.gain[rows])


def divisions(movie: Movie, sites: Sites, least: float, vain: Tensor) -> Divisions:
    """The promising ones.

    least: smallest gain;  vain: (S,) bool, sites that are not to be divided.
    Of images that compiled code does not compute there are none.
    """
    ways = torch.tensor(HALVES_UM, dtype=torch.float64)
    number, q, count = len(sites), sites.each, sites.images
    crossing = sites.place.new_zeros(number, len(ways), q + count)
    along, square = sites.place.new_zeros(2, number, len(ways)).unbind(0)
    block, pull = sites.place.new_zeros(number, q + count, q + count), sites.place.new_zeros(number, q + count)
    for image, rows in enumerate(sites.slices()):
        site, own = sites.site[rows], torch.tensor([*range(q), q + image])
        state = sites.of_image(image, rows, movie.dtype)
        for view in movie.seen(image, state):
            terms, matrix, gradient = _of_view(view, state, ways)
            if terms is None:
                return Divisions(sites.site[:0], sites.place[:0, :3], sites.place[:0, 0])
            crossing[site[:, None], :, own] += terms[:, :, : q + 1].transpose(1, 2)
            along[site] += terms[:, :, -2]
            square[site] += terms[:, :, -1]
            block[site[:, None, None], own[:, None], own] += matrix
            pull[site[:, None], own] += gradient
    mixed = crossing @ pseudo_inverse(block)
    force = (along - (mixed @ pull[:, :, None])[..., 0]).clamp(min=0)
    gain, best = (force.square() / (square - (mixed * crossing).sum(2)).clamp(min=1e-9)).max(1)
    rows = ((gain > least) & ~vain).nonzero()[:, 0]
    return Divisions(rows, ways[best[rows]], gain[rows])


def _of_view(
    view: tuple[ChannelModel, Likelihood, JointState], state: JointState, ways: Tensor
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Of an image's looks in one channel (`Movie.seen`), by their places in the first channel, then photons.

    Products of the change by a division (n, D, q + 3), information (n, q + 1, q + 1), gradient (n, q + 1).
    """
    channel, light, seen = view
    image = LinearImage(channel.psf, seen, channel.surface, tuple(light.frames.shape))
    _, score, information = light.expansion(image.image)
    if not image.is_compiled:
        return None, score, score
    middle = state.xyz.mean(0, keepdim=True) if len(state) else state.xyz.new_zeros(1, 3)
    slopes = channel.slopes(middle, 3)
    there = ways if slopes is None else ways @ slopes[0].mT
    terms = compiled.division_terms(channel.psf, seen, image, score, information, there)
    matrix, gradient = image.blocks(information).double(), image.pull(score).molecules.double()
    order = [0, 1, 2, *range(4, matrix.shape[1]), 3]
    terms = torch.cat([terms[:, :, order], terms[:, :, -2:]], 2)
    matrix, gradient = matrix[:, order][:, :, order], gradient[:, order]
    places = channel.slopes(state.xyz, matrix.shape[1] - 1)
    if places is None and channel.share is None:
        return terms, matrix, gradient
    by_first = torch.eye(matrix.shape[1], dtype=torch.float64).repeat(len(matrix), 1, 1)
    if places is not None:
        by_first[:, :-1, :-1] = places
    if channel.share is not None:
        by_first[:, -1, -1] = channel.share
    inner = terms[:, :, :-2] @ by_first
    return (
        torch.cat([inner, terms[:, :, -2:]], 2),
        by_first.mT @ matrix @ by_first,
        (by_first.mT @ gradient[:, :, None])[..., 0],
    )
