"""Frames in one or several channels, and the likelihood of their images around a state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from ...watch import Watcher, advance
from ..compiled import frame_matrix
from ..likelihood import Likelihood
from ..linear import LinearImage, expected_image
from ..matrices import Order, fisher_matrices
from ..parallel import side_by_side
from ..refine import Bounds
from ..state import JointState
from .channel import ChannelModel
from .frames import FrameTerms, View

__all__ = ["Movie"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Movie:
    """B consecutive frames in C channels and what they are fitted with.

    Image f·C + c is frame f in channel c; if the light is shared, image f is frame f in all channels.
    channels: how each shows the molecules;  bounds: of the unknowns;  lights: the likelihood of frame f in
    channel c at f·C + c;  watch: is asked whether to stop, and told the number of images done.
    """

    channels: tuple[ChannelModel, ...]
    bounds: Bounds
    lights: tuple[Likelihood, ...]
    watch: Watcher

    @property
    def shared(self) -> bool:
        """Whether all channels have known shares of the light."""
        return all(channel.share is not None for channel in self.channels)

    @property
    def views(self) -> int:
        """Channels of an image: C if the light is shared, else 1."""
        return len(self.channels) if self.shared else 1

    def __len__(self) -> int:
        """Number of images."""
        return len(self.lights) // self.views

    def each(self, work: Callable[[int], Result]) -> list[Result]:
        """Results of work(image) for all images, side by side in threads; they do not depend on the threads."""
        return self._side_by_side(work, len(self))

    def each_light(self, work: Callable[[int], Result]) -> list[Result]:
        """The same of work(number) for each of `lights`."""
        return self._side_by_side(work, len(self.lights))

    def _side_by_side(self, work: Callable[[int], Result], count: int) -> list[Result]:
        def watched(number: int, watch: Watcher) -> Result:
            advance(watch)
            return work(number)

        return side_by_side(watched, count, self.watch)

    def by_channel(self, coefficients: Tensor) -> list[Tensor]:
        """The coefficients of images (K, …) in each of an image's channels, (K, k, l) each."""
        if not self.shared:
            return [coefficients]
        shapes = [channel.surface.shape for channel in self.channels]
        parts = coefficients.flatten(1).split([down * across for down, across in shapes], 1)
        return [part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]

    def seen(self, number: int, state: JointState) -> list[tuple[ChannelModel, Likelihood, JointState]]:
        """Each channel of an image, its pixels, and what it sees of a state of the image alone."""
        first, count = number * self.views, len(self.channels)
        return [
            (
                self.channels[(first + k) % count],
                self.lights[first + k],
                self.channels[(first + k) % count].seen(replace(state, coefficients=part)),
            )
            for k, part in enumerate(self.by_channel(state.coefficients))
        ]

    def terms(self, number: int, state: JointState, *, double: bool = False) -> FrameTerms:
        """An image around a state of its frame alone, with the places in the first channel.

        double: sums in double precision, for bounds; single is enough for a step.
        """
        # A look without photons whose gradient points below 0 is held there.
        dim = state.photons <= self.bounds.photons
        parts = [_of_view(view, state, dim, double=double) for view in self.seen(number, state)]
        return _in_common(parts, dim) if self.shared else parts[0]

    def expected(self, number: int, state: JointState) -> list[Tensor]:
        """The expected photons (1, H, W) of each channel of an image."""
        return [
            expected_image(channel.psf, seen, channel.surface, tuple(light.frames.shape))
            for channel, light, seen in self.seen(number, state)
        ]

    def deviance(self, number: int, state: JointState) -> float:
        """Deviance of an image for a state of its frame alone, with the places in the first channel."""
        views = zip(self.seen(number, state), self.expected(number, state), strict=True)
        return sum(float(light.deviance(image)) for (_, light, _), image in views)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the frames."""
        return self.lights[0].frames.dtype


def _of_view(
    view: tuple[ChannelModel, Likelihood, JointState], state: JointState, dim: Tensor, *, double: bool
) -> FrameTerms:
    """One channel of an image.

    view: as of `Movie.seen`;  state: of the first channel;  dim: (n,) bool, looks at the lowest light.
    """
    channel, light, seen = view
    image = LinearImage(channel.psf, seen, channel.surface, tuple(light.frames.shape))
    deviance, score, information = light.expansion(image.image)
    pull = image.pull(score)
    held = torch.zeros_like(pull.molecules, dtype=torch.bool)
    if channel.share is None:
        held[:, 3] = dim & (pull.molecules[:, 3] < 0)
    image.hold(held)
    unknowns = pull.molecules.masked_fill(held, 0)
    gradient = torch.cat([unknowns.flatten(), pull.background.flatten()]).double()
    if image.is_compiled:
        matrix = frame_matrix(image, information, double=double)
    else:
        order = Order.of(seen.frame, held.shape[1], seen.coefficients)
        matrix = fisher_matrices(image, information, order)[0]
    order, places = _places_first(len(state), held.shape[1], len(gradient))
    order = order.to(gradient.device)
    matrix, gradient = matrix.double()[order[:, None], order], gradient[order]
    slopes = channel.slopes(state.xyz, held.shape[1] - 1)
    if slopes is not None:
        gradient, matrix = _by_first(gradient, matrix, slopes)
    if channel.share is not None:
        scale = torch.ones_like(gradient)
        scale[places : places + len(state)] = channel.share
        gradient, matrix = scale * gradient, matrix * scale[:, None] * scale
    shown = View(channel, light, image, float(deviance), score, information)
    return FrameTerms(shown.deviance, gradient, matrix, places, (shown,))


def _by_first(gradient: Tensor, matrix: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient (m,) and matrix (m, m) of a channel's own places, by the places in the first channel.

    slopes: (n, q, q) derivatives of the former by the latter.
    """
    number, each = slopes.shape[:2]
    p = number * each
    pull = (slopes.mT @ gradient[:p].view(number, each, 1)).flatten()
    rows = (slopes.mT @ matrix[:p].view(number, each, len(matrix))).view(p, len(matrix))
    whole = torch.cat([rows, matrix[p:]])
    columns = torch.einsum("mni,nij->mnj", whole[:, :p].reshape(len(whole), number, each), slopes)
    return torch.cat([pull, gradient[p:]]), torch.cat([columns.reshape(len(whole), p), whole[:, p:]], 1)


def _places_first(number: int, unknowns: int, size: int) -> tuple[Tensor, int]:
    """Order of the unknowns with the places before the photons, (m,), and how many are of places."""
    every = torch.arange(number * unknowns).view(number, unknowns)
    background = torch.arange(number * unknowns, size)
    places = torch.cat([every[:, :3], every[:, 4:]], 1).flatten()
    return torch.cat([places, every[:, 3], background]), len(places)


def _in_common(parts: list[FrameTerms], dim: Tensor) -> FrameTerms:
    """An image of several channels, which have places and photons in common.

    dim: (n,) bool, looks at the lowest light, which are held there where the gradient points below it.
    """
    places = parts[0].places
    common = places + len(dim)
    sizes = [len(part.gradient) - common for part in parts]
    size, begin = common + sum(sizes), common
    gradient = parts[0].gradient.new_zeros(size)
    matrix = parts[0].matrix.new_zeros(size, size)
    for part, more in zip(parts, sizes, strict=True):
        index = torch.cat([torch.arange(common), torch.arange(begin, begin + more)]).to(gradient.device)
        gradient[index] += part.gradient
        matrix[index[:, None], index] += part.matrix
        begin += more
    held = places + (dim & (gradient[places:common] < 0)).nonzero()[:, 0]
    gradient[held], matrix[held], matrix[:, held] = 0.0, 0.0, 0.0
    deviance, views = sum(part.deviance for part in parts), tuple(part.views[0] for part in parts)
    return FrameTerms(deviance, gradient, matrix, places, views)
