"""Molecules that shine through several frames in several channels: one place, a look in each image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...emitters import Localizations
from ...errors import InputError
from ...watch import SILENT, Watcher
from ..unexplained import misfit_of_frames
from .candidates import is_shown
from .channel import LightsOfChannels
from .channels import ChannelsFit
from .covariance import lights_of
from .fit import (
    Improved,
    SitesFound,
    SitesOfFrames,
    background_at_places,
    improved,
    in_order_of_appearance,
    rows_of_looks,
)
from .frames import Movie
from .looks import needed_gain
from .selection import Selection
from .shared_information import information_of_frames
from .shares import rows_of_channels
from .start import Carried, in_order, lit_sites, places_of_list, with_knowledge
from .state import Sites

__all__ = ["ChannelsOverFrames"]

# Sites of a window from which on their places are too many unknowns for one system: four matrices of 700 MB.
_MOST_SITES = 3000
# Chance by which a row without light in a channel begins with a look there.
_FALSE_LOOKS = 1e-3


@dataclass(frozen=True)
class ChannelsOverFrames:
    """Maximum-likelihood fit of molecules over frames and channels, starting from the list of both channels.

    Every image keeps its own background and photons; a molecule has one place (and blur) in all. Which rows are
    one molecule, and in which images it shines, is decided by the likelihood as in `SiteFit`; the channels of
    one frame are never divided. Molecules that no single frame shows in both channels together are not looked
    for, and a spot is not divided in two.

    channels: the fit of single frames;  dark: frames in which a molecule may be missing;  watch: told the
    images done, and asked whether to stop.
    """

    channels: ChannelsFit
    dark: int = 1
    watch: Watcher = SILENT

    def __call__(self, found: Localizations, lights: LightsOfChannels) -> SitesFound:
        """The molecules of B consecutive frames;  arguments of `after_others`."""
        return self.after_others(found, lights, None).found

    @torch.no_grad()
    def after_others(
        self, found: Localizations, likelihood: LightsOfChannels, carried: Carried | None
    ) -> SitesOfFrames:
        """The sites of B consecutive frames; those that shone in the frames before are the first ones.

        found: rows of frames 0 … B−1 as `ChannelsFit` gives them;  likelihood: of the frames in each channel.
        Raises InputError for more molecules than one system of equations can have.
        """
        fit, lights, found = self.channels, likelihood.channels, in_order(found)
        movie = Movie(fit.models(lights), fit.bounds, lights_of(lights), self.watch)
        selection = Selection(
            fit.price(lights),
            self.dark,
            fit.false_splits,
            fit.false_looks,
            shared=information_of_frames,
        )
        start = self._start(found, movie, carried)
        made = improved(movie, start, selection, [channel.single.whole for channel in fit.channels])
        return self._told(made, found)

    def _told(self, made: Improved, found: Localizations) -> SitesOfFrames:
        """The rows of the last fit, one for each site and frame."""
        land, sites, false_looks = made.land, made.fitted.sites, self.channels.false_looks
        looks = rows_of_looks(land, found, false_looks)
        rows, site = rows_of_channels(land, looks, background_at_places(land))
        # Rows are in the order of frame and site.
        number = max(len(sites), 1)
        row = torch.searchsorted(rows.frame * number + site, sites.frame * number + sites.site)
        origin = torch.full_like(site, -1).scatter_reduce(0, row, sites.origin, "amax")
        misfit = torch.cat(
            [
                misfit_of_frames(light, made.fitted.deviance[image : image + 1])
                for image, light in enumerate(land.movie.lights)
            ]
        )
        told = SitesFound(
            replace(rows, molecule=in_order_of_appearance(site)),
            misfit.view(-1, sites.channels).mean(1),
            tied=int((torch.bincount(site, minlength=len(sites)) > 1)[site].sum()),
            split=made.split,
            filled=int((origin < 0).sum()),
            removed=len(found) - len(origin[origin >= 0].unique()),
            settled=made.fitted.settled,
        )
        return SitesOfFrames(told, sites, land.covariance, site, origin)

    def _start(self, found: Localizations, movie: Movie, carried: Carried | None) -> Sites:
        """A site for linked rows, with looks in the channels in which the rows have significant light."""
        first, count = self.channels.first, len(movie.channels)
        place, site = places_of_list(found, movie, carried, blurs=first.fit_blur, dark=self.dark)
        if len(place) > _MOST_SITES:
            raise InputError(
                f"{len(place)} molecules in {len(movie.lights) // count} frames of {count} channels are more "
                f"than can be fitted over frames at once ({_MOST_SITES})",
                "crop the movies, or localize without it (`over_frames=False`)",
            )
        light, lit = _lit(found, count)
        for number, channel in enumerate(movie.channels):
            here = channel.places(place[site, :3])
            lit[:, number] &= is_shown(here, movie.lights[number], channel.psf.pixel_um)
        row, channel = lit.nonzero().unbind(1)
        image = found.frame[row] * count + channel
        order = torch.argsort(image, stable=True)
        row, channel, image = row[order], channel[order], image[order]
        sites = lit_sites(place, site[row], image, light[row, channel].to(found.photons), movie)
        return with_knowledge(replace(sites, origin=row), carried)


def _lit(found: Localizations, channels: int) -> tuple[Tensor, Tensor]:
    """Photons of each row in each of C channels, and whether they are significant: (N, C) each.

    Of lists without shares each channel is taken to have as much; where the second one's light is not known,
    the first one alone has it. The brighter channel always counts.
    """
    photons = found.photons.double()
    if found.share is None or found.sigma_share is None:
        return photons[:, None].expand(-1, channels) / channels, torch.ones(
            len(found), channels, dtype=torch.bool
        )
    share, sigma = found.share.double(), found.sigma_share.double()
    light = torch.stack([1 - share, share], 1)
    lit = light > needed_gain(_FALSE_LOOKS) ** 0.5 * sigma[:, None]
    lit[:, 1] &= sigma > 0
    lit |= light >= 0.5
    return photons[:, None] * light, lit
