"""From candidates of all channels together to molecules: the joint fit behind a network that sees them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...emitters import Localizations
from ...watch import SILENT, Watcher
from ..compiled import announce
from ..crowd import crowded_frames
from ..likelihood import Likelihood
from ..parallel import side_by_side
from ..search import MatchedFilter
from ..unexplained import misfit_of_frames
from .channel import ChannelModel
from .channels import ChannelsFit, FoundInChannels
from .covariance import lights_of
from .fit import background_at_places, improved, rows_of_looks
from .frames import Movie
from .mismatch import mismatch_of
from .missing import ChannelFilters
from .pruning import CandidateSelection
from .shares import rows_of_channels
from .start import in_order, lit_sites
from .state import Sites

__all__ = ["CandidatesFit", "is_shown"]

# Beyond the edge of a channel's frame by up to this much a candidate may leave light in it, px.
_BEYOND_PX = 4
# Light in the first least-squares fit below which a candidate is dropped, as a share of the dimmest molecules'.
_LEAST_LIGHT = 0.1
# A channel has light of a molecule whose measured share is so many σ above 0 (by chance once in a thousand).
_SEEN = 3.1


@dataclass(frozen=True)
class CandidatesFit:
    """Maximum-likelihood fit of the molecules of each frame in all channels, beginning with candidates.

    A candidate is a place in the first channel, without σ. It is fitted in every channel that shows the place,
    with photons of its own in each, or with one number of which each has its known share. Which candidates are
    molecules, and which molecules they lack, is decided by the likelihood of all channels together
    (`CandidateSelection`). A molecule is not divided between the channels: by how much their images lie apart
    is measured (`Mismatch`).

    channels: the fit of all channels;  shares: of every molecule's light in each channel, as behind a beam
    splitter; None: each molecule has its own, as dyes of several colours do.
    """

    channels: ChannelsFit
    shares: tuple[float, ...] | None = None

    @torch.no_grad()
    def __call__(
        self, found: Localizations, lights: Sequence[Likelihood], watch: Watcher = SILENT
    ) -> FoundInChannels:
        """The molecules of B frames.

        found: candidates, rows of frames 0 … B−1 in the first channel's µm;  lights: the likelihood of the
        frames of each channel;  watch: told the frames done; it can end the work (Interrupted).
        Frames with more candidates than are plausible begin with none (`JointFit.most`).
        """
        fit, first, found = self.channels, self.channels.first, in_order(found)
        frames, models = len(lights[0]), self._models(lights)
        most = first.most(tuple(lights[0].frames.shape))
        crowded = crowded_frames(found, frames, most)
        if bool(crowded.any()):
            found = found.select(~crowded[found.frame])
        announce(watch)
        filters = self._filters(lights)
        selection = CandidateSelection(
            fit.price(lights), first.dim_photons, fit.false_looks, filters if first.rounds else None
        )

        def fitted(number: int, watch: Watcher) -> FoundInChannels:
            one = [light.select(torch.tensor([number])) for light in lights]
            movie = Movie(models, fit.bounds, lights_of(one), watch)
            rows = found.select(found.frame == number)
            return self._of_frame(rows, movie, replace(selection, probability=rows.probability))

        return FoundInChannels.concat(side_by_side(fitted, frames, watch))

    def _of_frame(self, found: Localizations, movie: Movie, selection: CandidateSelection) -> FoundInChannels:
        fit, count = self.channels, len(movie.channels)
        tails = [channel.single.whole for channel in fit.channels]
        made = improved(movie, self._start(found, movie), selection, tails)
        sites, land = made.fitted.sites, made.land
        looks = rows_of_looks(land, found, fit.false_looks)
        rows, _ = rows_of_channels(land, looks, background_at_places(land))
        misfit = [
            misfit_of_frames(light, made.fitted.deviance[number : number + 1])
            for number, light in enumerate(movie.lights)
        ]
        kept = len(sites.origin[sites.origin >= 0].unique())
        return FoundInChannels(
            rows,
            torch.stack(misfit, 1),
            together=_seen_in_both(rows) if sites.shares is not None else int((sites.looks == count).sum()),
            filled=len(sites) - kept,
            split=0,
            removed=len(found) - kept,
            mismatch=tuple(
                mismatch_of(land, number, fit.false_splits, fit.channels[number].excess_um)
                for number in range(1, count)
            ),
        )

    def _start(self, found: Localizations, movie: Movie) -> Sites:
        """The candidates that have light, by least squares, in the channels that show their places."""
        fit = self.channels
        place = found.xyz.double()
        place = torch.cat([place[:, :2], place[:, 2:].clamp(*fit.bounds.z_um)], 1)
        if fit.first.fit_blur:
            place = torch.cat([place, torch.full_like(place[:, :1], sum(fit.bounds.blur_px) / 2)], 1)
        shown = [
            is_shown(channel.places(place[:, :3]), light, channel.psf.pixel_um)
            for channel, light in zip(movie.channels, movie.lights, strict=True)
        ]
        image, site = torch.stack(shown).nonzero().unbind(1)
        sites = lit_sites(place, site, image, torch.zeros(len(site)), movie)
        if self.shares is not None:
            sites = sites.with_shares(torch.tensor(self.shares))
        lit = sites.light > max(_LEAST_LIGHT * fit.first.dim_photons, 2 * fit.bounds.photons)
        return replace(sites, origin=site).of_looks(lit[site].nonzero()[:, 0]).compact()

    def _filters(self, lights: Sequence[Likelihood]) -> ChannelFilters:
        """The search for frames of these sizes."""
        low, high = self.channels.first.z_um
        filters, transforms, shapes = [], [], []
        for number, (channel, light) in enumerate(zip(self.channels.channels, lights, strict=True)):
            shape = light.frames.shape[1], light.frames.shape[2]
            depths = low + channel.depth_um, high + channel.depth_um
            filters.append(MatchedFilter(channel.single.core, depths, shape, light.frames))
            transforms.append(channel.transform if number else None)
            shapes.append(shape)
        shares = None if self.shares is None else torch.tensor(self.shares)
        return ChannelFilters(filters, transforms, shapes, shares)

    def _models(self, lights: Sequence[Likelihood]) -> tuple[ChannelModel, ...]:
        """How each channel shows the molecules, with its share of their light where that is known."""
        models = self.channels.models(lights)
        if self.shares is None:
            return models
        return tuple(replace(model, share=share) for model, share in zip(models, self.shares, strict=True))


def is_shown(places: Tensor, light: Likelihood, pixel_um: float) -> Tensor:
    """Whether places (S, 3) µm of a channel are on its frame, or close to it: (S,) bool."""
    height, width = light.frames.shape[1:]
    last = places.new_tensor([width - 1, height - 1]) + _BEYOND_PX
    at = places[:, :2] / pixel_um
    return ((at >= -_BEYOND_PX) & (at <= last)).all(1)


def _seen_in_both(rows: Localizations) -> int:
    """Number of rows whose measured share says that both channels have light of them."""
    assert rows.share is not None and rows.sigma_share is not None
    least = torch.minimum(rows.share, 1 - rows.share)
    return int((least > _SEEN * rows.sigma_share).sum())
