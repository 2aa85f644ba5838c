"""The interface of the networks, and of the records that an experiment names them by."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol

import torch
from torch import Tensor

from ..emitters import Emitters, Localizations
from ..errors import InputError
from ..spec import Spec, quantity

__all__ = ["NetworkSpec", "ProposalNetwork", "SeveralFramesSpec", "build_network", "context_of"]

# Memory for a camera pixel of a batch, bytes: 1,300 for a network of 96 channels, the rest for photometry and
# the temporary memory of a GPU's convolutions.
_BYTES_PER_PIXEL = 4000.0
# Float32 copies of each further image: as read, stabilised, normalised, and in the layout of the network.
_COPIES = 4


class ProposalNetwork(Protocol):
    """A module that proposes emitters, computes its loss and decodes its output.

    memory_format: fastest layout of weights and images for its convolutions.
    """

    memory_format: torch.memory_format

    def __call__(self, images: Tensor) -> Tensor:
        """images: (B, images, H, W), normalised;  returns the raw output; its format depends on the network."""
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

    def bytes_on_processor(self, z_um: tuple[float, float]) -> float:
        """`bytes_per_pixel` on the processor, one frame at a time, for a depth range (µm)."""
        return self.bytes_per_pixel

    def describe(self) -> str:
        """The kind in words."""
        return str(self.kind)


class SeveralFramesSpec(NetworkSpec):
    """The settings of a network that may see other images of the same molecules beside a frame.

    They are the frames before and after it, and further channels of a camera.
    """

    context: int = quantity(
        0,
        "frames",
        "frames before and after that the network sees, too; for molecules that shine in several frames, as in "
        "scenes with emitters.blinking",
        ge=0,
        le=4,
        label="Neighbours",
    )

    @abstractmethod
    def build(self, pixel_um: float, z_um: tuple[float, float], images: int = 1) -> ProposalNetwork:
        """The untrained network, as `NetworkSpec.build`; images: number of images that it sees for a frame."""
        raise NotImplementedError

    @property
    def bytes_per_pixel(self) -> float:
        return super().bytes_per_pixel + self.bytes_of_context

    @property
    def bytes_of_context(self) -> float:
        """Memory for a camera pixel of the further frames that it sees, bytes."""
        return 2 * self.context * _COPIES * 4

    def describe(self) -> str:
        """The kind in words, with the number of frames that it sees: "3-frame coarse"."""
        return f"{2 * self.context + 1}-frame {self.kind}" if self.context else super().describe()


def context_of(spec: NetworkSpec) -> int:
    """How many frames before and after each a network of these settings sees."""
    return spec.context if isinstance(spec, SeveralFramesSpec) else 0


def build_network(
    spec: NetworkSpec, pixel_um: float, z_um: tuple[float, float], channels: int = 1
) -> ProposalNetwork:
    """The untrained network of these settings for frames of so many channels; the rest as `NetworkSpec.build`.

    Raises InputError if a network of this kind sees one channel only.
    """
    images = channels * (2 * context_of(spec) + 1)
    if images == 1:
        return spec.build(pixel_um, z_um)
    if not isinstance(spec, SeveralFramesSpec):
        raise InputError(
            f"a network of kind {spec.kind} sees one channel, the experiment has {channels}",
            "choose another kind (`network.kind=coarse`, or mixture)",
        )
    return spec.build(pixel_um, z_um, images)
