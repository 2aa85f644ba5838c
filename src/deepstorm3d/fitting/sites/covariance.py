"""The joint Fisher information of all sites of consecutive frames and channels, and the Cramér-Rao bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...optics.psf import PSF
from ...watch import SILENT, Watcher
from ..background import SplineBackground
from ..likelihood import Likelihood
from ..parallel import one_thread
from ..refine import Bounds
from .channel import ChannelModel
from .charts import Charts
from .frames import RIDGE, Eliminated, FrameTerms, unit_factor, unknowns_of_looks
from .movie import Movie
from .state import Sites

__all__ = ["Bound", "Landscape", "lights_of", "movie_of", "site_bounds"]


@dataclass(frozen=True)
class Bound:
    """One standard deviation of every unknown that is reported.

    place: (S, q) of each site, µm (and px of the blur);  photons, background: (N,) of each look, photons, and
    photons per pixel at the look's centre.
    """

    place: Tensor
    photons: Tensor
    background: Tensor


def movie_of(
    psf: PSF, likelihood: Likelihood, spacing_px: float, bounds: Bounds, watch: Watcher = SILENT
) -> Movie:
    """Frames of a likelihood with background knots every `spacing_px` (inf: one level in each frame)."""
    height, width = likelihood.frames.shape[1:]
    surface = SplineBackground((height, width), spacing_px, likelihood.frames)
    return Movie((ChannelModel(psf, surface, spacing_px),), bounds, lights_of([likelihood]), watch)


def lights_of(likelihoods: Sequence[Likelihood]) -> tuple[Likelihood, ...]:
    """The likelihood of each image, from that of all frames of each channel."""
    return tuple(
        light.select(torch.tensor([number])) for number in range(len(likelihoods[0])) for light in likelihoods
    )


@torch.no_grad()
def site_bounds(movie: Movie, sites: Sites) -> Bound:
    """Cramér-Rao bounds of sites at this state: σ from the inverse of the whole Fisher matrix.

    At the truth this is the joint bound of all images of a molecule, with all its neighbours in every image and
    all backgrounds unknown (Ober, Ram & Ward 2004, for all images at once).
    """
    return Landscape(movie, sites).bound()


class Landscape:
    """The likelihood of all images around a state to second order.

    terms, parts: of each image;  covariance: (S·q, S·q) float64 of the places;  left: (S·q,) step of Gauss and
    Newton that the fit would take next.
    charts: of the images, from the fit; default: exact, with sums in double precision.
    """

    @torch.no_grad()
    def __init__(self, movie: Movie, sites: Sites, charts: Charts | None = None) -> None:
        self.movie, self.sites, self.slices = movie, sites, sites.slices()

        def of_image(number: int) -> tuple[FrameTerms, Eliminated]:
            rows = self.slices[number]
            if charts is None:
                terms = movie.terms(number, sites.of_image(number, rows, movie.dtype), double=True)
            else:
                terms = charts.terms(number, sites, rows)
            return terms, terms.eliminated()

        both = movie.each(of_image)
        self.terms, self.parts = [each[0] for each in both], [each[1] for each in both]
        with one_thread():
            self.covariance = self._inverse()
            self.left = self.covariance @ self._gradient()

    def _inverse(self) -> Tensor:
        sites = self.sites
        matrix = sites.place.new_zeros(sites.place.numel(), sites.place.numel())
        for rows, part in zip(self.slices, self.parts, strict=True):
            index = unknowns_of_looks(sites, rows)
            matrix[index[:, None], index] += part.schur
        if sites.knowledge is not None:
            matrix += sites.knowledge
        scale = matrix.diagonal().clamp(min=1e-20).rsqrt()
        unit = matrix * scale[:, None] * scale
        return torch.cholesky_inverse(unit_factor(unit, RIDGE)) * scale[:, None] * scale

    def _gradient(self) -> Tensor:
        """Of the log-likelihood by the places, all else fitted, (S·q,)."""
        sites = self.sites
        gradient = sites.place.new_zeros(sites.place.numel())
        for rows, part in zip(self.slices, self.parts, strict=True):
            gradient.index_add_(0, unknowns_of_looks(sites, rows), part.pull)
        if sites.before is not None and sites.knowledge is not None:
            gradient += sites.knowledge @ (sites.before - sites.place).flatten()
        return gradient

    def among(self, number: int) -> Tensor:
        """Covariance (n·q, n·q) of the places of an image's looks."""
        index = unknowns_of_looks(self.sites, self.slices[number])
        return self.covariance[index[:, None], index]

    def of_sites(self, one: Tensor, other: Tensor) -> Tensor:
        """Covariance of the places of sites (K,) and others (K,): (K, q, q)."""
        each = self.sites.each
        blocks = self.covariance.view(len(self.sites), each, len(self.sites), each)
        return blocks[one, :, other]

    def light_by_places(self, look: int) -> Tensor:
        """Change of a look's photons by the places of its image's looks, (n·q,), if all light follows them."""
        number = int(self.sites.image[look])
        part, rows = self.parts[number], self.slices[number]
        wanted = part.scale.new_zeros(len(part.scale), 1)
        wanted[look - rows.start] = part.scale[look - rows.start]
        return -(torch.linalg.solve_triangular(part.factor, wanted, upper=False).mT @ part.half)[0]

    def photons_of_two(self, one: int, other: int) -> float:
        """Covariance of the photons of two looks in different images: both follow the places."""
        image = self.sites.image[[one, other]].tolist()
        rows, columns = (unknowns_of_looks(self.sites, self.slices[number]) for number in image)
        return float(
            self.light_by_places(one) @ self.covariance[rows[:, None], columns] @ self.light_by_places(other)
        )

    def bound(self) -> Bound:
        """σ of all unknowns."""
        sites = self.sites
        place = self.covariance.diagonal().clamp(min=0).sqrt().view_as(sites.place)
        light = self.movie.each(self._of_image)
        return Bound(place, *(torch.cat(parts) for parts in zip(*light, strict=True)))

    def _of_image(self, number: int) -> tuple[Tensor, Tensor]:
        """σ of photons (n,) and background (n,) of the looks of an image."""
        part, terms, rows = self.parts[number], self.terms[number], self.slices[number]
        count = rows.stop - rows.start
        if not count:
            return part.scale[:0], part.scale[:0]
        images = [view.image for view in terms.views]
        level = [image.background.at(image.assembly.middle, image.frame).flatten(1) for image in images]
        smooth = torch.cat(level, 1).double()
        wanted = torch.cat([torch.eye(count).double(), smooth.new_zeros(count, smooth.shape[1])], 1)
        wanted = torch.cat([wanted, torch.cat([smooth.new_zeros(count, count), smooth], 1)]) * part.scale
        # Cov = F_LL⁻¹ + (F_LL⁻¹ F_LP) C (F_LL⁻¹ F_LP)ᵀ with C of the places.
        solved = torch.linalg.solve_triangular(part.factor, wanted.mT, upper=False)
        through = solved.mT @ part.half
        variance = (solved**2).sum(0) + ((through @ self.among(number)) * through).sum(1)
        # What has no signal has the variance of the smallest one that counts, as in `joint_bounds`.
        sigma = variance.clamp(min=0).sqrt()
        dark = part.scale[:count] == 0
        return torch.where(dark, 1e10, sigma[:count]), sigma[count:]
