"""From the list of single frames to sites: one position for each molecule, its photons in each frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ...chip import Region
from ...emitters import Localizations
from ...field import Field
from ...optics.psf import PSF
from ..joint import JointFit
from ..likelihood import Likelihood
from ..photometry import at_positions
from ..refine import Bounds
from ..search import gain_threshold
from ..unexplained import misfit_of_frames
from .charts import COARSE, Charts
from .climb import FittedSites, climb_sites
from .covariance import Landscape, movie_of
from .movie import Movie
from .parts import corner_of, part_of_light, reach_of
from .selection import Selection
from .start import Carried, in_order, rows_a_frame, sites_of_list
from .state import Sites
from .sums import ChannelSums

__all__ = [
    "Improved",
    "Improver",
    "SiteFit",
    "SitesFound",
    "SitesOfFrames",
    "background_at_places",
    "improved",
    "in_order_of_appearance",
    "misfit_of_channels",
    "rows_of_looks",
]


@dataclass(frozen=True)
class SitesFound:
    """The list of molecules over several frames.

    localizations: one row for each look, in order of frame, as of a joint fit, with the column `molecule`,
    counted from 0 in order of appearance: all rows of a molecule have the same position and σ of the position;
    misfit: (B,) mean deviance of each frame's pixels, 1 if only noise remains;
    tied: rows that share their molecule with others;  split: sites divided because a tie cost too much;
    filled: rows that the list of single frames did not have;  removed: rows of it that were not needed;
    settled: whether the fit converged, or no step helped any more, however short.
    """

    localizations: Localizations
    misfit: Tensor
    tied: int
    split: int
    filled: int
    removed: int
    settled: bool


@dataclass(frozen=True)
class SitesOfFrames:
    """The list of B frames, the sites that it is made of, and the covariance (S·q, S·q) of their places.

    site, origin: (N,) of each row, as of looks (`Sites`).
    """

    found: SitesFound
    sites: Sites
    covariance: Tensor
    site: Tensor
    origin: Tensor


@dataclass(frozen=True)
class SiteFit:
    """Maximum-likelihood fit of molecules that shine through several frames, starting from single-frame lists.

    Every frame keeps its own background and photons; a molecule has one position (and one blur). Which rows are
    one molecule is decided by the likelihood (`ties`), as is in which frames it shines (`looks`), whether a
    spot is two molecules that other frames show apart (`arrangements`), and, unless the single-frame fit has no
    rounds of adding molecules, which are missing because no single frame shows them (`unseen`).

    single: the fit of single frames that the lists come from;  dark: frames in which a molecule may be missing;
    false_splits: chance that a molecule at rest is divided;  false_looks: share of the tested places without
    light that get a look;  rows: in a frame of the whole field, on average, of which at most the share
    `single.false_alarms` is to be false (None: as many as the list has).
    """

    single: JointFit
    dark: int = 1
    false_splits: float = 1e-3
    false_looks: float = 1e-3
    rows: float | None = None

    def __call__(self, found: Localizations, likelihood: Likelihood) -> SitesFound:
        """Sites of B consecutive frames.

        found: rows of frames 0 … B−1 with σ from the joint fit of single frames;  likelihood: of the frames.
        Raises InputError for rows without σ.
        """
        return self.after_others(found, likelihood, None).found

    @torch.no_grad()
    def after_others(
        self, found: Localizations, likelihood: Likelihood, carried: Carried | None
    ) -> SitesOfFrames:
        """The same, with sites that shone in the frames before, which are the first ones of the result."""
        found = in_order(found)
        single = self.single
        movie = movie_of(single.core, likelihood, single.spacing_px, single.bounds, single.watch)
        start = sites_of_list(found, movie, carried, blurs=single.fit_blur, dark=self.dark)
        search = single.search(likelihood.frames, single.spacing_px)
        rows = rows_a_frame(found, len(likelihood)) if self.rows is None else self.rows
        price = gain_threshold(search.positions, single.false_alarms, rows)
        missing = ChannelSums([search]) if single.rounds else None
        selection = Selection(price, self.dark, self.false_splits, self.false_looks, missing)
        made = improved(movie, start, selection, [single.whole])
        sites = made.fitted.sites
        looks = rows_of_looks(made.land, found, self.false_looks)
        told = SitesFound(
            replace(looks, molecule=in_order_of_appearance(sites.site)),
            misfit_of_frames(likelihood, made.fitted.deviance),
            tied=int((sites.looks > 1)[sites.site].sum()),
            split=made.split,
            filled=int((sites.origin < 0).sum()),
            removed=len(found) - int((sites.origin >= 0).sum()),
            settled=made.fitted.settled,
        )
        return SitesOfFrames(told, sites, made.land.covariance, sites.site, sites.origin)

    @property
    def bounds(self) -> Bounds:
        """Range of the places."""
        return self.single.bounds

    @property
    def reach_px(self) -> int:
        """Pixels from a molecule to where its spot ends."""
        return reach_of(self.single)

    def of_rows(self, rows: float) -> SiteFit:
        """The fit of frames that have so many rows each in the whole field, on average."""
        return replace(self, rows=rows)

    def of_field(self, field: Field) -> SiteFit:
        """The fit of frames that show all of the field."""
        return replace(self, single=self.single.in_field(field, field))

    def tile(
        self, field: Field, region: Region, likelihood: Likelihood, others: Localizations
    ) -> tuple[SiteFit, Likelihood]:
        """The fit of a region of a field, and the likelihood of its pixels with the light of other rows."""
        part = replace(self, single=self.single.in_field(field.part(region), field))
        x, y, _ = corner_of(region, field.pixel_um).tolist()
        return part, part_of_light(part.single, likelihood, region, others.shift(xyz=(-x, -y, 0.0)))


class Improver(Protocol):
    """Changes the list at a fitted state: `Selection`, `CandidateSelection`."""

    def improve(self, charts: Charts, fitted: FittedSites) -> tuple[FittedSites, int]:
        """The fit after the changes, and how many sites were divided between frames or channels."""
        ...


@dataclass(frozen=True)
class Improved:
    """The last fit, the likelihood around it, and how many sites were divided."""

    fitted: FittedSites
    land: Landscape
    split: int


def improved(movie: Movie, start: Sites, selection: Improver, tails: Sequence[PSF]) -> Improved:
    """Fit sites, change ties and looks, and fit once more with the PSF of each channel with its tails."""
    charts = Charts(movie, COARSE)
    fitted, split = selection.improve(charts, climb_sites(movie, start, charts))
    channels = [replace(channel, psf=psf) for channel, psf in zip(movie.channels, tails, strict=True)]
    whole = replace(movie, channels=tuple(channels))
    fitted = climb_sites(whole, fitted.sites)
    return Improved(fitted, Landscape(whole, fitted.sites), split)


def rows_of_looks(land: Landscape, found: Localizations, false_looks: float) -> Localizations:
    """A row for each look with its Cramér-Rao bounds, in their order; places are of the first channel.

    found: the list that the fit started with;  false_looks: share of the places without light that get a look.
    """
    sites, dtype, movie, bound = land.sites, found.xyz.dtype, land.movie, land.bound()
    old = sites.origin >= 0
    probability = torch.full_like(sites.photons, 1 - false_looks).to(found.probability)
    probability[old] = found.probability[sites.origin[old]]
    place = sites.place[sites.site, :3].to(dtype)
    return Localizations(
        xyz=place,
        frame=sites.frame,
        photons=sites.photons.to(dtype),
        background=_background(land, sites.site, sites.image).to(dtype),
        probability=probability,
        sigma_xyz=movie.bounds.stated(place, bound.place[sites.site].to(dtype)),
        sigma_photons=bound.photons.to(dtype),
        sigma_background=bound.background.to(dtype),
        fit_quality=torch.cat(movie.each(lambda number: _quality(land, number))).to(dtype),
        sigma_source="fit",
    )


def background_at_places(land: Landscape) -> Tensor:
    """Background at the place of each site in each image, (S, B·C) photons per pixel."""
    number, images = len(land.sites), land.sites.images
    site, image = torch.arange(number).repeat_interleave(images), torch.arange(images).repeat(number)
    return _background(land, site, image).view(number, images)


def misfit_of_channels(land: Landscape) -> Tensor:
    """Mean deviance of the pixels of each channel in each frame, (B, C): 1 if only noise remains."""
    views = [view for terms in land.terms for view in terms.views]
    misfit = [misfit_of_frames(view.light, view.score.new_tensor([view.deviance])) for view in views]
    return torch.cat(misfit).view(-1, len(land.movie.channels))


def _background(land: Landscape, site: Tensor, image: Tensor) -> Tensor:
    """Background at the places of sites (K,) in images (K,), of all of their channels: (K,) photons a pixel."""
    sites, movie = land.sites, land.movie
    count, value = sites.channels, sites.place.new_zeros(len(site)).to(movie.dtype)
    for number, channel in enumerate(movie.channels):
        rows = (image % count == number % count).nonzero()[:, 0]
        xyz = sites.place[site[rows], :3].to(movie.dtype)
        coefficients = torch.stack(sites.coefficients[number % count :: count]).to(movie.dtype)
        surface = channel.surface.surface(movie.by_channel(coefficients)[number // count])
        value[rows] += at_positions(surface, channel.places(xyz), image[rows] // count, channel.psf.pixel_um)
    return value


def _quality(land: Landscape, number: int) -> Tensor:
    """Mean deviance under the spot of each look of an image, (n,)."""
    views = land.terms[number].views
    each = [
        view.image.under_spots(view.light.deviance_image(view.image.image), view.light.weight) for view in views
    ]
    if len(views) == 1:
        return each[0]
    # What a channel does not show of a spot does not count.
    weight = [(view.channel.share or 0.0) * view.image.jacobian[:, 3].sum(1) for view in views]
    return (torch.stack(weight) * torch.stack(each)).sum(0) / torch.stack(weight).sum(0).clamp(min=1e-9)


def in_order_of_appearance(site: Tensor) -> Tensor:
    """Numbers of sites (N,) renamed in order of first appearance."""
    _, first, number = np.unique(site.numpy(), return_index=True, return_inverse=True)
    return torch.from_numpy(np.argsort(np.argsort(first, kind="stable"), kind="stable")[number.ravel()])
