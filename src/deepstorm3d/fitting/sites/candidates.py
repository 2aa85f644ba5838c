"""From candidates of all channels together to molecules: the joint fit behind a network that sees them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ...emitters import Localizations
from ...watch import SILENT, Watcher
from ..compiled import announce
from ..crowd import expected_molecules, of_usable_frames
from ..likelihood import Likelihood
from ..parallel import side_by_side
from .channel import ChannelModel, with_shares
from .channels import ChannelsFit, FoundInChannels
from .covariance import lights_of
from .fit import improved, misfit_of_channels, rows_of_looks
from .known_shares import in_common, is_shown, with_light_apart
from .mismatch import mismatch_of
from .movie import Movie
from .pruning import CandidateSelection
from .shares import rows_of_channels
from .start import in_order, lit_sites
from .state import Sites

__all__ = ["CandidatesFit"]

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
        found = of_usable_frames(found, frames, first.most(tuple(lights[0].frames.shape)))
        announce(watch)
        sums = fit.sums(lights, self.shares) if first.rounds else None
        prices = fit.prices(lights, expected_molecules(found, frames).tolist())

        def fitted(number: int, watch: Watcher) -> FoundInChannels:
            one = [light.select(torch.tensor([number])) for light in lights]
            movie = Movie(models, fit.bounds, lights_of(one), watch)
            rows = found.select(found.frame == number)
            price, likely = prices[number], rows.probability
            select = CandidateSelection(price, first.dim_photons, fit.false_looks, sums, likely)
            return self._of_frame(rows, movie, select)

        return FoundInChannels.concat(side_by_side(fitted, frames, watch))

    def _of_frame(self, found: Localizations, movie: Movie, selection: CandidateSelection) -> FoundInChannels:
        fit, count = self.channels, len(movie.channels)
        tails = [channel.single.whole for channel in fit.channels]
        made = improved(movie, self._start(found, movie), selection, tails)
        sites, land = made.fitted.sites, made.land
        looks = rows_of_looks(land, found, fit.false_looks)
        free = with_light_apart(land)
        rows, _ = rows_of_channels(land, looks, free)
        kept = len(sites.origin[sites.origin >= 0].unique())
        return FoundInChannels(
            rows,
            misfit_of_channels(land),
            together=_seen_in_both(rows) if movie.shared else int((sites.looks == count).sum()),
            filled=len(sites) - kept,
            split=0,
            removed=len(found) - kept,
            mismatch=tuple(
                mismatch_of(free, number, fit.false_splits, fit.channels[number].excess_um)
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
            is_shown(channel.places(place[:, :3]), light, channel)
            for channel, light in zip(movie.channels, movie.lights, strict=True)
        ]
        image, site = torch.stack(shown).nonzero().unbind(1)
        sites = replace(lit_sites(place, site, image, torch.zeros(len(site)), movie), origin=site)
        if movie.shared:
            sites = in_common(sites, movie)
        lit = sites.light > max(_LEAST_LIGHT * fit.first.dim_photons, 2 * fit.bounds.photons)
        return sites.of_looks(lit[sites.site].nonzero()[:, 0]).compact()

    def _models(self, lights: Sequence[Likelihood]) -> tuple[ChannelModel, ...]:
        """How each channel shows the molecules, with its share of their light where that is known."""
        return with_shares(self.channels.models(lights), self.shares)


def _seen_in_both(rows: Localizations) -> int:
    """Number of rows whose measured share says that both channels have light of them."""
    assert rows.share is not None and rows.sigma_share is not None
    least = torch.minimum(rows.share, 1 - rows.share)
    return int((least > _SEEN * rows.sigma_share).sum())
