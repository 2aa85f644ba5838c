"""A trained network as a localizer: photons in, positions out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..emitters import Localizations
from .neighbours import alone
from .network import ProposalNetwork

__all__ = ["NetworkLocalizer", "stabilise"]


def stabilise(photons: Tensor) -> Tensor:
    """Anscombe transform 2·sqrt(photons + 3/8): Poisson noise gets about unit variance (Anscombe 1948)."""
    return 2 * (photons + 0.375).clamp(min=0).sqrt()


class NetworkLocalizer(nn.Module):
    """Normalisation, network and threshold.

    The normalisation is fixed: it is measured once on simulated frames and stored with the model. A frame and
    a crop or tile of it therefore give the same result.

    network: finds the candidates;  context: number of frames before and after that it sees;  channels: that it
    sees;  offset, scale: mean and standard deviation of the stabilised frames (of each channel);
    threshold: smallest probability reported, 0 to 1.

    A network with C channels sees C·(2 context + 1) images for each frame, (B, images, H, W) as
    `with_neighbours` returns them. Frames that are given without neighbours, (B, H, W) or (B, C, H, W), are
    taken as the only ones of their movies.
    """

    offset: Tensor
    scale: Tensor

    def __init__(
        self,
        network: ProposalNetwork,
        *,
        context: int = 0,
        channels: int = 1,
        offset: float = 0.0,
        scale: float = 1.0,
        threshold: float = 0.5,
    ) -> None:
        super().__init__()
        self.network, self.context, self.channels = network, context, channels
        self.threshold = threshold
        each = () if channels == 1 else (channels,)
        self.register_buffer("offset", torch.full(each, float(offset)))
        self.register_buffer("scale", torch.full(each, float(scale)))

    @property
    def images(self) -> int:
        """Number of images that the network sees for a frame."""
        return self.channels * (2 * self.context + 1)

    def images_of(self, photons: Tensor) -> Tensor:
        """All images (B, images, H, W) that the network sees for frames with or without their neighbours."""
        given = 1 if photons.dim() == 3 else photons.shape[1]
        if given == self.channels and (photons.dim() == 3 or self.context):
            return alone(photons, self.context)
        if given != self.images:
            raise ValueError(
                f"{given} images were given for each frame, the network sees {self.channels} or {self.images}"
            )
        return photons

    def normalise(self, photons: Tensor) -> Tensor:
        """Frames of photons → (B, images, H, W), about zero mean and unit variance."""
        values = stabilise(self.images_of(photons))
        if self.channels == 1:
            return (values - self.offset) / self.scale
        offset, scale = (each.repeat_interleave(2 * self.context + 1) for each in (self.offset, self.scale))
        return (values - offset[:, None, None]) / scale[:, None, None]

    def measure_normalisation(self, photons: Tensor) -> None:
        """Set offset and scale from typical frames, with or without their neighbours."""
        values = stabilise(photons)
        if self.channels > 1:
            values = self.images_of(values).unflatten(1, (self.channels, -1)).transpose(0, 1).flatten(1)
            self.offset.copy_(values.mean(1))
            self.scale.copy_(values.std(1).clamp(min=1e-6))
            return
        self.offset.copy_(values.mean())
        self.scale.copy_(values.std().clamp(min=1e-6))

    def forward(self, photons: Tensor) -> Tensor:
        """The network's raw output for frames of photons, with or without their neighbours."""
        images = self.normalise(photons)
        return self.network(images.contiguous(memory_format=self.network.memory_format))

    @torch.no_grad()
    def localize(self, frames: Tensor) -> Localizations:
        """Find the emitters of B frames of photons; returns rows sorted by frame, 0 … B−1."""
        return self.network.decode(self(frames), self.threshold)
