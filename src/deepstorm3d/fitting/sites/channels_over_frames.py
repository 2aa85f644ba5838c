"""Molecules that shine through several frames in several channels: one place, a look in each image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...chip import Region
from ...emitters import Localizations
from ...field import Field
from ...watch import SILENT, Watcher
from ..joint import JointFit
from ..likelihood import Likelihood
from ..refine import Bounds
from .channel import LightsOfChannels, with_shares
from .channels import ChannelsFit, FurtherChannel
from .covariance import lights_of
from .fit import (
    Improved,
    SitesFound,
    SitesOfFrames,
    improved,
    in_order_of_appearance,
    misfit_of_channels,
    rows_of_looks,
)
from .known_shares import in_common, is_shown, with_light_apart
from .looks import needed_gain
from .movie import Movie
from .parts import between_parts, corner_of, part_of_light, reach_of, shown_region
from .selection import Selection
from .shared_information import information_of_frames, shared_information
from .shares import rows_of_channels
from .start import Carried, in_order, lit_sites, places_of_list, rows_a_frame, with_knowledge
from .state import Sites

__all__ = ["ChannelsOverFrames"]

# Chance by which a row without light in a channel begins with a look there.
_FALSE_LOOKS = 1e-3


@dataclass(frozen=True)
class ChannelsOverFrames:
    """Maximum-likelihood fit of molecules over frames and channels, starting from the list of both channels.

    Every frame keeps its own background in each channel, and its own photons in each, or one number of which
    each channel has its known share; a molecule has one place (and blur) in all. Which rows are one molecule,
    and in which frames it shines, is decided by the likelihood as in `SiteFit`, as is which are missing because
    no single frame shows them; the channels of one frame are never divided. Only where the shares are known may
    a spot be two molecules that other frames show apart.

    channels: the fit of single frames;  shares: of every molecule's light in each channel, None: each has its
    own;  fields: what each channel's frames show of its whole field, for tiles;  dark: frames in which a
    molecule may be missing;  rows: as of `SiteFit`;  watch: told the images done, and asked whether to stop.
    """

    channels: ChannelsFit
    shares: tuple[float, ...] | None = None
    fields: tuple[Field, ...] = ()
    dark: int = 1
    rows: float | None = None
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
        """
        fit, lights, found = self.channels, likelihood.channels, in_order(found)
        models = with_shares(fit.models(lights), self.shares)
        movie = Movie(models, fit.bounds, lights_of(lights), self.watch)
        rows = rows_a_frame(found, len(lights[0])) if self.rows is None else self.rows
        (price,) = fit.prices(lights, [rows])
        selection = Selection(
            price,
            self.dark,
            fit.false_splits,
            fit.false_looks,
            fit.sums(lights, self.shares) if fit.first.rounds else None,
            shared=shared_information if movie.shared else information_of_frames,
        )
        start = self._start(found, movie, carried)
        made = improved(movie, start, selection, [channel.single.whole for channel in fit.channels])
        return self._told(made, found)

    @property
    def bounds(self) -> Bounds:
        """Range of the places in the first channel."""
        return self.channels.bounds

    @property
    def reach_px(self) -> int:
        """Pixels of the first channel from a molecule to where its spots end."""
        return reach_of(*(channel.single for channel in self.channels.channels))

    def of_rows(self, rows: float) -> ChannelsOverFrames:
        """The fit of frames with so many rows each in the whole field, on average."""
        return replace(self, rows=rows)

    def of_field(self, field: Field) -> ChannelsOverFrames:
        """The same: the channels know what their frames show."""
        return self

    def tile(
        self, field: Field, region: Region, likelihood: LightsOfChannels, others: Localizations
    ) -> tuple[ChannelsOverFrames, LightsOfChannels]:
        """The fit of a region of the first channel, and what each channel shows of it with the light of others.

        field: of the first channel.
        """
        light, _ = _lit(others, len(self.fields))
        corner = corner_of(region, field.pixel_um)
        singles, further, parts, fields = list[JointFit](), list[FurtherChannel](), list[Likelihood](), []
        for number, (channel, own) in enumerate(zip(self.channels.channels, self.fields, strict=True)):
            shown = shown_region(channel.transform, field, region, own) if number else region
            there = corner_of(shown, own.pixel_um)
            fields.append(own.part(shown))
            singles.append(channel.single.in_field(fields[-1], own))
            here = between_parts(channel.transform, (corner, there))
            further.append(replace(channel, single=singles[-1], transform=here))
            share = light[:, number] if self.shares is None else self.shares[number] * others.photons
            rows = replace(others, xyz=_seen(others, channel, there), photons=share.to(others.photons))
            parts.append(part_of_light(singles[-1], likelihood.channels[number], shown, rows))
        channels = replace(self.channels, first=singles[0], others=tuple(further[1:]))
        return replace(self, channels=channels, fields=tuple(fields)), LightsOfChannels(tuple(parts))

    def _told(self, made: Improved, found: Localizations) -> SitesOfFrames:
        """The rows of the last fit, one for each site and frame."""
        land, sites, false_looks = made.land, made.fitted.sites, self.channels.false_looks
        looks = rows_of_looks(land, found, false_looks)
        rows, site = rows_of_channels(land, looks, with_light_apart(land))
        # Rows are in the order of frame and site.
        number = max(len(sites), 1)
        row = torch.searchsorted(rows.frame * number + site, sites.frame * number + sites.site)
        origin = torch.full_like(site, -1).scatter_reduce(0, row, sites.origin, "amax")
        told = SitesFound(
            replace(rows, molecule=in_order_of_appearance(site)),
            misfit_of_channels(land).mean(1),
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
        light, lit = _lit(found, count)
        lit |= movie.shared
        for number, channel in enumerate(movie.channels):
            here = channel.places(place[site, :3])
            lit[:, number] &= is_shown(here, movie.lights[number], channel)
        row, channel = lit.nonzero().unbind(1)
        image = found.frame[row] * count + channel
        order = torch.argsort(image, stable=True)
        row, channel, image = row[order], channel[order], image[order]
        sites = lit_sites(place, site[row], image, light[row, channel].to(found.photons), movie)
        sites = replace(sites, origin=row)
        return with_knowledge(in_common(sites, movie) if movie.shared else sites, carried)


def _seen(found: Localizations, channel: FurtherChannel, corner: Tensor) -> Tensor:
    """Places of rows in a channel, measured from a corner (3,) µm: (N, 3)."""
    xy = channel.transform.apply(found.xyz[:, :2])
    place = torch.cat([xy, found.xyz[:, 2:].double() + channel.depth_um], 1)
    return (place - corner).to(found.xyz)


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
