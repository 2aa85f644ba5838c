"""The interface of the networks, and the union of those that exist."""

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
    """A module that proposes emitters, computes its loss and decodes its output.

    memory_format: fastest layout of weights and images for its convolutions.
    """

    memory_format: torch.memory_format

    def __call__(self, images: Tensor) -> Tensor:
        """images: (B, 1, H, W), normalised;  returns the raw output, whose format depends on the network."""
        ...

    def loss(self, raw: Tensor, truth: Emitters, /) -> Tensor:
        """Loss of a raw output, given the true emitters of these frames: a scalar."""
        ...

    def decode(self, raw: Tensor, threshold: float, /) -> Localizations:
        """Emitters of a raw output with a probability above `threshold`."""
        ...


def build_network(
    spec: NetworkSpec, pixel_um: float, z_um: tuple[float, float]
) -> CoarseNetwork | MixtureNetwork | VoxelNetwork:
    """Build an untrained network from its spec, for one camera pixel size (µm) and depth range (µm)."""
    match spec:
        case CoarseSpec():
            return CoarseNetwork(spec, pixel_um, z_um)
        case MixtureSpec():
            return MixtureNetwork(spec, pixel_um, z_um)
        case VoxelSpec():
            return VoxelNetwork(spec, pixel_um, z_um)
