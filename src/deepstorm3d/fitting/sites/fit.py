"""From the list of single frames to sites: one position for each molecule, its photons in each frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...emitters import Localizations
from ..joint import JointFit
from ..likelihood import Likelihood
from ..photometry import at_positions
from ..search import MatchedFilter, gain_threshold
from ..unexplained import misfit_of_frames
from .charts import COARSE, Charts
from .climb import FittedSites, climb_sites
from .covariance import Landscape, movie_of
from .selection import Selection
from .start import Carried, in_order, sites_of_list
from .state import Sites

__all__ = ["SiteFit", "SitesFound", "SitesOfFrames"]


@dataclass(frozen=True)
class SitesFound:
    """The list of molecules over several frames.

    localizations: one row for each look, in order of frame, as of a joint fit, with the column `molecule`,
    counted from 0 in order of appearance: all rows of a molecule have the same position and σ of the position;
    misfit: (B,) mean deviance of each frame's pixels, 1 if only noise remains;
    tied: rows that share their molecule with others;  split: sites divided because a tie cost too much;
    filled: rows that the list of single frames did not have;  removed: rows of it that were not needed;
    settled: whether the fit converged.
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
    """The list of B frames, the sites that it is made of, and the covariance (S·q, S·q) of their places."""

    found: SitesFound
    sites: Sites
    covariance: Tensor


@dataclass(frozen=True)
class SiteFit:
    """Maximum-likelihood fit of molecules that shine through several frames, starting from single-frame lists.

    Every frame keeps its own background and photons; a molecule has one position (and one blur). Which rows are
    one molecule is decided by the likelihood (`ties`), as is in which frames it shines (`looks`).

    single: the fit of single frames that the lists come from;  dark: frames in which a molecule may be missing;
    false_splits: chance that a molecule at rest is divided;  false_looks: share of the tested places without
    light that get a look.
    """

    single: JointFit
    dark: int = 1
    false_splits: float = 1e-3
    false_looks: float = 1e-3

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
        single, (height, width) = self.single, likelihood.frames.shape[1:]
        movie = movie_of(single.core, likelihood, single.spacing_px, single.bounds, single.watch)
        start = sites_of_list(found, movie, single.spacing_px, carried, blurs=single.fit_blur, dark=self.dark)
        charts, whole = Charts(movie, COARSE), replace(movie, psf=single.whole)
        search = MatchedFilter(single.core, single.z_um, (height, width), likelihood.frames)
        price = gain_threshold(search.positions, single.false_alarms)
        decided = Selection(price, self.dark, self.false_splits, self.false_looks)
        fitted, split = decided.improve(charts, climb_sites(movie, start, charts))
        fitted = climb_sites(whole, fitted.sites)
        land = Landscape(whole, fitted.sites)
        return SitesOfFrames(self._told(land, fitted, found, likelihood, split), fitted.sites, land.covariance)

    def _told(
        self, land: Landscape, fitted: FittedSites, found: Localizations, likelihood: Likelihood, split: int
    ) -> SitesFound:
        """The fitted sites as a table, with their Cramér-Rao bounds."""
        sites, dtype, movie, bound = fitted.sites, found.xyz.dtype, land.movie, land.bound()
        old = sites.origin >= 0
        probability = torch.full_like(sites.photons, 1 - self.false_looks).to(found.probability)
        probability[old] = found.probability[sites.origin[old]]
        xyz = sites.place[sites.site, :3].to(dtype)
        surface = movie.surface.surface(sites.coefficients.to(movie.dtype))
        rows = Localizations(
            xyz=xyz,
            frame=sites.frame,
            photons=sites.photons.to(dtype),
            background=at_positions(surface, xyz, sites.frame, movie.psf.pixel_um).to(dtype),
            probability=probability,
            sigma_xyz=bound.place[sites.site, :3].to(dtype),
            sigma_photons=bound.photons.to(dtype),
            sigma_background=bound.background.to(dtype),
            fit_quality=torch.cat(movie.each(lambda number: _quality(land, number))).to(dtype),
            sigma_source="fit",
            molecule=_in_order_of_appearance(sites.site),
        )
        return SitesFound(
            rows,
            misfit_of_frames(likelihood, fitted.deviance),
            tied=int((sites.looks > 1)[sites.site].sum()),
            split=split,
            filled=int((~old).sum()),
            removed=len(found) - int(old.sum()),
            settled=fitted.settled,
        )


def _quality(land: Landscape, number: int) -> Tensor:
    """Mean deviance under the spot of each look of a frame, (n,)."""
    light, image = land.movie.lights[number], land.terms[number].image
    return image.under_spots(light.deviance_image(image.image), light.weight)


def _in_order_of_appearance(site: Tensor) -> Tensor:
    """Numbers of sites (N,) renamed in order of first appearance."""
    _, first, number = np.unique(site.numpy(), return_index=True, return_inverse=True)
    return torch.from_numpy(np.argsort(np.argsort(first, kind="stable"), kind="stable")[number.ravel()])
