"""A few sites fitted again in the frames in which they shine, with all other light unchanged.

Only the sites near a place are free, in a window around it; the rest of each frame, and the background where
its splines reach out of the window, stay as they are. What a change of looks gains here it gains in the whole
movie; a fit of everything afterwards can only gain more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..background import SplineBackground
from ..likelihood import Likelihood
from ..linear import expected_image
from ..state import JointState
from ..windows import Windows
from .arrangements import Arrangement
from .frames import FrameTerms, Movie
from .state import Sites

__all__ = ["FREE_UM", "Neighbourhood", "images_of"]

FREE_UM = 1.5
"""Distance from a place, laterally, within which sites are fitted again, µm."""


def images_of(movie: Movie, sites: Sites) -> list[Tensor]:
    """The expected photons of each frame, (1, H, W)."""
    slices = sites.slices()

    def of_frame(number: int) -> Tensor:
        state = sites.of_image(number, slices[number], movie.dtype)
        channel, shape = movie.channel(number), tuple(movie.lights[number].frames.shape)
        return expected_image(channel.psf, channel.seen(state), channel.surface, shape)

    return movie.each(of_frame)


@dataclass(frozen=True)
class _Windowed(Movie):
    """Windows of frames;  corner: (1, 2) px, column and row of their first pixel."""

    corner: Tensor

    def terms(self, number: int, state: JointState, *, double: bool = False) -> FrameTerms:
        return super().terms(number, replace(state, begin_px=self.corner), double=double)

    def deviance(self, number: int, state: JointState) -> float:
        return super().deviance(number, replace(state, begin_px=self.corner))


class Neighbourhood:
    """The sites near a place that shine in some frames, free in all their frames.

    movie, sites: the whole, of one channel;  images: expected photons of its frames (`images_of`);
    centre: (2,) µm;  touched: sites that are free wherever they are;  frames: those in which looks change.
    """

    def __init__(
        self, movie: Movie, sites: Sites, images: list[Tensor], centre: Tensor, touched: Tensor, frames: Tensor
    ) -> None:
        seen = sites.seen()
        free = (sites.place[:, :2] - centre).norm(dim=1) < FREE_UM
        free &= seen[:, frames].any(1)
        free[touched] = True
        self.free = free.nonzero()[:, 0]
        """The sites that are fitted, (K,) int64."""
        lit = seen[self.free].any(0)
        lit[frames] = True
        self.frames = lit.nonzero()[:, 0]
        """The frames in which they are fitted, (F,) int64."""
        self.rows = free[sites.site].nonzero()[:, 0]
        """Their looks in the whole, (N,) int64."""
        self._movie, self._whole = movie, sites
        channel = movie.channels[0]
        psf, pixel_um = channel.psf, channel.psf.pixel_um
        height, width = images[0].shape[1:]
        side = psf.patch_px + round(2 * FREE_UM / pixel_um)
        size = (min(height, side), min(width, side))
        corner = (centre / pixel_um).round().long() - side // 2
        corner = corner.clamp(min=0).minimum(corner.new_tensor([width - size[1], height - size[0]]))
        surface, (down, across) = channel.surface.in_windows(corner[None], size)
        self._splines = down[0, :, None], across[0]
        self.sites = self._local()
        """The sites as they are: site k is `free[k]`, and the origin of a look is its row in the whole."""
        lights = self._lights(images, corner[None], size, surface)
        window = replace(channel, surface=surface)
        self.movie = _Windowed((window,), movie.bounds, lights, movie.watch, corner[None])
        """Windows of the frames, in which all other light is known."""

    def arranged(self, wanted: Arrangement) -> Sites:
        """The sites after a change."""
        sites, count = self.sites, len(self._whole)
        number = torch.full((count + len(wanted.new),), -1, dtype=torch.int64)
        number[self.free] = torch.arange(len(self.free))
        number[count:] = len(self.free) + torch.arange(len(wanted.new))
        place = torch.cat([sites.place, wanted.new])
        place[number[wanted.moved]] = wanted.moved_to
        left = ~torch.isin(sites.origin, wanted.gone)
        frame = torch.searchsorted(self.frames, wanted.frame)
        changed = sites.assigned(sites.site, place).of_looks(left.nonzero()[:, 0])
        return changed.with_looks(number[wanted.site], frame, wanted.photons)

    def add_background(self, coefficients: list[Tensor], fitted: tuple[Tensor, ...]) -> None:
        """Add to the coefficients of all frames, in place, what those of the windows changed by."""
        down, across = self._splines
        for number, before, after in zip(self.frames.tolist(), self.sites.coefficients, fitted, strict=True):
            changed = coefficients[number].clone()
            changed[down, across] += after - before
            coefficients[number] = changed

    def _local(self) -> Sites:
        whole, rows = self._whole, self.rows
        number = torch.full((len(whole),), -1, dtype=torch.int64)
        number[self.free] = torch.arange(len(self.free))
        down, across = self._splines
        coefficients = tuple(whole.coefficients[k][down, across] for k in self.frames.tolist())
        before, knowledge = self._known()
        return Sites(
            place=whole.place[self.free],
            site=number[whole.site[rows]],
            image=torch.searchsorted(self.frames, whole.image[rows]),
            photons=whole.photons[rows],
            origin=rows,
            coefficients=coefficients,
            loose=whole.loose[rows],
            before=before,
            knowledge=knowledge,
        )

    def _known(self) -> tuple[Tensor | None, Tensor | None]:
        """What is known of the free sites if all others stay where they are."""
        whole = self._whole
        if whole.before is None or whole.knowledge is None or not bool(whole.known[self.free].any()):
            return None, None
        index = (self.free[:, None] * whole.each + torch.arange(whole.each)).flatten()
        inner = whole.knowledge[index[:, None], index]
        pull = (whole.knowledge[index] @ (whole.before - whole.place).flatten()).view(-1, 1)
        step = torch.linalg.lstsq(inner, pull, driver="gelsd").solution.view(-1, whole.each)
        return whole.place[self.free] + step, inner

    def _lights(
        self, images: list[Tensor], corner: Tensor, size: tuple[int, int], surface: SplineBackground
    ) -> tuple[Likelihood, ...]:
        """The likelihood of each window, with all light but that of its sites known."""
        movie, slices = self._movie, self.sites.slices()
        lights = []
        for local, number in enumerate(self.frames.tolist()):
            state = replace(self.sites.of_image(local, slices[local], movie.dtype), begin_px=corner)
            own = expected_image(movie.channels[0].psf, state, surface, (1, *size))
            light, first = movie.lights[number], torch.zeros(1, dtype=torch.int64)
            lights.append(Windows.at(corner, first, size, light, images[number]).without(own).likelihood)
        return tuple(lights)
