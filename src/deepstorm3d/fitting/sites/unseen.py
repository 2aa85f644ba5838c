"""Molecules that no single frame shows: the matched filter over position and depth, summed over frames.

A molecule that shines evenly through n frames lowers the deviance by n times what it does in one of them, so
one that is too dim for a list of single frames is found in their sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ...maxima import highest_around
from ...watch import Watcher, advance
from ..parallel import side_by_side
from ..refine import Bounds
from ..unexplained import misfit_everywhere
from .arrangements import Arrangement, begins_of_new, near_place
from .movie import Movie
from .state import Sites
from .sums import ChannelSums, gains_of

__all__ = ["RUNS", "Unseen", "UnseenMolecules", "scatter_of_frames"]

Result = TypeVar("Result")
RUNS = (1, 2, 3, 5, 8)
"""Numbers of frames that are summed. A molecule of another number of frames loses little: at most a third."""
_CHANGED = 0.3  # change of a pixel from which on its frame is searched again, in units of its shot noise
# Typical misfit of a frame's squares up to which it counts as explained; 1 is noise alone.
_EXPLAINED = 1.25
# Lateral distance within which only the best candidate of frames that overlap is tried, px and µm: the side
# lobes of a spot are that far from it.
_APART_PX = 6
_APART_UM = 1.0


@dataclass(frozen=True)
class Unseen:
    """A molecule that may shine in some frames.

    xyz: (3,) µm;  photons: (C,) in each frame of each channel, (1,) in all channels where the shares are known;
    gain: decrease of the deviance by it alone;  first, last: frames.
    """

    xyz: Tensor
    photons: Tensor
    gain: float
    first: int
    last: int

    def is_beside(self, sites: Sites) -> bool:
        """Whether a site shines near it in its frames."""
        first, last = self.images(sites)
        lit = sites.seen()[:, first : last + 1].any(1)
        return bool((lit & near_place(sites, self.xyz)).any())

    def images(self, sites: Sites) -> tuple[int, int]:
        """The first and the last one of its images."""
        return self.first * sites.channels, (self.last + 1) * sites.channels - 1

    def arrangement(self, sites: Sites, bounds: Bounds) -> Arrangement:
        """The sites with this molecule;  bounds: of the unknowns."""
        first, last = self.images(sites)
        photons = self.photons.double().repeat(self.last + 1 - self.first)
        lit = photons > 0
        image = torch.arange(first, last + 1)[lit]
        place = begins_of_new(self.xyz[None], sites, bounds)
        nobody = image[:0]
        return Arrangement(
            centre=place[0, :2],
            gone=nobody,
            moved=nobody,
            moved_to=sites.place[:0],
            new=place,
            site=torch.full_like(image, len(sites)),
            image=image,
            photons=photons[lit],
        )


def scatter_of_frames(movie: Movie, images: list[Tensor]) -> Tensor:
    """How many times as much as in noise chance changes the deviance of each frame in each channel, (B·C,).

    1 if it is explained.

    A wrong gain of the camera or a wrong PSF make it larger, some missing molecules do not.
    """

    def of_frame(number: int) -> float:
        return float(misfit_everywhere(movie.lights[number], images[number]))

    misfit = torch.tensor(movie.each_light(of_frame), dtype=torch.float64)
    return torch.where(misfit > _EXPLAINED, misfit, 1.0)


class UnseenMolecules:
    """Searches the frames of a movie again and again, each time only the sums that have changed.

    sums: of the matched filter in a frame;  least: smallest gain of a candidate.
    """

    def __init__(self, sums: ChannelSums, least: float) -> None:
        self._sums, self._least = sums, least
        self._before: list[tuple[Tensor, float]] = []
        self._found: dict[tuple[int, int], list[Unseen]] = {}

    def __call__(self, movie: Movie, images: list[Tensor], scatter: Tensor) -> list[Unseen]:
        """The best candidates, far from each other or in different frames; the best one first.

        images: expected photons of each channel's frames (`images_of`);  scatter: (B·C,) of these
        (`scatter_of_frames`).
        """
        count = len(movie.channels)
        new = [any(each) for each in _in_frames(self._changed(images, scatter), count)]
        frames, longest = len(new), max(RUNS)
        runs = [(last, run) for last in range(frames) for run in RUNS if run <= last + 1]
        runs = [(last, run) for last, run in runs if any(new[last + 1 - run : last + 1])]
        needed = {frame for last, run in runs for frame in range(last + 1 - run, last + 1)}

        def of_frame(number: int) -> tuple[Tensor, Tensor] | None:
            if number not in needed:
                return None
            own = slice(number * count, (number + 1) * count)
            return self._sums.coarse(movie.lights[own], images[own], scatter[own].tolist())

        sums: list[tuple[Tensor, Tensor] | None] = [None] * frames
        # A few frames at a time, with those before them that their sums need.
        for begin in range(0, frames, longest):
            few = range(begin, min(begin + longest, frames))
            sums[: max(0, begin + 1 - longest)] = [None] * max(0, begin + 1 - longest)
            sums[few.start : few.stop] = _side_by_side(of_frame, few, movie.watch)
            found = _side_by_side(lambda last: self._ending_with(sums, last, runs), few, movie.watch)
            for each in found:
                self._found |= each
        return _best([one for key in sorted(self._found) for one in self._found[key]])

    def _changed(self, images: list[Tensor], scatter: Tensor) -> list[bool]:
        """Whether a pixel of each image has changed by more than a share of its noise since it was searched."""
        now = list(zip(images, scatter.tolist(), strict=True))
        if not self._before:
            self._before = now
            return [True] * len(now)
        new = [_differ(one, old) for one, old in zip(now, self._before, strict=True)]
        for number in range(len(now)):
            if new[number]:
                self._before[number] = now[number]
        return new

    def _ending_with(
        self, sums: list[tuple[Tensor, Tensor] | None], last: int, runs: list[tuple[int, int]]
    ) -> dict[tuple[int, int], list[Unseen]]:
        """The candidates of those sums that end with a frame."""
        found: dict[tuple[int, int], list[Unseen]] = {}
        pull = stiff = torch.zeros(())
        wanted = {run for end, run in runs if end == last}
        for run in range(1, max(wanted, default=0) + 1):
            part = sums[last + 1 - run]
            assert part is not None
            pull, stiff = pull + part[0], stiff + part[1]
            if run in wanted:
                found[last, run] = self._peaks(pull, stiff, last, run)
        return found

    def _peaks(self, pull: Tensor, stiff: Tensor, last: int, run: int) -> list[Unseen]:
        """The candidates of the sum of some frames, from the arrays (K, Z, h, w) of the filter."""
        search, coarse_px = self._sums.first, self._sums.coarse_px
        gain, photons = gains_of(pull, stiff)
        best, depth = gain.max(0)
        around = highest_around(best[None], _APART_PX // coarse_px)[0]
        found = []
        for y, x in ((best == around) & (best > self._least)).nonzero().tolist():
            z = int(depth[y, x])
            at = torch.tensor([x, y, z], dtype=torch.float64) + _between(gain, z, y, x)
            pixel, step = search.pixel_um * coarse_px, float(search.z[1] - search.z[0])
            xyz = at * at.new_tensor([pixel, pixel, step])
            xyz[2] += float(search.z[0])
            light = photons[:, z, y, x].clone()
            found.append(Unseen(xyz.float(), light, float(best[y, x]), last - run + 1, last))
        return found


def _in_frames(each: list[bool], channels: int) -> list[list[bool]]:
    """What is said of each channel's frames, frame by frame."""
    return [each[begin : begin + channels] for begin in range(0, len(each), channels)]


def _side_by_side(work: Callable[[int], Result], frames: range, watch: Watcher) -> list[Result]:
    def watched(number: int, own: Watcher) -> Result:
        advance(own)
        return work(frames[number])

    return side_by_side(watched, len(frames), watch)


def _between(gain: Tensor, z: int, y: int, x: int) -> Tensor:
    """Where between the voxels around a peak the gain (Z, h, w) is largest, by parabolas: (3,), x, y, z."""
    offset, at = [], (z, y, x)
    for axis in (2, 1, 0):
        low, high = at[axis] - 1, at[axis] + 1
        if low < 0 or high >= gain.shape[axis]:
            offset.append(0.0)
            continue
        line = [float(gain[tuple(k if a == axis else at[a] for a in range(3))]) for k in (low, at[axis], high)]
        bend = line[0] - 2 * line[1] + line[2]
        offset.append(0.0 if bend >= 0 else min(max((line[0] - line[2]) / (2 * bend), -0.5), 0.5))
    return torch.tensor(offset, dtype=torch.float64)


def _differ(now: tuple[Tensor, float], before: tuple[Tensor, float]) -> bool:
    """Whether an image has changed by more than a share of its noise somewhere, or its scatter has."""
    (image, scatter), (old, earlier) = now, before
    changed = (image - old).square().gt(_CHANGED**2 * old.clamp(min=1)).any()
    return bool(changed) or abs(scatter - earlier) > _CHANGED * earlier


def _best(found: list[Unseen]) -> list[Unseen]:
    """Those without a better one near them in the same frames or the next ones, the best one first."""
    if not found:
        return []
    place = torch.stack([one.xyz[:2] for one in found])
    first, last = torch.tensor([[one.first, one.last] for one in found]).unbind(1)
    left = torch.ones(len(found), dtype=torch.bool)
    kept: list[Unseen] = []
    for number in torch.tensor([one.gain for one in found]).argsort(descending=True, stable=True).tolist():
        if left[number]:
            kept.append(found[number])
            near = (place - place[number]).norm(dim=1) < _APART_UM
            left &= ~(near & (first <= last[number] + 1) & (first[number] <= last + 1))
    return kept
