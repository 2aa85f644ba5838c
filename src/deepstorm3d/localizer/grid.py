"""The voxel grid between a network's output and the sample: where a voxel lies, in µm."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["VoxelGrid"]


@dataclass(frozen=True)
class VoxelGrid:
    """Voxels over a frame: `upsampling` × `upsampling` in each camera pixel, `planes` over the depth.

    pixel_um: camera pixel in the sample;  z_um: lower and upper face of the volume;
    planes: number of planes;  upsampling: voxels per camera pixel and axis.
    """

    pixel_um: float
    z_um: tuple[float, float]
    planes: int
    upsampling: int = 1

    @property
    def size_um(self) -> tuple[float, float, float]:
        """Size of a voxel along x, y, z, µm."""
        lateral = self.pixel_um / self.upsampling
        return lateral, lateral, (self.z_um[1] - self.z_um[0]) / self.planes

    def to_voxels(self, xyz: Tensor) -> Tensor:
        """Positions (N, 3) µm as voxel coordinates (column, row, plane); a voxel's centre is a whole number."""
        # The first voxel of a pixel split in u lies (u − 1)/2 voxels left of the pixel's centre.
        return (xyz - self._origin(xyz)) / xyz.new_tensor(self.size_um)

    def to_um(self, voxels: Tensor) -> Tensor:
        """Voxel coordinates (N, 3) (column, row, plane) as positions, µm."""
        return voxels * voxels.new_tensor(self.size_um) + self._origin(voxels)

    def _origin(self, like: Tensor) -> Tensor:
        lateral, _, depth = self.size_um
        first = -(self.upsampling - 1) / 2 * lateral
        return torch.tensor([first, first, self.z_um[0] + depth / 2], dtype=like.dtype, device=like.device)
