"""Score tests of light that the fit does not have: what it would gain, with everything else fitted again.

A molecule without photons changes nothing, so its gain is known to second order from the fit without it (Rao
1948): its gradient, and the information about its photons that all other unknowns leave.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...optics.assembly import Assembly
from ..compiled import score_terms
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
        seen = _seen(view, place)
        own = _in_first(view, state, seen.looks)
        places, photons = own if not k else (places + own[0], photons + own[1])
        background.append(seen.smooth)
        pull, alone = pull + seen.pull, alone + seen.alone
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


@dataclass(frozen=True)
class _Seen:
    """Products of the images of one photon at each of K places as a channel sees them, float64.

    pull, alone: (K,) with the score, and with themselves times the information;  looks: (K, n, p) and
    smooth: (K, k·l) times the information with the derivatives by the unknowns of the image.
    """

    pull: Tensor
    alone: Tensor
    looks: Tensor
    smooth: Tensor


def _seen(view: View, place: Tensor) -> _Seen:
    """What a channel sees of places (K, q) of the first one."""
    new = _new_light(view, place)
    if not view.image.is_compiled:
        return _drawn(view, new)
    own, looks, smooth = score_terms(view.channel.psf, new, view.image, view.score, view.information)
    return _Seen(own[:, 0], own[:, 1], looks, smooth.flatten(1))


def _new_light(view: View, place: Tensor) -> JointState:
    """One photon at each of the places (K, q) of the first channel, as a channel sees it."""
    xyz, surface = place.to(view.light.frames.dtype), view.channel.surface
    one = JointState(
        xyz=xyz[:, :3].contiguous(),
        photons=torch.ones_like(xyz[:, 0]),
        frame=torch.zeros(len(place), dtype=torch.int64),
        coefficients=xyz.new_zeros(1, *surface.shape),
        blur_px=xyz[:, 3].contiguous() if xyz.shape[1] > 3 else None,
    )
    return view.channel.seen(one)


def _drawn(view: View, new: JointState) -> _Seen:
    """`_seen` without compiled code: each place is drawn into an image of its own."""
    (channel, image), (_, height, width), count = (view.channel, view.image), view.light.frames.shape, len(new)
    apart = replace(new, frame=torch.arange(count), coefficients=new.coefficients.expand(count, -1, -1))
    light = expected_image(channel.psf, apart, channel.surface, (count, height, width))
    weighted = light * view.information
    corner, looks = image.assembly.corner, len(image.assembly.corner)
    frame = torch.arange(count).repeat_interleave(looks)
    cut = Assembly(corner.repeat(count, 1), frame, image.assembly.patch, tuple(light.shape)).cut(weighted)
    pixels = cut.view(count, looks, image.jacobian.shape[2]).permute(1, 2, 0)
    return _Seen(
        (light * view.score).sum((1, 2), dtype=torch.float64),
        (light * weighted).sum((1, 2), dtype=torch.float64),
        torch.bmm(image.jacobian, pixels).permute(2, 0, 1).double(),
        image.background.adjoint(weighted).flatten(1).double(),
    )


def _in_first(view: View, state: JointState, looks: Tensor) -> tuple[Tensor, Tensor]:
    """Products (K, n, p) by the looks' places in the first channel, (K, n·q), and by their photons, (K, n).

    state: of the image, in the first channel.
    """
    channel, photons = view.channel, looks[..., 3]
    places = torch.cat([looks[..., :3], looks[..., 4:]], 2)
    slopes = channel.slopes(state.xyz, places.shape[2])
    if slopes is not None:
        places = (places[..., None, :] @ slopes)[..., 0, :]
    return places.flatten(1), photons if channel.share is None else channel.share * photons
