"""The coarse network: a heat map on voxels of one camera pixel by about 125 nm."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..emitters import Emitters, Localizations
from ..spec import quantity
from .grid import VoxelGrid
from .network import SeveralFramesSpec
from .peaks import find_peaks, gaussian_vertex
from .precision import PreciseConv2d
from .trunk import FEATURES, Trunk, bytes_per_pixel, padded

__all__ = ["CoarseNetwork", "CoarseSpec", "gaussian_heat"]

_BLOCK = 8192  # peaks processed at a time; it bounds the memory if a whole frame is above the threshold


class CoarseSpec(SeveralFramesSpec):
    """Heat map at camera resolution; positions from its maxima. The simplest of the networks."""

    kind: Literal["coarse"] = "coarse"
    channels: int = quantity(80, "", "features at half resolution", ge=8, le=512)
    skip: int = quantity(32, "", "features at full resolution", ge=4, le=256, label="Skip channels")
    dilations: tuple[int, ...] = quantity(
        (1, 2, 4, 8, 2, 1), "", "dilation of each residual pair of convolutions"
    )
    plane_um: float = quantity(0.125, "µm", "thickness of a voxel", gt=0.01, le=1.0, label="Voxel thickness")
    spread: float = quantity(
        1.0, "voxels", "σ of the Gaussian drawn for each emitter", gt=0.3, le=3.0, label="Spread σ"
    )

    def build(self, pixel_um: float, z_um: tuple[float, float], images: int = 1) -> CoarseNetwork:
        return CoarseNetwork(self, pixel_um, z_um, images)

    def planes(self, z_um: tuple[float, float]) -> int:
        """Number of planes of the heat map over a depth range (µm)."""
        return max(1, round((z_um[1] - z_um[0]) / self.plane_um))

    def bytes_on_processor(self, z_um: tuple[float, float]) -> float:
        return bytes_per_pixel(self.channels, self.skip, self.planes(z_um)) + self.bytes_of_context


class CoarseNetwork(nn.Module):
    """Maps a frame to logits of a heat map with a Gaussian of peak 1 at every emitter's sub-voxel position.

    pixel_um: camera pixel in the sample;  z_um: depth range, filled with planes of about spec.plane_um;
    images: number of images that it sees for a frame (`NetworkLocalizer`).
    """

    def __init__(self, spec: CoarseSpec, pixel_um: float, z_um: tuple[float, float], images: int = 1) -> None:
        super().__init__()
        planes = spec.planes(z_um)
        self.grid = VoxelGrid(pixel_um, z_um, planes)
        self.spread = spec.spread
        # With the channels innermost the convolutions run about twice as fast on the CPU.
        self.memory_format = torch.channels_last
        self.trunk = Trunk(spec.channels, spec.skip, spec.dilations, images)
        # In half precision neighbouring voxels can get equal values, and one molecule would give two maxima.
        self.head = PreciseConv2d(FEATURES, planes, 3, padding=1)
        # Nearly every voxel is empty: an initial probability of 1 % makes the first training steps stable.
        nn.init.constant_(self.head.bias, math.log(0.01 / 0.99))  # pyright: ignore[reportArgumentType]

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, images, H, W), normalised;  returns logits (B, planes, H, W)."""
        height, width = images.shape[-2:]
        return self.head(self.trunk(padded(images)))[..., :height, :width]

    def loss(self, logits: Tensor, truth: Emitters) -> Tensor:
        """Focal cross-entropy per emitter, weighted by the squared error (Lin et al. 2017; Li et al. 2020).

        logits: (B, planes, H, W);  truth: emitters of these B frames.  Returns a scalar.
        """
        logits = logits.float()
        target = gaussian_heat(self.grid, truth, logits.shape, self.spread)
        error = torch.sigmoid(logits) - target
        entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (error.square() * entropy).sum() / (len(truth) + len(logits))

    def decode(self, logits: Tensor, threshold: float) -> Localizations:
        """Maxima of the heat map above `threshold`, at the centre of a Gaussian fitted to each."""
        heat = torch.sigmoid(logits.float())
        peaks = find_peaks(heat, threshold)
        voxels = torch.cat([gaussian_vertex(heat, block) for block in peaks.split(_BLOCK)])
        xyz = self.grid.to_um(voxels)
        probability = heat[peaks[:, 0], peaks[:, 1], peaks[:, 2], peaks[:, 3]]
        return Localizations.proposals(xyz, peaks[:, 0], probability)


def gaussian_heat(grid: VoxelGrid, truth: Emitters, shape: torch.Size, spread: float) -> Tensor:
    """Draw a Gaussian of peak 1 at every emitter; where two overlap, the larger value is used.

    spread: σ in voxels;  shape: (B, planes, H, W) of the result. Each Gaussian is cut off at 3 σ; emitters
    outside the volume contribute the part of their Gaussian inside it.
    """
    reach = math.ceil(3 * spread)
    steps = torch.arange(-reach, reach + 1, device=truth.xyz.device)
    around = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    voxels = grid.to_voxels(truth.xyz)
    place = voxels.round().long()[:, None] + around
    squared = ((place - voxels[:, None]) / spread).square().sum(-1)
    column, row, plane = place.unbind(-1)
    frames, planes, height, width = shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (plane >= 0) & (plane < planes)
    index = ((truth.frame[:, None] * planes + plane) * height + row) * width + column
    heat = torch.zeros(frames * planes * height * width, device=truth.xyz.device)
    heat.scatter_reduce_(0, index[inside], torch.exp(-0.5 * squared[inside]), "amax")
    return heat.view(shape)
