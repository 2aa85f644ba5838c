"""The second pass over a recording in several channels: one position for a molecule from all its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..channels import ChannelPair
from ..emitters import Localizations
from ..fitting.sites.channel import LightsOfChannels
from ..fitting.sites.channels_over_frames import ChannelsOverFrames
from ..fitting.sites.kept import KeptSites
from ..fitting.sites.windows import SitesOverMovie
from ..watch import SILENT, Quiet, Watcher
from . import over_frames
from .depth_ends import DepthEnds
from .over_channels import ChannelMovie, fit_of_channels
from .over_frames import SecondPass

__all__ = ["ChannelsPass"]


class ChannelsPass(SecondPass):
    """Fits the list of two channels again, each molecule over all frames and channels in which it shines.

    Shares of the light that the first movie's experiment says are known are known to the fit.
    movies, pairs: as of `OverChannels`;  watch: as of `SecondPass`.
    Raises InputError as `OverChannels`.
    """

    def __init__(
        self, movies: Sequence[ChannelMovie], pairs: Sequence[ChannelPair], watch: Watcher = SILENT
    ) -> None:
        first, gaps = movies[0], sorted({gap for movie in movies for gap in movie.source.movie.gaps})
        shares = movies[0].pipeline.experiment.known_shares
        fields = tuple(movie.field for movie in movies)
        fit = ChannelsOverFrames(fit_of_channels(movies, pairs), shares, fields, watch=Quiet(watch))

        def lights(begin: int, end: int) -> LightsOfChannels:
            return LightsOfChannels(tuple(movie.light(begin, end) for movie in movies))

        over = SitesOverMovie(fit, over_frames.WINDOW_FRAMES, fields[0])
        super().__init__(first.source, over, lights, gaps, (*first.corner_um, 0.0), watch)
        self.ends = DepthEnds.of_fit(fit.bounds, first.pipeline.experiment)

    def left(self, kept: KeptSites) -> Localizations:
        """The rows that wait after the last window, with their shares."""
        rows = super().left(kept)
        if rows.share is not None:
            return rows
        nothing = torch.zeros(len(rows))
        return replace(rows, share=nothing, sigma_share=nothing)
