"""Sites and looks: a molecule's one position, and its light in each image (frame and channel) that shows it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..state import JointState

__all__ = ["Sites"]


@dataclass(frozen=True)
class Sites:
    """Molecules of B consecutive frames in C channels, each at one place, and the images' backgrounds.

    Image f·C + c is frame f in channel c; with one channel images are frames. Where the channels have known
    shares of the light an image is a frame in all of them (`Movie`), and C is 1 here.

    place: (S, q) float64: x, y, z (µm) of each site in the first channel, then its blur (px) if it has one;
    site: (N,) int64, site of each look;  image: (N,) int64 of each look, in increasing order; a site has at
    most one look in an image;  photons: (N,) float64 of each look;  origin: (N,) int64, row of the list that
    the fit started with, −1 for looks found later;  coefficients: of the background surface of each image,
    (k, l) float64, those of several channels one after the other, (1, n);  loose: (N,) bool, looks of molecules
    that were seen to move, which are tied to no others;
    before, knowledge: (S, q) places and (S·q, S·q) information about them from earlier frames; None: nothing;
    last: (S,) int64, frame of the last look of those in them, below 0; None: the frame before the first one;
    channels: C.
    """

    place: Tensor
    site: Tensor
    image: Tensor
    photons: Tensor
    origin: Tensor
    coefficients: tuple[Tensor, ...]
    loose: Tensor
    before: Tensor | None = None
    knowledge: Tensor | None = None
    last: Tensor | None = None
    channels: int = 1

    def __len__(self) -> int:
        return len(self.place)

    @property
    def images(self) -> int:
        """Number of images B·C."""
        return len(self.coefficients)

    @property
    def frame(self) -> Tensor:
        """Frame of each look: (N,) int64."""
        return self.image // self.channels

    @property
    def each(self) -> int:
        """Unknowns of a site."""
        return self.place.shape[1]

    @property
    def blurs(self) -> bool:
        """Whether each site has a blur."""
        return self.each == 4

    @property
    def light(self) -> Tensor:
        """Photons of each site in all of its images, (S,)."""
        return self.photons.new_zeros(len(self)).index_add(0, self.site, self.photons)

    @property
    def looks(self) -> Tensor:
        """Looks of each site: (S,) int64."""
        return torch.bincount(self.site, minlength=len(self))

    def of_image(self, number: int, rows: slice, dtype: torch.dtype) -> JointState:
        """One image as a state of its own, as `ChannelModel.seen` takes it;  rows: its looks."""
        place = self.place[self.site[rows]].to(dtype)
        return JointState(
            xyz=place[:, :3].contiguous(),
            photons=self.photons[rows].to(dtype),
            frame=torch.zeros_like(self.image[rows]),
            coefficients=self.coefficients[number][None].to(dtype),
            blur_px=place[:, 3].contiguous() if self.blurs else None,
        )

    def seen(self) -> Tensor:
        """Whether a site has a look in an image: (S, B·C) bool."""
        seen = torch.zeros(len(self), self.images, dtype=torch.bool, device=self.site.device)
        seen[self.site, self.image] = True
        return seen

    def near_in_time(self, most: int) -> Tensor:
        """Whether a site has a look at most so many frames before or after that of an image: (S, B·C) bool."""
        time = torch.arange(self.images, device=self.site.device) // self.channels
        close = (time[:, None] - time).abs() <= most
        near = self.seen().double() @ close.double() > 0
        # What is known of a site is from a look before the first frame.
        last = torch.full_like(self.looks, -1) if self.last is None else self.last
        return near | (self.known[:, None] & (time - last[:, None] <= most))

    def slices(self) -> list[slice]:
        """The looks of each image."""
        ends = torch.bincount(self.image, minlength=self.images).cumsum(0).tolist()
        return [slice(begin, end) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]

    def penalty(self) -> Tensor:
        """What the places cost by what is known of them from before, in units of the deviance: a number."""
        if self.before is None or self.knowledge is None:
            return self.place.new_zeros(())
        off = (self.place - self.before).flatten()
        return off @ self.knowledge @ off

    @property
    def known(self) -> Tensor:
        """Sites of which something is known from earlier frames: (S,) bool."""
        if self.knowledge is None:
            return torch.zeros(len(self), dtype=torch.bool, device=self.site.device)
        return self.knowledge.diagonal().view_as(self.place).amax(1) > 0

    def with_looks(self, site: Tensor, image: Tensor, photons: Tensor) -> Sites:
        """Add looks (K,) of sites that are there."""
        joined = replace(
            self,
            site=torch.cat([self.site, site]),
            image=torch.cat([self.image, image]),
            photons=torch.cat([self.photons, photons.to(self.photons)]),
            origin=torch.cat([self.origin, torch.full_like(site, -1)]),
            loose=torch.cat([self.loose, torch.zeros_like(site, dtype=torch.bool)]),
        )
        return joined.of_looks(torch.argsort(joined.image, stable=True))

    def assigned(self, site: Tensor, place: Tensor) -> Sites:
        """The same looks with other sites, (N,), at places (S', q), the first S of which are those there were.

        What is known of a site stays with it.
        """
        more = len(place) - len(self)
        changed = replace(self, place=place, site=site)
        if self.before is not None and self.knowledge is not None:
            wider = torch.nn.functional.pad(self.knowledge, (0, more * self.each, 0, more * self.each))
            changed = replace(changed, before=torch.cat([self.before, place[len(self) :]]), knowledge=wider)
        if self.last is not None:
            changed = replace(changed, last=torch.nn.functional.pad(self.last, (0, more), value=-1))
        return changed

    def compact(self) -> Sites:
        """The sites renumbered without those that have no look and of which nothing is known."""
        used = (self.looks > 0) | self.known
        number = used.long().cumsum(0) - 1
        last = None if self.last is None else self.last[used]
        changed = replace(self, place=self.place[used], site=number[self.site], last=last)
        if self.before is None or self.knowledge is None:
            return changed
        rows = used.repeat_interleave(self.each)
        return replace(changed, before=self.before[used], knowledge=self.knowledge[rows][:, rows])

    def of_looks(self, rows: Tensor) -> Sites:
        """Some of the looks, an index (K,); all sites stay."""
        return replace(
            self,
            site=self.site[rows],
            image=self.image[rows],
            photons=self.photons[rows],
            origin=self.origin[rows],
            loose=self.loose[rows],
        )
