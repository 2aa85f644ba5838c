"""A few sites fitted again in the frames in which they shine, with all other light unchanged.

Only the sites near a place are free, in a window around it in each channel; the rest of each image, and the
background where its splines reach out of the window, stay as they are. What a change of looks gains here it
gains in the whole movie; a fit of everything afterwards can only gain more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..likelihood import Likelihood
from ..linear import expected_image
from ..state import JointState
from ..windows import Windows
from .arrangements import Arrangement
from .channel import ChannelModel
from .movie import Movie
from .state import Sites

__all__ = ["FREE_UM", "Neighbourhood", "images_of"]

FREE_UM = 1.5
"""Distance from a place, laterally, within which sites are fitted again, µm."""


def images_of(movie: Movie, sites: Sites) -> list[Tensor]:
    """The expected photons of each frame in each channel, (1, H, W), frame by frame."""
    slices = sites.slices()
    each = movie.each(
        lambda number: movie.expected(number, sites.of_image(number, slices[number], movie.dtype))
    )
    return [image for images in each for image in images]


@dataclass(frozen=True)
class _Windowed(Movie):
    """Windows of images;  corners: (1, 2) px of each channel, column and row of their first pixel."""

    corners: tuple[Tensor, ...]

    def seen(self, number: int, state: JointState) -> list[tuple[ChannelModel, Likelihood, JointState]]:
        first, count = number * self.views, len(self.corners)
        return [
            (channel, light, replace(seen, begin_px=self.corners[(first + k) % count]))
            for k, (channel, light, seen) in enumerate(super().seen(number, state))
        ]


@dataclass(frozen=True)
class _Window:
    """Where a neighbourhood lies in one channel.

    corner: (1, 2) px;  size: (h, w) px;  channel: with the splines of the background that are 0 outside of it;
    down, across: which rows (k, 1) and columns (l,) of the coefficients these are.
    """

    corner: Tensor
    size: tuple[int, int]
    channel: ChannelModel
    down: Tensor
    across: Tensor

    @classmethod
    def around(cls, centre: Tensor, channel: ChannelModel, shape: tuple[int, int]) -> _Window:
        """Around a place (2,) µm of the first channel in frames of a shape (H, W)."""
        psf, pixel_um, (height, width) = channel.psf, channel.psf.pixel_um, shape
        side = psf.patch_px + round(2 * FREE_UM / pixel_um)
        size = (min(height, side), min(width, side))
        there = channel.places(torch.cat([centre, centre.new_zeros(1)])[None])[0, :2]
        corner = (there / pixel_um).round().long() - side // 2
        corner = corner.clamp(min=0).minimum(corner.new_tensor([width - size[1], height - size[0]]))[None]
        surface, (down, across) = channel.surface.in_windows(corner, size)
        return cls(corner, size, replace(channel, surface=surface), down[0, :, None], across[0])


class Neighbourhood:
    """The sites near a place that shine in some frames, free in all their frames and channels.

    movie, sites: the whole;  images: expected photons of its images (`images_of`);  centre: (2,) µm;
    touched: sites that are free wherever they are;  changed: images in which looks change.
    """

    def __init__(
        self, movie: Movie, sites: Sites, images: list[Tensor], centre: Tensor, touched: Tensor, changed: Tensor
    ) -> None:
        each = sites.channels
        seen = sites.seen().view(len(sites), sites.images // each, each).any(2)
        frames = (changed // each).unique()
        free = (sites.place[:, :2] - centre).norm(dim=1) < FREE_UM
        free &= seen[:, frames].any(1)
        free[touched] = True
        self.free = free.nonzero()[:, 0]
        """The sites that are fitted, (K,) int64."""
        lit = seen[self.free].any(0)
        lit[frames] = True
        self.images = (lit.nonzero() * each + torch.arange(each)).flatten()
        """The images in which they are fitted, all channels of some frames, (F·C,) int64."""
        self.rows = free[sites.site].nonzero()[:, 0]
        """Their looks in the whole, (N,) int64."""
        self._movie, self._whole = movie, sites
        self._windows = [
            _Window.around(centre, channel, (image.shape[1], image.shape[2]))
            for channel, image in zip(movie.channels, images, strict=False)
        ]
        self.sites = self._local()
        """The sites as they are: site k is `free[k]`, and the origin of a look is its row in the whole."""
        channels = tuple(window.channel for window in self._windows)
        corners = tuple(window.corner for window in self._windows)
        self.movie = _Windowed(channels, movie.bounds, self._lights(images), movie.watch, corners)
        """Windows of the images, in which all other light is known."""

    def arranged(self, wanted: Arrangement) -> Sites:
        """The sites after a change."""
        sites, count = self.sites, len(self._whole)
        number = torch.full((count + len(wanted.new),), -1, dtype=torch.int64)
        number[self.free] = torch.arange(len(self.free))
        number[count:] = len(self.free) + torch.arange(len(wanted.new))
        place = torch.cat([sites.place, wanted.new])
        place[number[wanted.moved]] = wanted.moved_to
        left = ~torch.isin(sites.origin, wanted.gone)
        photons = torch.where(torch.isin(sites.origin, wanted.halved), sites.photons / 2, sites.photons)
        image = torch.searchsorted(self.images, wanted.image)
        changed = replace(sites, photons=photons).assigned(sites.site, place)
        return changed.of_looks(left.nonzero()[:, 0]).with_looks(number[wanted.site], image, wanted.photons)

    def as_listed(self, sites: Sites) -> Sites:
        """Sites of the neighbourhood whose looks have the origin that they have in the whole."""
        old, origin = sites.origin >= 0, sites.origin.clone()
        origin[old] = self._whole.origin[origin[old]]
        return replace(sites, origin=origin)

    def add_background(self, coefficients: list[Tensor], fitted: tuple[Tensor, ...]) -> None:
        """Add to the coefficients of all images, in place, what those of the windows changed by."""
        for number, before, after in zip(self.images.tolist(), self.sites.coefficients, fitted, strict=True):
            changed = coefficients[number].clone()
            parts = self._movie.by_channel(changed[None])
            more = self.movie.by_channel((after - before)[None])
            # The parts are views of the image's coefficients.
            for window, part, change in zip(self._windows_of(number), parts, more, strict=True):
                part[0, window.down, window.across] += change[0]
            coefficients[number] = changed

    def _windows_of(self, image: int) -> list[_Window]:
        """The windows of each of an image's channels."""
        return self._windows if self._movie.shared else [self._windows[image % len(self._windows)]]

    def _inner(self, image: int) -> Tensor:
        """The coefficients of an image whose splines are 0 outside of its windows."""
        parts = self._movie.by_channel(self._whole.coefficients[image][None])
        inner = [
            part[0, window.down, window.across]
            for window, part in zip(self._windows_of(image), parts, strict=True)
        ]
        return inner[0] if len(inner) == 1 else torch.cat([each.flatten() for each in inner])[None]

    def _local(self) -> Sites:
        whole, rows = self._whole, self.rows
        number = torch.full((len(whole),), -1, dtype=torch.int64)
        number[self.free] = torch.arange(len(self.free))
        before, knowledge = self._known()
        return Sites(
            place=whole.place[self.free],
            site=number[whole.site[rows]],
            image=torch.searchsorted(self.images, whole.image[rows]),
            photons=whole.photons[rows],
            origin=rows,
            coefficients=tuple(self._inner(image) for image in self.images.tolist()),
            loose=whole.loose[rows],
            before=before,
            knowledge=knowledge,
            last=None if whole.last is None else whole.last[self.free],
            channels=whole.channels,
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

    def _lights(self, images: list[Tensor]) -> tuple[Likelihood, ...]:
        """The likelihood of each window, with all light but that of its sites known."""
        movie, slices, first = self._movie, self.sites.slices(), torch.zeros(1, dtype=torch.int64)
        channels, lights = tuple(window.channel for window in self._windows), list[Likelihood]()
        windowed = replace(movie, channels=channels)
        for local, number in enumerate(self.images.tolist()):
            state = self.sites.of_image(local, slices[local], movie.dtype)
            seen = windowed.seen(number, state)
            begin = number * movie.views
            for k, (window, (channel, light, own)) in enumerate(
                zip(self._windows_of(number), seen, strict=True)
            ):
                there = replace(own, begin_px=window.corner)
                mine = expected_image(channel.psf, there, channel.surface, (1, *window.size))
                whole = Windows.at(window.corner, first, window.size, light, images[begin + k])
                lights.append(whole.without(mine).likelihood)
        return tuple(lights)
