"""Molecules that no single frame shows: the matched filter over position and depth, summed over frames.

A molecule that shines evenly through n frames lowers the deviance by n times what it does in one of them, so
one that is too dim for a list of single frames is found in their sum.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from ...maxima import highest_around
from ..search import MatchedFilter
from ..unexplained import misfit_everywhere
from .arrangements import Arrangement, near_place
from .frames import Movie
from .state import Sites

__all__ = ["RUNS", "Unseen", "scatter_of_frames", "unseen_molecules"]

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

    xyz: (3,) µm;  photons: in each frame;  gain: decrease of the deviance by it alone;  first, last: frames.
    """

    xyz: Tensor
    photons: float
    gain: float
    first: int
    last: int

    def is_beside(self, sites: Sites) -> bool:
        """Whether a site shines near it in its frames."""
        lit = sites.seen()[:, self.first : self.last + 1].any(1)
        return bool((lit & near_place(sites, self.xyz)).any())

    def arrangement(self, sites: Sites) -> Arrangement:
        """The sites with this molecule."""
        frame = torch.arange(self.first, self.last + 1)
        place = self.xyz.to(sites.place)
        if sites.each == 4:
            blur = sites.place[:, 3:].mean(0) if len(sites) else sites.place.new_ones(1)
            place = torch.cat([place, blur])
        nobody = frame[:0]
        return Arrangement(
            centre=place[:2],
            gone=nobody,
            moved=nobody,
            moved_to=sites.place[:0],
            new=place[None],
            site=torch.full_like(frame, len(sites)),
            frame=frame,
            photons=torch.full((len(frame),), self.photons, dtype=torch.float64),
        )


def scatter_of_frames(movie: Movie, images: list[Tensor]) -> Tensor:
    """How many times as much as in noise chance changes the deviance of each frame, (B,): 1 if it is explained.

    A wrong gain of the camera or a wrong PSF make it larger, some missing molecules do not.
    """

    def of_frame(number: int) -> float:
        return float(misfit_everywhere(movie.lights[number], images[number]))

    misfit = torch.tensor(movie.each(of_frame), dtype=torch.float64)
    return torch.where(misfit > _EXPLAINED, misfit, 1.0)


def unseen_molecules(
    movie: Movie,
    images: list[Tensor],
    scatter: Tensor,
    search: MatchedFilter,
    least: float,
    before: list[Tensor] | None = None,
) -> list[Unseen]:
    """The best candidates, far from each other or in different frames; the best one first.

    images: expected photons of each frame (`images_of`);  scatter: (B,) of the frames (`scatter_of_frames`);
    least: smallest gain of a candidate;  before: images of an earlier search, where only runs with a frame that
    has changed since are searched.
    """
    new = _changed(images, before)
    runs = [(last, run) for last in range(len(images)) for run in RUNS if any(new[last + 1 - run : last + 1])]
    runs = [(last, run) for last, run in runs if run <= last + 1]
    needed = {frame for last, run in runs for frame in range(last + 1 - run, last + 1)}
    latest = deque[tuple[Tensor, Tensor] | None](maxlen=max(RUNS))
    found: list[Unseen] = []
    for number, (light, image) in enumerate(zip(movie.lights, images, strict=True)):
        latest.appendleft(None)
        if number not in needed:
            continue
        share = 1 / float(scatter[number])
        now = search.correlations(share * light.score(image)[0], share * light.information(image)[0])
        latest[0] = now
        pull, stiff = (torch.zeros_like(part) for part in now)
        for run, part in enumerate(latest, 1):
            if part is None:
                break
            pull, stiff = pull + part[0], stiff + part[1]
            if (number, run) in runs:
                found += _peaks(search, pull, stiff, least, number, run)
    return _best(found)


def _changed(images: list[Tensor], before: list[Tensor] | None) -> list[bool]:
    """Whether a pixel of each frame has changed by more than a share of its noise."""
    if before is None:
        return [True] * len(images)
    pairs = zip(images, before, strict=True)
    return [bool((now - old).square().gt(_CHANGED**2 * old.clamp(min=1)).any()) for now, old in pairs]


def _peaks(
    search: MatchedFilter, pull: Tensor, stiff: Tensor, least: float, last: int, run: int
) -> list[Unseen]:
    """The candidates of the sum of some frames, from the arrays (Z, H, W) of the filter."""
    photons = pull.clamp(min=0) / stiff
    best, depth = (photons * pull).max(0)
    peak = ((best == highest_around(best[None], _APART_PX)[0]) & (best > least)).nonzero()
    found = []
    for y, x in peak.tolist():
        z = int(depth[y, x])
        xyz = torch.tensor([x * search.pixel_um, y * search.pixel_um, float(search.z[z])])
        found.append(Unseen(xyz, float(photons[z, y, x]), float(best[y, x]), last - run + 1, last))
    return found


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
