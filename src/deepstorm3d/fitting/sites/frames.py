"""The likelihood of one image around a state, and what it says of the places alone.

An image is one frame of one channel. Given the places of the molecules the images are independent: photons and
background of an image are eliminated in the image (Schur complement), and what is left is added over the images
that a molecule is seen in. The places are those of the first channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from ...watch import Watcher, advance
from ..compiled import frame_matrix
from ..likelihood import Likelihood
from ..linear import LinearImage, expected_image
from ..matrices import Order, fisher_matrices
from ..parallel import side_by_side
from ..refine import Bounds
from ..state import JointState
from .channel import ChannelModel
from .state import Sites

__all__ = ["Eliminated", "FrameTerms", "Movie", "shares_of_sites", "unit_factor"]

Result = TypeVar("Result")
# Added to the unit diagonal of a matrix that is inverted: what has no signal gets a large, finite variance.
RIDGE = 1e-7


@dataclass(frozen=True)
class FrameTerms:
    """The likelihood of one image with n looks to second order in its m unknowns.

    The unknowns are the places of the looks, q each, then their photons, then the background's coefficients;
    where the channel's share of the light is known, the photons of a look's site are the last of its q.
    deviance: of the image;  gradient: (m,) of the log-likelihood and matrix: (m, m) Fisher information,
    float64; places: n·q;  image: linear around the state;  score, information: (1, H, W) of the pixels;
    change: (m,) of the unknowns since image, score and information were computed, None: none;
    reduced: what `eliminated` has computed from the matrix, for each damping.
    """

    deviance: float
    gradient: Tensor
    matrix: Tensor
    places: int
    image: LinearImage
    score: Tensor
    information: Tensor
    change: Tensor | None = None
    reduced: dict[float, Reduced] = field(default_factory=dict[float, "Reduced"])

    def eliminated(self, damping: float = 0.0) -> Eliminated:
        """What the image says of the places if photons and background follow them.

        damping: λ by which the diagonal of photons and background is raised (Marquardt 1963).
        """
        if damping not in self.reduced:
            if len(self.reduced) > 1:
                self.reduced.clear()
            self.reduced[damping] = _reduced(self.matrix, self.places, damping)
        without, p = self.reduced[damping], self.places
        right = (self.gradient[p:] * without.scale)[:, None]
        rest = torch.linalg.solve_triangular(without.factor, right, upper=False)[:, 0]
        return Eliminated(without, self.gradient[:p] - without.half.mT @ rest, rest)


@dataclass(frozen=True)
class Reduced:
    """The information of an image about its places, with its photons and background fitted.

    schur: (n·q, n·q);  factor: Cholesky factor of the information about photons and background, scaled by
    `scale` to a unit diagonal;  half: factor⁻¹ times the information about them and the places.
    """

    schur: Tensor
    factor: Tensor
    scale: Tensor
    half: Tensor


def _reduced(matrix: Tensor, places: int, damping: float) -> Reduced:
    light = matrix[places:, places:]
    diagonal = light.diagonal()
    scale = torch.where(diagonal > 1e-20, diagonal.clamp(min=1e-20).rsqrt(), 0.0)
    unit = light * scale[:, None] * scale
    unit.diagonal().fill_(1.0)
    factor = unit_factor(unit, RIDGE + damping)
    half = torch.linalg.solve_triangular(factor, matrix[places:, :places] * scale[:, None], upper=False)
    return Reduced(matrix[:places, :places] - half.mT @ half, factor, scale, half)


@dataclass(frozen=True)
class Eliminated:
    """An image without its photons and background, around a state.

    reduced: its information;  pull: (n·q,) gradient by the places;  rest: factor⁻¹ times the gradient by
    photons and background.
    """

    reduced: Reduced
    pull: Tensor
    rest: Tensor

    @property
    def schur(self) -> Tensor:
        """Information about the places, (n·q, n·q)."""
        return self.reduced.schur

    @property
    def factor(self) -> Tensor:
        """Cholesky factor of the information about photons and background, scaled to a unit diagonal."""
        return self.reduced.factor

    @property
    def scale(self) -> Tensor:
        """What it is scaled by."""
        return self.reduced.scale

    @property
    def half(self) -> Tensor:
        """factor⁻¹ times the information about photons and background, and the places."""
        return self.reduced.half

    def light_step(self, step: Tensor) -> Tensor:
        """Change of photons and background that follows a step of the places, (n·q,)."""
        right = (self.rest - self.half @ step)[:, None]
        return self.scale * torch.linalg.solve_triangular(self.factor.mT, right, upper=True)[:, 0]


@dataclass(frozen=True)
class Movie:
    """B consecutive frames in C channels and what they are fitted with; image f·C + c is frame f in channel c.

    channels: how each shows the molecules;  bounds: of the unknowns;  lights: the likelihood of each of the B·C
    images;  watch: is asked whether to stop, and told the number of images done.
    """

    channels: tuple[ChannelModel, ...]
    bounds: Bounds
    lights: tuple[Likelihood, ...]
    watch: Watcher

    def channel(self, number: int) -> ChannelModel:
        """The channel of an image."""
        return self.channels[number % len(self.channels)]

    def each(self, work: Callable[[int], Result]) -> list[Result]:
        """Results of work(image) for all images, side by side in threads; they do not depend on the threads."""

        def watched(number: int, watch: Watcher) -> Result:
            advance(watch)
            return work(number)

        return side_by_side(watched, len(self.lights), self.watch)

    def terms(self, number: int, state: JointState, *, double: bool = False) -> FrameTerms:
        """An image around a state of its frame alone, with the places in the first channel.

        double: sums in double precision, for bounds; single is enough for a step.
        """
        light, channel = self.lights[number], self.channel(number)
        image = LinearImage(channel.psf, channel.seen(state), channel.surface, tuple(light.frames.shape))
        deviance, score, information = light.expansion(image.image)
        pull = image.pull(score)
        # A look without photons whose gradient points below 0 is held there.
        held = torch.zeros_like(pull.molecules, dtype=torch.bool)
        if channel.share is None:
            held[:, 3] = (state.photons <= self.bounds.photons) & (pull.molecules[:, 3] < 0)
        image.hold(held)
        unknowns = pull.molecules.masked_fill(held, 0)
        gradient = torch.cat([unknowns.flatten(), pull.background.flatten()]).double()
        if image.is_compiled:
            matrix = frame_matrix(image, information, double=double)
        else:
            order = Order.of(state.frame, held.shape[1], state.coefficients)
            matrix = fisher_matrices(image, information, order)[0]
        shared = channel.share is not None
        order, places = _places_first(len(state), held.shape[1], len(gradient), shared=shared)
        order = order.to(gradient.device)
        matrix, gradient = matrix.double()[order[:, None], order], gradient[order]
        slopes = channel.slopes(state.xyz, held.shape[1] - (not shared))
        if slopes is not None:
            gradient, matrix = _by_first(gradient, matrix, slopes)
        return FrameTerms(float(deviance), gradient, matrix, places, image, score, information)

    def deviance(self, number: int, state: JointState) -> float:
        """Deviance of an image for a state of its frame alone, with the places in the first channel."""
        light, channel = self.lights[number], self.channel(number)
        shape = tuple(light.frames.shape)
        return float(light.deviance(expected_image(channel.psf, channel.seen(state), channel.surface, shape)))

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the frames."""
        return self.lights[0].frames.dtype


def unit_factor(unit: Tensor, ridge: float) -> Tensor:
    """Cholesky factor of a matrix with a unit diagonal plus a ridge, which grows until the matrix is
    positive."""
    while True:
        raised = unit.clone()
        raised.diagonal().add_(ridge)
        factor, wrong = torch.linalg.cholesky_ex(raised)
        if not int(wrong) or ridge > 1.0:
            return factor
        ridge = 10 * max(ridge, RIDGE)


def shares_of_sites(sites: Sites, rows: slice) -> Tensor:
    """Where the places of an image's looks stand among the unknowns of all sites: (n·q,) int64."""
    unknown = torch.arange(sites.each, device=sites.site.device)
    return (sites.site[rows, None] * sites.each + unknown).flatten()


def _by_first(gradient: Tensor, matrix: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient (m,) and matrix (m, m) of a channel's own places, by the places in the first channel.

    slopes: (n, q, q) derivatives of the former by the latter.
    """
    number, each = slopes.shape[:2]
    p = number * each
    pull = (slopes.mT @ gradient[:p].view(number, each, 1)).flatten()
    rows = (slopes.mT @ matrix[:p].view(number, each, len(matrix))).view(p, len(matrix))
    whole = torch.cat([rows, matrix[p:]])
    columns = torch.einsum("mni,nij->mnj", whole[:, :p].reshape(len(whole), number, each), slopes)
    return torch.cat([pull, gradient[p:]]), torch.cat([columns.reshape(len(whole), p), whole[:, p:]], 1)


def _places_first(number: int, unknowns: int, size: int, *, shared: bool) -> tuple[Tensor, int]:
    """Order of the unknowns with the places before the photons, (m,), and how many are of places.

    shared: the photons are those of the sites, and the last unknown of each place.
    """
    every = torch.arange(number * unknowns).view(number, unknowns)
    background = torch.arange(number * unknowns, size)
    places = torch.cat([every[:, :3], every[:, 4:]], 1)
    if shared:
        whole = torch.cat([places, every[:, 3:4]], 1).flatten()
        return torch.cat([whole, background]), len(whole)
    places = places.flatten()
    return torch.cat([places, every[:, 3], background]), len(places)
