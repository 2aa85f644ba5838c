"""What every network offers, and which there are."""

from __future__ import annotations

from typing import Annotated, Protocol

import torch
from pydantic import Field
from torch import Tensor

from ..emitters import Emitters, Localizations
from .coarse import CoarseNetwork, CoarseSpec
from .mixture import MixtureNetwork, MixtureSpec
from .voxel import VoxelNetwork, VoxelSpec

__all__ = ["NetworkSpec", "ProposalNetwork", "build_network"]

NetworkSpec = Annotated[CoarseSpec | MixtureSpec | VoxelSpec, Field(discriminator="kind")]


class ProposalNetwork(Protocol):
    """A module that proposes emitters, knows its own loss, and decodes its own output.

    memory_format: the layout of weights and images that suits its convolutions.
    """

    memory_format: torch.memory_format

    def __call__(self, images: Tensor) -> Tensor:
        """images: (B, 1, H, W), normalised;  returns the raw output, its form the network's own affair."""
        ...

    def loss(self, raw: Tensor, truth: Emitters, /) -> Tensor:
        """Scalar to minimise for a raw output and the emitters of these frames."""
        ...

    def decode(self, raw: Tensor, threshold: float, /) -> Localizations:
        """Detections above a probability."""
        ...


def build_network(
    spec: NetworkSpec, pixel_um: float, z_um: tuple[float, float]
) -> CoarseNetwork | MixtureNetwork | VoxelNetwork:
    """The network that a spec describes, untrained, for one camera pixel (µm) and depth range (µm)."""
    match spec:
        case CoarseSpec():
            return CoarseNetwork(spec, pixel_um, z_um)
        case MixtureSpec():
            return MixtureNetwork(spec, pixel_um, z_um)
        case VoxelSpec():
            return VoxelNetwork(spec, pixel_um, z_um)
