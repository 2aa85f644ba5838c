"""The interface of the networks, and of the records that an experiment names them by."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol

import torch
from torch import Tensor

from ..emitters import Emitters, Localizations
from ..spec import Spec

__all__ = ["NetworkSpec", "ProposalNetwork"]

# Memory for a camera pixel of a batch, bytes: 1,300 for a network of 96 channels, the rest for photometry and
# the temporary memory of a GPU's convolutions.
_BYTES_PER_PIXEL = 4000.0


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


class NetworkSpec(Spec):
    """The settings of a network.

    A new kind is a record with a name, ``kind: Literal["small"] = "small"``, and a method `build`;
    `NETWORKS.register` (`localizer/kinds.py`) makes it available to experiments.
    """

    kind: Any

    @abstractmethod
    def build(self, pixel_um: float, z_um: tuple[float, float]) -> ProposalNetwork:
        """The untrained network, a `torch.nn.Module`, for one camera pixel size (µm) and depth range (µm).

        Frames are localized in tiles, so an output should depend on at most 96 px around it.
        """
        raise NotImplementedError

    @property
    def bytes_per_pixel(self) -> float:
        """Memory that the network and its decoder need at a time for a camera pixel of a batch, bytes."""
        return _BYTES_PER_PIXEL
