"""Sums of the matched filter in one frame: at every place and depth, in all channels that show it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...channels import ChannelView, Transform, Warp
from ...field import Field
from ..likelihood import Likelihood
from ..search import MatchedFilter

__all__ = ["ChannelSums", "gains_of"]

_LEAST = 1e-9  # smallest information about the photons of a molecule


class ChannelSums:
    """Correlates the residual of each channel of a frame with its PSF, at the first channel's pixels.

    One more molecule with a photons of which the residual knows a/b lowers the deviance by a²/b
    (`MatchedFilter`). Where its photons are free in every channel, the gains add up: Σ_c a_c²/b_c; with known
    shares s_c of its light the gain is (Σ_c s_c a_c)² / Σ_c s_c² b_c. What a further channel says is taken to
    the first one's pixels by its transform.

    filters: of each channel, at depths that belong together;  transforms: from the first channel's µm to each,
    None: the same;  shares: (C,) of the light, None: free.
    """

    def __init__(
        self,
        filters: Sequence[MatchedFilter],
        transforms: Sequence[Transform | None] = (None,),
        shares: Sequence[float] | None = None,
    ) -> None:
        self._filters, self._transforms = tuple(filters), tuple(transforms)
        self._shares = None if shares is None else torch.tensor(shares)
        self._onto: dict[int, tuple[tuple[Tensor, Warp] | None, ...]] = {}

    @property
    def first(self) -> MatchedFilter:
        """The filter of the first channel."""
        return self._filters[0]

    @property
    def coarse_px(self) -> int:
        """Distance of the pixels of `coarse`, px."""
        return min(search.coarse_px for search in self._filters)

    def fine(
        self, lights: Sequence[Likelihood], images: Sequence[Tensor], scatter: Sequence[float]
    ) -> tuple[Tensor, Tensor]:
        """Sums a and b of one more molecule at every voxel: (K, Z, H, W) each.

        lights, images: likelihood and expected photons (1, H, W) of each channel of the frame;  scatter: by
        which chance changes the deviance of each more than in noise;  K: channels with photons of their own,
        1 where the shares are known.
        """
        return self._sums(lights, images, scatter, 1)

    def coarse(
        self, lights: Sequence[Likelihood], images: Sequence[Tensor], scatter: Sequence[float]
    ) -> tuple[Tensor, Tensor]:
        """The same at every `coarse_px`-th row and column."""
        return self._sums(lights, images, scatter, self.coarse_px)

    def _sums(
        self, lights: Sequence[Likelihood], images: Sequence[Tensor], scatter: Sequence[float], step: int
    ) -> tuple[Tensor, Tensor]:
        pulls, stiffs = list[Tensor](), list[Tensor]()
        parts = zip(lights, images, scatter, self._filters, self._to_first(step), strict=True)
        for light, image, dearer, search, onto in parts:
            share = 1 / dearer
            score, information = share * light.score(image)[0], share * light.information(image)[0]
            filtered = search.coarse_correlations if step > 1 else search.correlations
            pull, stiff = filtered(score, information)
            if onto is not None:
                inside, warp = onto
                pull, stiff = (warp(each) * inside for each in (pull, stiff))
            pulls.append(pull)
            stiffs.append(stiff)
        pull, stiff = torch.stack(pulls), torch.stack(stiffs)
        if self._shares is None:
            return pull, stiff
        part = self._shares.to(pull).view(-1, 1, 1, 1)
        return (part * pull).sum(0, keepdim=True), (part.square() * stiff).sum(0, keepdim=True)

    def _to_first(self, step: int) -> tuple[tuple[Tensor, Warp] | None, ...]:
        """For each channel, where it shows the first one's pixels and how it is taken to them."""
        if step not in self._onto:
            fields = [_every(search, step) for search in self._filters]
            pairs = zip(self._transforms, fields, strict=True)
            self._onto[step] = tuple(_onto(fields[0], transform, field) for transform, field in pairs)
        return self._onto[step]


def gains_of(pull: Tensor, stiff: Tensor) -> tuple[Tensor, Tensor]:
    """Gain (Z, H, W) and photons (K, Z, H, W) of one more molecule from its sums (K, Z, H, W)."""
    pull, stiff = pull.clamp(min=0), stiff.clamp(min=_LEAST)
    photons = pull / stiff
    return (photons * pull).sum(0), photons


def _every(search: MatchedFilter, step: int) -> Field:
    """Every so many pixels of a channel."""
    height, width = search.shape
    return Field(-(-height // step), -(-width // step), step * search.pixel_um)


def _onto(first: Field, transform: Transform | None, field: Field) -> tuple[Tensor, Warp] | None:
    """Where a channel shows the first one's pixels, (H, W) of 0 and 1, and how it is taken to them."""
    if transform is None:
        return None
    view = ChannelView("", transform, 0.0, 1.0, field)
    rows, columns = torch.arange(first.height), torch.arange(first.width)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    here = torch.stack([x, y, torch.zeros_like(x)], dim=2).view(-1, 3).double() * first.pixel_um
    inside = field.inside(view.to_channel(here)).view(*first.size)
    return inside.float(), Warp(view, first)
