"""The likelihood of one image around a state, and what it says of the places alone.

An image is one frame of one channel; where all channels have known shares of the light, it is one frame in all
of them, with one number of photons for each molecule. Given the places of the molecules the images are
independent: photons and background of an image are eliminated in the image (Schur complement), and what is left
is added over the images that a molecule is seen in. The places are those of the first channel.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..likelihood import Likelihood
from ..linear import LinearImage
from .channel import ChannelModel
from .state import Sites

__all__ = ["Eliminated", "FrameTerms", "View", "unit_factor", "unknowns_of_looks"]

# Added to the unit diagonal of a matrix that is inverted: what has no signal gets a large, finite variance.
RIDGE = 1e-7


@dataclass(frozen=True)
class View:
    """What one channel shows of an image around a state.

    channel: how it shows the molecules;  light: likelihood of its pixels;  image: linear around the state;
    deviance: of its pixels;  score, information: (1, H, W) of the pixels.
    """

    channel: ChannelModel
    light: Likelihood
    image: LinearImage
    deviance: float
    score: Tensor
    information: Tensor


@dataclass(frozen=True)
class FrameTerms:
    """The likelihood of one image with n looks to second order in its m unknowns.

    The unknowns are the places of the looks, q each, then their photons, then the background's coefficients,
    of one channel after the other.
    deviance: of the image;  gradient: (m,) of the log-likelihood and matrix: (m, m) Fisher information,
    float64; places: n·q;  views: of the channel of the image, or of all of them;
    change: (m,) of the unknowns since the views were computed, None: none;
    reduced: what `eliminated` has computed from the matrix, for each damping.
    """

    deviance: float
    gradient: Tensor
    matrix: Tensor
    places: int
    views: tuple[View, ...]
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


def unknowns_of_looks(sites: Sites, rows: slice) -> Tensor:
    """Where the places of an image's looks stand among the unknowns of all sites: (n·q,) int64."""
    unknown = torch.arange(sites.each, device=sites.site.device)
    return (sites.site[rows, None] * sites.each + unknown).flatten()
