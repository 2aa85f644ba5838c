"""A trained network as a localizer: photons in, positions out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..emitters import Localizations
from .network import ProposalNetwork

__all__ = ["NetworkLocalizer", "stabilise"]


def stabilise(photons: Tensor) -> Tensor:
    """Anscombe transform 2·sqrt(photons + 3/8): Poisson noise gets about unit variance (Anscombe 1948)."""
    return 2 * (photons + 0.375).clamp(min=0).sqrt()


class NetworkLocalizer(nn.Module):
    """Normalisation, network and threshold.

    The normalisation is fixed: it is measured once on simulated frames and stored with the model. A frame and
    a crop or tile of it therefore give the same result.

    network: finds the candidates;  offset, scale: mean and standard deviation of the stabilised frames;
    threshold: smallest probability reported, 0 to 1.
    """

    offset: Tensor
    scale: Tensor

    def __init__(
        self, network: ProposalNetwork, *, offset: float = 0.0, scale: float = 1.0, threshold: float = 0.5
    ) -> None:
        super().__init__()
        self.network = network
        self.threshold = threshold
        self.register_buffer("offset", torch.tensor(float(offset)))
        self.register_buffer("scale", torch.tensor(float(scale)))

    def normalise(self, photons: Tensor) -> Tensor:
        """(B, H, W) photons → (B, 1, H, W), about zero mean and unit variance."""
        return ((stabilise(photons) - self.offset) / self.scale)[:, None]

    def measure_normalisation(self, photons: Tensor) -> None:
        """Set offset and scale from typical frames (B, H, W)."""
        values = stabilise(photons)
        self.offset.copy_(values.mean())
        self.scale.copy_(values.std().clamp(min=1e-6))

    def forward(self, photons: Tensor) -> Tensor:
        """The network's raw output for (B, H, W) photons."""
        images = self.normalise(photons)
        return self.network(images.contiguous(memory_format=self.network.memory_format))

    @torch.no_grad()
    def localize(self, frames: Tensor) -> Localizations:
        """Find the emitters of frames (B, H, W) of photons; returns rows sorted by frame, 0 … B−1."""
        return self.network.decode(self(frames), self.threshold)
