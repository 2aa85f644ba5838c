"""The voxel network of the paper: each emitter is one bright voxel in a volume finer than the camera's pixels.

Architecture and loss: Nehme et al. 2020, Nature Methods 17, 734 (arXiv 1906.09957).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..emitters import Emitters, Localizations
from ..spec import quantity
from .grid import VoxelGrid
from .network import SeveralFramesSpec
from .peaks import centre_of_gravity, find_peaks

__all__ = ["VoxelNetwork", "VoxelSpec", "smooth"]

# Half width, in voxels, of the cube in which a detection is the maximum and its centre of gravity is computed.
_RADIUS = 4
_BLOCK = 8192  # peaks processed at a time; it bounds the memory if the threshold is much too low
# Float32 volumes that the network and its decoder need at a time (measured: 6.2 and 5.3).
_VOLUMES = 7


class VoxelSpec(SeveralFramesSpec):
    """The paper's network: one bright voxel for each emitter. Its grid is fine and its computing time long."""

    kind: Literal["voxel"] = "voxel"
    planes: int = quantity(121, "", "planes over the depth range", ge=1, le=512, label="Planes over the depths")
    upsampling: Literal[1, 2, 4] = quantity(4, "", "voxels per camera pixel and axis")
    channels: int = quantity(64, "", "features at camera resolution", ge=4, le=256)
    dilations: tuple[int, ...] = quantity(
        (1, 1, 2, 4, 8, 16), "", "dilation of each convolution at camera resolution", min_length=1
    )
    scale: float = quantity(800.0, "", "value of an emitter's voxel", gt=0, label="Value of an emitter")

    def build(self, pixel_um: float, z_um: tuple[float, float], images: int = 1) -> VoxelNetwork:
        return VoxelNetwork(self, pixel_um, z_um, images)

    @property
    def bytes_per_pixel(self) -> float:
        return max(super().bytes_per_pixel, _VOLUMES * 4.0 * self.planes * self.upsampling**2)


class VoxelNetwork(nn.Module):
    """Maps a frame to a volume with the value `scale` in every emitter's voxel.

    With upsampling 4 it has 612,703 parameters at 121 planes and 435,743 at 81.

    pixel_um: camera pixel in the sample;  z_um: depth range, filled with spec.planes planes;
    images: number of images that it sees for a frame (`NetworkLocalizer`).
    """

    def __init__(self, spec: VoxelSpec, pixel_um: float, z_um: tuple[float, float], images: int = 1) -> None:
        super().__init__()
        self.grid = VoxelGrid(pixel_um, z_um, spec.planes, spec.upsampling)
        self.scale = spec.scale
        # Not channels_last: with an odd number of channels and bfloat16, oneDNN's gradients of dilated
        # convolutions are NaN in that format (torch 2.13, CPU).
        self.memory_format = torch.contiguous_format
        wide, planes = spec.channels, spec.planes
        self.norm = nn.BatchNorm2d(images)
        first, *others = spec.dilations
        self.entry = _conv(images, wide, first)
        self.context = nn.ModuleList([_conv(wide + images, wide, dilation) for dilation in others])
        doublings = {1: 0, 2: 1, 4: 2}[spec.upsampling]
        widths = [wide + images, *[wide] * doublings]
        self.up = nn.ModuleList([_conv(width, wide) for width in widths[:-1]])
        self.spread = _conv(widths[-1], planes)
        self.refine = nn.ModuleList([_conv(planes, planes) for _ in range(2)])
        self.head = nn.Conv2d(planes, planes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised (B, images, H, W);  returns (B, planes, H·upsampling, W·upsampling), 0 to scale."""
        images = self.norm(images)
        features = self.entry(images)
        for layer in self.context:
            features = features + layer(torch.cat([features, images], 1))
        features = torch.cat([features, images], 1)
        for layer in self.up:
            features = layer(functional.interpolate(features, scale_factor=2, mode="nearest"))
        volume = self.spread(features)
        for layer in self.refine:
            volume = volume + layer(volume)
        return functional.hardtanh(self.head(volume), 0.0, self.scale)

    def loss(self, volume: Tensor, truth: Emitters) -> Tensor:
        """Mean squared difference of the smoothed volumes, plus one minus their soft overlap (Dice).

        volume: (B, planes, H, W) voxels;  truth: emitters of these B frames; those outside the
        volume are ignored.  Returns a scalar. Smoothing is linear, so only the difference is smoothed.
        """
        volume = volume.float()
        bright = self._bright_voxels(truth, volume.shape)
        drawn = volume.new_full(bright[0].shape, -self.scale)
        error = smooth(volume.index_put(bright, drawn, accumulate=True))
        # Soft Dice with 1 added to numerator and denominator: the loss of an empty frame left empty is 0.
        shared = volume[bright].sum() / self.scale
        overlap = (2 * shared + 1) / (volume.sum() / self.scale + len(drawn) + 1)
        return error.square().mean() + 1 - overlap

    def _bright_voxels(self, truth: Emitters, shape: torch.Size) -> tuple[Tensor, ...]:
        """Index (frame, plane, row, column) of each voxel that contains an emitter, without duplicates."""
        voxel = self.grid.to_voxels(truth.xyz).round().long()
        place = torch.stack([truth.frame, voxel[:, 2], voxel[:, 1], voxel[:, 0]], 1)
        size = torch.tensor(shape, device=place.device)
        inside = ((place >= 0) & (place < size)).all(1)
        return torch.unique(place[inside], dim=0).unbind(1)

    def decode(self, volume: Tensor, threshold: float) -> Localizations:
        """Maxima of 9×9×9 voxels above `threshold` (fraction of `scale`), each at its centre of gravity."""
        heat = functional.threshold(volume.float() / self.scale, threshold, 0.0)
        peaks = _first_of_equals(heat, find_peaks(heat, 0.0, _RADIUS))
        voxels = torch.cat([centre_of_gravity(heat, block, _RADIUS) for block in peaks.split(_BLOCK)])
        return Localizations.proposals(self.grid.to_um(voxels), peaks[:, 0], heat[peaks.unbind(1)])


def smooth(volume: Tensor) -> Tensor:
    """Convolve a volume (B, D, H, W) with a 7×7×7 Gaussian of σ 1 voxel and peak 1, zero outside the volume.

    Along each axis a product with a matrix of seven diagonals: convolutions of one channel take many times as
    long on processors.
    """
    planes, height, width = (_seven_diagonals(size, volume) for size in volume.shape[1:])
    # In float32, its gradients too.
    with torch.autocast(volume.device.type, enabled=False):
        flat = height @ volume.float() @ width
        return (planes @ flat.flatten(2)).view(volume.shape)


def _seven_diagonals(size: int, like: Tensor) -> Tensor:
    """(size, size): a Gaussian of σ 1 around each row's diagonal, cut at ±3."""
    place = torch.arange(size, device=like.device)
    apart = place[:, None] - place
    return torch.exp(-0.5 * apart.square().float()) * (apart.abs() <= 3)


def _first_of_equals(heat: Tensor, peaks: Tensor) -> Tensor:
    """Remove peaks (K, 4) whose cube contains an earlier peak of equal value.

    Equal neighbours occur because the network's output saturates and half precision has few values.
    """
    values = heat[peaks.unbind(1)]
    if len(values.unique()) == len(values):
        return peaks
    rank = torch.zeros_like(heat)
    rank[peaks.unbind(1)] = torch.arange(len(peaks), 0, -1, device=heat.device, dtype=heat.dtype)
    return find_peaks(rank, 0.0, _RADIUS)


def _conv(channels_in: int, channels_out: int, dilation: int = 1) -> nn.Sequential:
    """3×3 convolution, leaky ReLU and batch norm; the frame's size is kept."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=dilation, dilation=dilation),
        nn.LeakyReLU(0.2, inplace=True),
        nn.BatchNorm2d(channels_out),
    )
