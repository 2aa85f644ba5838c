"""The joint fit of the molecules of single frames in several channels: one position, light in each channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...channels import Transform
from ...channels.registered import moved_rows
from ...columns import OPTIONAL
from ...emitters import Localizations
from ...errors import InputError
from ...watch import SILENT, Watcher
from ..background import SplineBackground
from ..joint import JointFit
from ..likelihood import Likelihood
from ..parallel import side_by_side
from ..refine import Bounds
from ..search import MatchedFilter, gain_threshold
from .channel import ChannelModel
from .charts import Charts
from .climb import FittedSites, climb_sites
from .covariance import Landscape, lights_of
from .fit import Improver, improved, misfit_of_channels, rows_of_looks
from .mismatch import Mismatch
from .movie import Movie
from .pruning import CandidateSelection
from .selection import Selection
from .shares import rows_of_channels
from .start import in_order, sites_of_list
from .sums import ChannelSums
from .ties import joinings

__all__ = ["ChannelsFit", "FoundInChannels", "FurtherChannel"]

# Gain of a molecule of the lists as two, in units of the price, from which on it is tried: what the lists of
# single channels have as one is often two that are far from each other, of whose gain a score sees a part.
_DIVIDED = 0.2


@dataclass(frozen=True)
class FurtherChannel:
    """A channel beside the first one.

    single: the fit of its single frames;  transform: from the first channel's µm to its own;
    depth_um: by which molecules seem deeper here;  excess_um: on x, y, z, by which the places of one molecule
    in both channels differ beyond their σ: what transform and PSFs are wrong by.
    """

    single: JointFit
    transform: Transform
    depth_um: float = 0.0
    excess_um: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def in_first(self, found: Localizations) -> Localizations:
        """A list of this channel where the first one has it, without rows that have no place there."""
        xy, far = self.transform.inverse_where(found.xyz[:, :2])
        found, xy = found.select(~far), xy[~far]
        return moved_rows(found, xy, -self.depth_um, torch.linalg.inv(self.transform.jacobian(xy)))


@dataclass(frozen=True)
class FoundInChannels:
    """The list of B frames that C channels show.

    localizations: one row for each molecule and frame, in order of frame (`rows_of_channels`);
    misfit: (B, C) mean deviance of the pixels of each image, 1 if only noise remains;
    together: rows with significant light in all channels;  filled: looks that the lists of single channels did
    not have;  split: rows of several channels that were taken for one molecule and are not by their likelihood;
    removed: rows of the lists that the fit over all channels does not need;  mismatch: of each further channel,
    where molecules were not divided between channels.
    """

    localizations: Localizations
    misfit: Tensor
    together: int
    filled: int
    split: int
    removed: int
    mismatch: tuple[Mismatch, ...] = ()

    @classmethod
    def concat(cls, parts: Sequence[FoundInChannels]) -> FoundInChannels:
        """The lists of single frames, in order, as one of frames 0 … B−1."""
        rows = [part.localizations.shift(frames=number) for number, part in enumerate(parts)]
        pairs = zip(*(part.mismatch for part in parts), strict=True)
        return cls(
            Localizations.concat(rows),
            torch.cat([part.misfit for part in parts]),
            together=sum(part.together for part in parts),
            filled=sum(part.filled for part in parts),
            split=sum(part.split for part in parts),
            removed=sum(part.removed for part in parts),
            mismatch=tuple(sum(each, Mismatch.nothing()) for each in pairs),
        )


@dataclass(frozen=True)
class ChannelsFit:
    """Maximum-likelihood fit of the molecules of each frame in all channels at once.

    A molecule has one position (and one blur) in all channels and its own photons in each; every image has its
    own background. It starts from a list of each channel: rows of different channels that are one molecule for
    their σ (3 σ in three dimensions) begin as one; the likelihood decides which of them are (`ties`), and in
    which channels a molecule of one channel is seen (`looks`). Where the places of molecules agree in all
    channels as their σ say (no `excess_um`), molecules that no channel shows by itself are then looked for in
    all together, and those that they do not need go (`CandidateSelection`).

    first: the fit of single frames of the first channel;  others: further channels;
    false_splits: chance that a molecule is divided into one for each channel;  false_looks: share of the places
    without light that get a look.
    Raises InputError if the depth ranges of the channels have nothing in common.
    """

    first: JointFit
    others: tuple[FurtherChannel, ...]
    false_splits: float = 1e-3
    false_looks: float = 1e-3

    def __post_init__(self) -> None:
        low, high = self.bounds.z_um
        if low >= high:
            told = " and ".join(
                "{:g} to {:g} µm".format(*(z - channel.depth_um for z in channel.single.bounds.z_um))
                for channel in self.channels
            )
            raise InputError(
                f"the channels have no depth in common: in the first one's depths, their models know {told}",
                "check the transform's depth offset, and that both models measure depth from the same plane",
            )

    @property
    def channels(self) -> tuple[FurtherChannel, ...]:
        """All channels, the first one too."""
        return (FurtherChannel(self.first, Transform.identity()), *self.others)

    @property
    def bounds(self) -> Bounds:
        """Range of the unknowns in the first channel that all channels' PSFs are known for."""
        low = max(channel.single.bounds.z_um[0] - channel.depth_um for channel in self.channels)
        high = min(channel.single.bounds.z_um[1] - channel.depth_um for channel in self.channels)
        return replace(self.first.bounds, z_um=(low, high))

    @torch.no_grad()
    def __call__(
        self, lists: Sequence[Localizations], lights: Sequence[Likelihood], watch: Watcher = SILENT
    ) -> FoundInChannels:
        """The molecules of B frames.

        lists: of each channel, rows of frames 0 … B−1 with σ in the channel's own µm;  lights: the likelihood
        of the frames of each channel;  watch: told the frames done; it can end the work (Interrupted).
        Raises InputError for rows without a place in the first channel.
        """
        frames, models = len(lights[0]), self.models(lights)
        placed = [channel.in_first(rows) for channel, rows in zip(self.others, lists[1:], strict=True)]
        found = [_by_image(rows, number) for number, rows in enumerate([lists[0], *placed])]
        together = Localizations.concat([_plain(rows) for rows, _ in found])
        frame = torch.cat([each for _, each in found])
        rows = torch.stack([torch.bincount(each.frame, minlength=frames) for each in lists]).amax(0).tolist()
        prices = self.prices(lights, rows)
        sums = self.sums(lights, None) if self.first.rounds and self._slack is None else None

        def fitted(number: int, watch: Watcher) -> FoundInChannels:
            movie = Movie(models, self.bounds, lights_of([_one(light, number) for light in lights]), watch)
            here = together.select(frame == number)
            return self._of_frame(here, movie, self._selection(prices[number], len(here), sums))

        return FoundInChannels.concat(side_by_side(fitted, frames, watch))

    def _selection(self, price: float, rows: int, sums: ChannelSums | None) -> Improver:
        """Of a frame with so many rows in the lists;  sums: None: nothing is looked for."""
        tying = Selection(price, 1, self.false_splits, self.false_looks, slack=self._slack)
        if sums is None:
            return tying
        # What a channel takes for sure may be a part of what both show.
        likely, dim = torch.zeros(rows), self.first.dim_photons
        return _Both(tying, CandidateSelection(price, dim, self.false_looks, sums, likely, _DIVIDED))

    def _of_frame(self, found: Localizations, movie: Movie, selection: Improver) -> FoundInChannels:
        """The molecules of one frame;  found: rows with the number of their channel as their frame."""
        found, count = in_order(found), len(movie.channels)
        start = sites_of_list(self._wider(found), movie, None, blurs=self.first.fit_blur, dark=count - 2)
        made = improved(movie, start, selection, [channel.single.whole for channel in self.channels])
        sites = made.fitted.sites
        looks = rows_of_looks(made.land, found, self.false_looks)
        rows, _ = rows_of_channels(made.land, looks, made.land)
        return FoundInChannels(
            rows,
            misfit_of_channels(made.land),
            together=int((sites.looks == count).sum()),
            filled=int((sites.origin < 0).sum()),
            split=made.split,
            removed=len(found) - int((sites.origin >= 0).sum()),
        )

    @property
    def _slack(self) -> Tensor | None:
        """Variance (3,) µm² of the distance of one molecule's places in two channels beyond their σ."""
        excess = torch.tensor([channel.excess_um for channel in self.channels], dtype=torch.float64)
        return excess.square().amax(0) if bool(excess.any()) else None

    def _wider(self, found: Localizations) -> Localizations:
        """The rows with σ by which those of one molecule agree in different channels."""
        if self._slack is None:
            return found
        variance = found.sigma_xyz.square() + self._slack.to(found.sigma_xyz) / 2
        return replace(found, sigma_xyz=variance.sqrt())

    def prices(self, lights: Sequence[Likelihood], rows: Sequence[float]) -> list[float]:
        """Penalty for one molecule in frames of this size: the decrease of the deviance that it must bring.

        rows: in a frame, for each price (`gain_threshold`).
        """
        positions = self.first.search(lights[0].frames, self.first.spacing_px).positions
        return [gain_threshold(positions, self.first.false_alarms, each) for each in rows]

    def sums(self, lights: Sequence[Likelihood], shares: Sequence[float] | None) -> ChannelSums:
        """The search for missing molecules in frames of these sizes;  shares: (C,) of the light, if known."""
        low, high = self.first.z_um
        filters = [
            MatchedFilter(
                channel.single.core,
                (low + channel.depth_um, high + channel.depth_um),
                (light.frames.shape[1], light.frames.shape[2]),
                light.frames,
                spacing_px=channel.single.spacing_px,
            )
            for channel, light in zip(self.channels, lights, strict=True)
        ]
        return ChannelSums(filters, [None, *(channel.transform for channel in self.others)], shares)

    def models(self, lights: Sequence[Likelihood]) -> tuple[ChannelModel, ...]:
        """How each channel shows the molecules, for frames of this size."""
        low, high = self.first.bounds.blur_px
        models = []
        for number, (channel, light) in enumerate(zip(self.channels, lights, strict=True)):
            single = channel.single
            surface = SplineBackground(
                (light.frames.shape[1], light.frames.shape[2]), single.spacing_px, light.frames
            )
            model = ChannelModel(single.core, surface, single.spacing_px)
            if number:
                # The ends of one channel's range of blurs are those of the other's.
                least, most = single.bounds.blur_px
                slope = (most - least) / (high - low) if high > low else 0.0
                same = (least, most) == (low, high)
                blur = (0.0, 1.0) if same else (least - slope * low, slope)
                model = replace(model, transform=channel.transform, depth_um=channel.depth_um, blur=blur)
            models.append(model)
        return tuple(models)


@dataclass(frozen=True)
class _Both:
    """Which rows are one molecule, which are missing or needless, and then again which are one."""

    tying: Selection
    searching: CandidateSelection

    def improve(self, charts: Charts, fitted: FittedSites) -> tuple[FittedSites, int]:
        """The fit after both, and how many sites were divided between channels."""
        tied, split = self.tying.improve(charts, fitted)
        found, _ = self.searching.improve(charts, tied)
        return found if found is tied else self._joined(charts, found), split

    def _joined(self, charts: Charts, fitted: FittedSites) -> FittedSites:
        """With one site for what a missing molecule's light had pulled apart in the channels."""
        land, sites = Landscape(charts.movie, fitted.sites, charts), fitted.sites
        pairs = joinings(land, self.tying.false_splits, self.tying.dark)
        if not pairs:
            return fitted
        site, place = sites.site.clone(), sites.place.clone()
        for pair in pairs:
            site[site == pair.gone] = pair.kept
            place[pair.kept] = pair.place
        return climb_sites(charts.movie, sites.assigned(site, place).compact(), charts)


def _by_image(found: Localizations, channel: int) -> tuple[Localizations, Tensor]:
    """Rows with the number of their channel as their frame, and their frames."""
    return replace(found, frame=torch.full_like(found.frame, channel)), found.frame


def _plain(found: Localizations) -> Localizations:
    """The rows without columns that only some lists have."""
    return replace(
        found,
        xyz=found.xyz.float(),
        sigma_xyz=found.sigma_xyz.float(),
        sigma_source="fit",
        **dict.fromkeys(OPTIONAL),
    )


def _one(light: Likelihood, number: int) -> Likelihood:
    return light.select(torch.tensor([number]))
