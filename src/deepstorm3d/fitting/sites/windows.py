"""A movie of any length: windows of frames one after the other, sites that cross an edge handed on.

The windows stand at frame numbers that are multiples of their length, so the list does not depend on the
blocks in which the frames arrive. A site that shines to the end of a window goes into the next one with its
place and the information about it (what the earlier frames tell of it, as a Gaussian); when it is dark, all
its rows get the last position, which all its frames have formed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...emitters import Localizations
from ...field import Field
from ...noise import Noise
from ...watch import SILENT, Part, Watcher
from ..likelihood import Likelihood
from .channel import LightsOfChannels
from .joined import FittedWindow
from .kept import KeptSites, in_blocks
from .tiles import WindowFit, fit_window

__all__ = ["WINDOW_FRAMES", "FoundBlock", "SitesOverMovie", "Step", "rows_left"]

WINDOW_FRAMES = 30
"""Frames of a window. A molecule shines for few of them, so that few cross an edge."""
# Windows after that of its first look in which a site ends even if it shines on, and begins anew: what is kept
# of a movie stays bounded.
_LONGEST = 10


@dataclass(frozen=True)
class FoundBlock:
    """Consecutive frames of a movie: number of the first one, the list of single frames (absolute frame
    numbers), and the likelihood of the frames, of one channel or of several."""

    begin: int
    found: Localizations
    likelihood: Likelihood | LightsOfChannels

    @property
    def end(self) -> int:
        """The frame after the last one."""
        return self.begin + len(self.likelihood)


@dataclass(frozen=True)
class Step:
    """A window that is done.

    end: the frame after its last one;  rows: those that nothing can change any more, in order of frame;
    kept: what the next window takes over.
    """

    end: int
    rows: Localizations
    kept: KeptSites

    @property
    def frames_done(self) -> int:
        """All rows of the frames before this one are given."""
        return self.end if not len(self.kept) else min(self.end, int(self.kept.first.min()))


class SitesOverMovie:
    """Fits molecules over the frames of a movie that arrives in blocks.

    fit: of a window, for frames of any size;  window: its length, frames;  field: what the frames show, which
    is cut into tiles where it has too many molecules; None: it is not.
    """

    def __init__(self, fit: WindowFit, window: int = WINDOW_FRAMES, field: Field | None = None) -> None:
        self.fit, self.window, self.field = fit, window, field

    def __call__(self, blocks: Iterable[FoundBlock]) -> Iterator[Localizations]:
        """Yield the rows of the molecules in order of frame, each once nothing can change it any more.

        blocks: in order.  Molecules are numbered through the movie.
        """
        kept = KeptSites.nothing()
        for step in self.steps(blocks, kept):
            kept = step.kept
            yield step.rows
        yield rows_left(kept)

    def steps(self, blocks: Iterable[FoundBlock], kept: KeptSites, watch: Watcher = SILENT) -> Iterator[Step]:
        """The same window by window, so that the work can be interrupted.

        blocks: in order; a molecule that shines on both sides of more than `dark` missing frames is two;
        kept: of the step before them (`KeptSites.nothing` at first). The rows that still wait after the last
        step: `rows_left`;  watch: told the frame up to which a window that is cut into tiles is done.
        """
        for part in _windows(blocks, self.window):
            kept = kept.seen_from(part.begin - 1 - self.fit.dark)
            found = part.found.shift(frames=-part.begin)
            tiles = Part(watch, part.begin, part.end - part.begin, part.end)
            whole = fit_window(self.fit, found, part.likelihood, kept, part.begin, self.field, tiles)
            rows, kept = self._taken(whole, kept, part)
            yield Step(part.end, rows, kept)

    def _taken(self, whole: FittedWindow, kept: KeptSites, part: FoundBlock) -> tuple[Localizations, KeptSites]:
        """The rows that are finished with a window, and what the next one takes over."""
        rows, before = whole.rows.shift(frames=part.begin), len(kept)
        far = torch.iinfo(torch.int64).max
        first = torch.full((len(whole),), far).scatter_reduce(0, whole.site, rows.frame, "amin")
        last = torch.full((len(whole),), -1).scatter_reduce(0, whole.site, rows.frame, "amax")
        first[:before], last[:before] = kept.first, last[:before].maximum(kept.last)
        number = torch.empty_like(first)
        number[:before] = kept.number
        new = torch.argsort(first[before:], stable=True)
        number[before + new] = torch.arange(kept.next_number, kept.next_number + len(new))
        rows = replace(rows, molecule=number[whole.site])
        if kept.waiting is not None:
            sigma = whole.sigma[:before]
            earlier = _moved(kept.waiting, number[:before], whole.place[:before, :3], sigma)
            rows = Localizations.concat([earlier, rows])
        rows = replace(rows, sigma_xyz=self.fit.bounds.stated(rows.xyz, rows.sigma_xyz))
        still = (last >= part.end - 1 - self.fit.dark) & (first > part.begin - _LONGEST * self.window)
        ready = rows.frame < (int(first[still].min()) if bool(still.any()) else far)
        sites = still.nonzero()[:, 0]
        block, within, covariances = _still_in(whole, still)
        left = KeptSites(
            number=number[sites],
            first=first[sites],
            last=last[sites],
            place=whole.place[sites],
            block=block[sites],
            within=within[sites],
            covariances=covariances,
            next_number=kept.next_number + len(new),
            waiting=rows.select(~ready),
        )
        return rows.select(ready), left


def rows_left(kept: KeptSites) -> Localizations:
    """The rows that still waited when the movie ended."""
    if kept.waiting is not None:
        return kept.waiting
    return replace(Localizations.empty(), molecule=kept.number, sigma_source="fit")


def _still_in(whole: FittedWindow, still: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Block of each site, (S,), its place in the block, (S,), and the covariances of the sites `still`."""
    each = whole.place.shape[1]
    block, within = torch.zeros(len(whole), dtype=torch.int64), torch.zeros(len(whole), dtype=torch.int64)
    covariances: list[Tensor] = []
    for sites, covariance in whole.blocks:
        inside = still[sites].nonzero()[:, 0]
        if len(inside):
            block[sites[inside]], within[sites[inside]] = len(covariances), torch.arange(len(inside))
            covariances.append(in_blocks(covariance, inside, each))
    return block, within, tuple(covariances)


def _moved(rows: Localizations, number: Tensor, place: Tensor, sigma: Tensor) -> Localizations:
    """Rows of molecules `number` (K,) at their new places (K, 3) with new σ."""
    assert rows.molecule is not None
    order = torch.argsort(number)
    where = torch.searchsorted(number[order], rows.molecule).clamp(max=max(len(number) - 1, 0))
    index = order[where] if len(number) else where
    known = number[index] == rows.molecule if len(number) else torch.zeros_like(rows.molecule, dtype=torch.bool)
    xyz, old = rows.xyz.clone(), rows.sigma_xyz.clone()
    xyz[known] = place[index[known]].to(xyz)
    old[known] = sigma[index[known]].to(old)
    return replace(rows, xyz=xyz, sigma_xyz=old)


def _windows(blocks: Iterable[FoundBlock], length: int) -> Iterator[FoundBlock]:
    """The frames of the blocks in windows: these end at multiples of their length and before missing frames."""
    held: list[FoundBlock] = []
    for block in blocks:
        begin, end = block.begin, block.end
        if held and held[-1].end != begin:
            yield _joined(held)
            held = []
        while begin < end:
            edge = min((begin // length + 1) * length, end)
            held.append(_cut(block, begin, edge))
            if edge % length == 0:
                yield _joined(held)
                held = []
            begin = edge
    if held:
        yield _joined(held)


def _cut(block: FoundBlock, begin: int, end: int) -> FoundBlock:
    """The frames begin … end − 1 of a block."""
    rows = (block.found.frame >= begin) & (block.found.frame < end)
    frames = torch.arange(begin - block.begin, end - block.begin)
    return FoundBlock(begin, block.found.select(rows), block.likelihood.select(frames))


def _joined(parts: list[FoundBlock]) -> FoundBlock:
    """Consecutive frames as one block."""
    found, lights = Localizations.concat([part.found for part in parts]), [part.likelihood for part in parts]
    channels = [each.channels if isinstance(each, LightsOfChannels) else (each,) for each in lights]
    whole = tuple(_as_one(each) for each in zip(*channels, strict=True))
    return FoundBlock(
        parts[0].begin, found, LightsOfChannels(whole) if isinstance(lights[0], LightsOfChannels) else whole[0]
    )


def _as_one(lights: Sequence[Likelihood]) -> Likelihood:
    """The likelihood of consecutive frames of one channel."""
    read = [light.noise.read_variance for light in lights]
    each = [value for value in read if isinstance(value, Tensor) and value.dim() == 3]
    noise = Noise(lights[0].noise.excess, torch.cat(each) if each else read[0])
    weight = None
    if any(light.weight is not None for light in lights):
        weights = [torch.ones_like(one.frames) if one.weight is None else one.weight for one in lights]
        weight = torch.cat(weights)
    known = None
    if any(light.known is not None for light in lights):
        known = torch.cat([torch.zeros_like(one.frames) if one.known is None else one.known for one in lights])
    return Likelihood(torch.cat([light.frames for light in lights]), noise, weight, known)
