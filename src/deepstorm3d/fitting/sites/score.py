"""Score tests of light that the fit does not have: what it would gain, with everything else fitted again.

A molecule without photons changes nothing, so its gain is known to second order from the fit without it (Rao
1948): its gradient, and the information about its photons that all other unknowns leave.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...optics.assembly import Assembly
from ..linear import expected_image
from ..state import JointState
from .covariance import Landscape
from .frames import View, unknowns_of_looks

__all__ = ["LEAST_LEFT", "Score", "score_of_looks", "score_over_frames"]

LEAST_LEFT = 1e-3
"""Share of a look's information that its neighbours must leave: less is decided by rounding errors."""
_AT_A_TIME = 32  # places whose spots are drawn into images of their own at a time


@dataclass(frozen=True)
class Score:
    """Looks without photons at K places in one image.

    pull: (K,) gradient by their photons;  left, alone: (K,) information about them with all else fitted, and
    with all else known;  cross: (K, n·q) of them and the places of the image's looks, if its light follows.
    """

    pull: Tensor
    left: Tensor
    alone: Tensor
    cross: Tensor


def score_of_looks(land: Landscape, number: int, place: Tensor) -> Score:
    """Of looks at places (K, q) of the first channel in one image."""
    parts = [_score(land, number, some) for some in place.split(_AT_A_TIME)]
    columns = ([getattr(part, name) for part in parts] for name in ("pull", "left", "alone", "cross"))
    return Score(*(torch.cat(column) for column in columns))


def score_over_frames(land: Landscape, place: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Gain of the deviance by molecules at places (K, q) that shine in the images first … last, (K,): (K,).

    Each by itself, its photons in each image free, its place fixed, all else fitted again.
    """
    looks: list[dict[int, tuple[Tensor, Tensor, Tensor]]] = [{} for _ in place]

    def of_frame(number: int) -> tuple[Tensor, Score]:
        rows = ((first <= number) & (number <= last)).nonzero()[:, 0]
        return rows, score_of_looks(land, number, place[rows])

    for number, (rows, score) in enumerate(land.movie.each(of_frame)):
        for k, row in enumerate(rows.tolist()):
            if float(score.left[k]) > LEAST_LEFT * float(score.alone[k]):
                looks[row][number] = score.pull[k], score.left[k], score.cross[k]
    return torch.stack([_gain(land, each) for each in looks]) if len(place) else place.new_zeros(0)


def _gain(land: Landscape, looks: dict[int, tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Gain by all looks of one molecule: frame → its pull, what is left of its information, and its cross."""
    if not looks:
        return torch.zeros((), dtype=torch.float64)
    numbers, pulls = list(looks), torch.stack([pull for pull, _, _ in looks.values()])
    stiff = torch.diag(torch.stack([left for _, left, _ in looks.values()]))
    index = [unknowns_of_looks(land.sites, land.slices[number]) for number in numbers]
    crosses = [cross for _, _, cross in looks.values()]
    for i in range(len(numbers)):
        for j in range(i):
            both = crosses[i] @ land.covariance[index[i][:, None], index[j]] @ crosses[j]
            stiff[i, j] = stiff[j, i] = -both
    scale = stiff.diagonal().rsqrt()
    factor = torch.linalg.cholesky_ex(stiff * scale[:, None] * scale + 1e-6 * torch.eye(len(stiff)).double()).L
    return (torch.linalg.solve_triangular(factor, (pulls * scale)[:, None], upper=False) ** 2).sum()


def _score(land: Landscape, number: int, place: Tensor) -> Score:
    """`score_of_looks` of a few looks."""
    part, terms = land.parts[number], land.terms[number]
    state = land.sites.of_image(number, land.slices[number], land.movie.dtype)
    pull = alone = places = photons = place.new_zeros(len(place))
    background = list[Tensor]()
    for k, view in enumerate(terms.views):
        light = _images(view, place)
        weighted = light * view.information
        own = _with_looks(view, state, weighted)
        places, photons = own if not k else (places + own[0], photons + own[1])
        background.append(view.image.background.adjoint(weighted).flatten(1).double())
        pull = pull + (light * view.score).sum((1, 2), dtype=torch.float64)
        alone = alone + (light * weighted).sum((1, 2), dtype=torch.float64)
    smooth = torch.cat(background, 1)
    if terms.change is not None:
        pull = pull - torch.cat([places, photons, smooth], 1) @ terms.change
    # Photons and background of the image are eliminated, then the places of all images.
    right = torch.cat([photons, smooth], 1).mT * part.scale[:, None]
    half = torch.linalg.solve_triangular(part.factor, right, upper=False)
    cross = places - half.mT @ part.half
    left = alone - (half**2).sum(0) - ((cross @ land.among(number)) * cross).sum(1)
    step = land.left[unknowns_of_looks(land.sites, land.slices[number])]
    return Score(pull - half.mT @ part.rest - cross @ step, left, alone, cross)


def _images(view: View, place: Tensor) -> Tensor:
    """One photon at each of the places as a channel sees it, each in an image of its own: (K, H, W)."""
    channel, (_, height, width) = view.channel, view.light.frames.shape
    xyz, count = place.to(view.light.frames.dtype), len(place)
    state = JointState(
        xyz=xyz[:, :3].contiguous(),
        photons=torch.ones_like(xyz[:, 0]),
        frame=torch.arange(count),
        coefficients=xyz.new_zeros(count, *channel.surface.shape),
        blur_px=xyz[:, 3].contiguous() if xyz.shape[1] > 3 else None,
    )
    return expected_image(channel.psf, channel.seen(state), channel.surface, (count, height, width))


def _with_looks(view: View, state: JointState, images: Tensor) -> tuple[Tensor, Tensor]:
    """Products of images (K, H, W) with the derivatives of the looks by their places in the first channel,
    (K, n·q), and by their photons, (K, n), float64.

    state: of the image, in the first channel.
    """
    image, channel, count = view.image, view.channel, len(images)
    corner, looks = image.assembly.corner, len(image.assembly.corner)
    frame = torch.arange(count).repeat_interleave(looks)
    cut = Assembly(corner.repeat(count, 1), frame, image.assembly.patch, tuple(images.shape)).cut(images)
    pixels = cut.view(count, looks, image.jacobian.shape[2]).permute(1, 2, 0)
    each = torch.bmm(image.jacobian, pixels).permute(2, 0, 1).double()
    places, photons = torch.cat([each[..., :3], each[..., 4:]], 2), each[..., 3]
    slopes = channel.slopes(state.xyz, places.shape[2])
    if slopes is not None:
        places = (places[..., None, :] @ slopes)[..., 0, :]
    return places.flatten(1), photons if channel.share is None else channel.share * photons
