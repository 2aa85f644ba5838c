"""A movie of any length: windows of frames one after the other, sites that cross an edge handed on.

The windows stand at frame numbers that are multiples of their length, so the list does not depend on the
blocks in which the frames arrive. A site that shines to the end of a window goes into the next one with its
place and the information about it (what the earlier frames tell of it, as a Gaussian); when it is dark, all
its rows get the last position, which all its frames have formed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...emitters import Localizations
from ...noise import Noise
from ..likelihood import Likelihood
from .fit import SiteFit, SitesOfFrames
from .start import Carried

__all__ = ["WINDOW_FRAMES", "FoundBlock", "SitesOverMovie"]

WINDOW_FRAMES = 30
"""Frames of a window. A molecule shines for few of them, so that few cross an edge."""
# Windows after that of its first look in which a site ends even if it shines on, and begins anew: what is kept
# of a movie stays bounded.
_LONGEST = 10


@dataclass(frozen=True)
class FoundBlock:
    """Consecutive frames of a movie: number of the first one, the list of single frames (absolute frame
    numbers), and the likelihood of the frames."""

    begin: int
    found: Localizations
    likelihood: Likelihood


class SitesOverMovie:
    """Fits molecules over the frames of a movie that arrives in blocks.

    fit: of a window;  window: its length, frames.
    """

    def __init__(self, fit: SiteFit, window: int = WINDOW_FRAMES) -> None:
        self.fit, self.window = fit, window

    def __call__(self, blocks: Iterable[FoundBlock]) -> Iterator[Localizations]:
        """Yield the rows of the molecules in order of frame, each once nothing can change it any more.

        blocks: in order, without gaps between them.  Molecules are numbered through the movie.
        """
        open_sites = _OpenSites(self.window)
        for part in _windows(blocks, self.window):
            begin, frames = part.begin, len(part.likelihood)
            whole = self.fit.after_others(
                part.found.shift(frames=-begin), part.likelihood, open_sites.carried(begin)
            )
            yield open_sites.add(whole, begin, begin + frames - 1 - self.fit.dark)
        yield open_sites.finished()


class _OpenSites:
    """What is kept between windows: the sites that may shine on, and the rows that wait for them."""

    def __init__(self, window: int) -> None:
        self._window, self._next = window, 0
        self._waiting: Localizations | None = None
        # Of the sites that may shine on: number in the movie, first and last frame, place, information.
        self._number = torch.zeros(0, dtype=torch.int64)
        self._first, self._last = self._number, self._number
        self._place, self._covariance = torch.zeros(0, 3).double(), torch.zeros(0, 0).double()

    def carried(self, begin: int) -> Carried | None:
        """The sites that go into the window that begins with this frame."""
        if not len(self._number):
            return None
        information = torch.linalg.inv_ex(self._covariance)[0]
        return Carried(self._place, (information + information.mT) / 2, self._last - begin)

    def add(self, whole: SitesOfFrames, begin: int, open_from: int) -> Localizations:
        """Take in a window, and give the rows that are finished.

        open_from: frame from which on a last look leaves a site open.
        """
        sites, rows = whole.sites, whole.found.localizations.shift(frames=begin)
        before = len(self._number)
        frame = sites.frame + begin
        far = torch.iinfo(torch.int64).max
        first = torch.full((len(sites),), far).scatter_reduce(0, sites.site, frame, "amin")
        last = torch.full((len(sites),), -1).scatter_reduce(0, sites.site, frame, "amax")
        first[:before], last[:before] = self._first, last[:before].maximum(self._last)
        number = torch.empty_like(first)
        number[:before] = self._number
        new = torch.argsort(first[before:], stable=True)
        number[before + new] = torch.arange(self._next, self._next + len(new))
        self._next += len(new)
        rows = replace(rows, molecule=number[sites.site])
        earlier = self._waiting
        if earlier is not None:
            earlier = _moved(earlier, number[:before], sites.place[:before, :3], _sigma(whole)[:before])
            rows = Localizations.concat([earlier, rows])
        still = (last >= open_from) & (first > begin - _LONGEST * self._window)
        self._keep(whole, still, number, first, last)
        ready = rows.frame < (int(first[still].min()) if bool(still.any()) else far)
        self._waiting = rows.select(~ready)
        return rows.select(ready)

    def _keep(self, whole: SitesOfFrames, still: Tensor, number: Tensor, first: Tensor, last: Tensor) -> None:
        each = still.repeat_interleave(whole.sites.each)
        self._number, self._first, self._last = number[still], first[still], last[still]
        self._place, self._covariance = whole.sites.place[still], whole.covariance[each][:, each]

    def finished(self) -> Localizations:
        """The rows that still waited."""
        if self._waiting is not None:
            return self._waiting
        return replace(Localizations.empty(), molecule=self._number, sigma_source="fit")


def _sigma(whole: SitesOfFrames) -> Tensor:
    """σ of x, y and z of each site, (S, 3) µm."""
    return whole.covariance.diagonal().clamp(min=0).sqrt().view_as(whole.sites.place)[:, :3]


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
    """The frames of the blocks in windows that end at multiples of their length."""
    held: list[FoundBlock] = []
    for block in blocks:
        begin, end = block.begin, block.begin + len(block.likelihood)
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
    lights = [part.likelihood for part in parts]
    read = [light.noise.read_variance for light in lights]
    each = [value for value in read if isinstance(value, Tensor) and value.dim() == 3]
    noise = Noise(lights[0].noise.excess, torch.cat(each) if each else read[0])
    weight = None
    if any(light.weight is not None for light in lights):
        weights = [torch.ones_like(one.frames) if one.weight is None else one.weight for one in lights]
        weight = torch.cat(weights)
    whole = Likelihood(torch.cat([light.frames for light in lights]), noise, weight)
    return FoundBlock(parts[0].begin, Localizations.concat([part.found for part in parts]), whole)
