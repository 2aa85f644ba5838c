"""What one channel sees of the molecules of the first: their places there, and their share of the light."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..emitters import Emitters
from ..field import Field
from .transform import Transform

__all__ = ["ChannelView"]


@dataclass(frozen=True)
class ChannelView:
    """A molecule at (x, y, z) of the first channel is at (T(x, y), z + δz) here, with a share of its light.

    Parameters
    ----------
    name : str
    transform : Transform
        T, from the first channel's µm to this one's own.
    depth_offset_um : float
        δz.
    share : float
        Of the photons that all channels detect together; of the background, too.
    field : Field
        Frames of this channel.
    """

    name: str
    transform: Transform
    depth_offset_um: float
    share: float
    field: Field

    @property
    def is_first(self) -> bool:
        """Whether positions of the first channel are already this one's."""
        return self.depth_offset_um == 0 and _is_identity(self.transform)

    def to_channel(self, xyz: Tensor) -> Tensor:
        """Positions of the first channel, (N, 3) µm, in this one; of the same dtype, computed in double."""
        if self.is_first:
            return xyz
        xy = self.transform.apply(xyz[:, :2])
        return torch.cat([xy, xyz[:, 2:].double() + self.depth_offset_um], dim=1).to(xyz)

    def from_channel(self, xyz: Tensor) -> Tensor:
        """Positions of this channel, (N, 3) µm, in the first one.

        Raises InputError where positions far outside have no place there (`Transform.inverse`).
        """
        if self.is_first:
            return xyz
        xy = self.transform.inverse(xyz[:, :2])
        return torch.cat([xy, xyz[:, 2:].double() - self.depth_offset_um], dim=1).to(xyz)

    def jacobian(self, xyz: Tensor) -> Tensor:
        """Derivatives of the position here by that in the first channel: xyz (N, 3) µm, returns (N, 3, 3).

        ``[n, i, j]`` is dx'_i / dx_j, float64; depth follows depth alone.
        """
        whole = torch.eye(3, dtype=torch.float64, device=xyz.device).repeat(len(xyz), 1, 1)
        whole[:, :2, :2] = self.transform.jacobian(xyz[:, :2])
        return whole

    def to_channel_emitters(self, emitters: Emitters) -> Emitters:
        """Emitters of the first channel with the photons of all channels, as this channel sees them.

        All rows stay, those outside this channel's frame too.
        """
        photons = emitters.photons if self.share == 1 else emitters.photons * self.share
        return replace(emitters, xyz=self.to_channel(emitters.xyz), photons=photons)

    def coverage(self, first: Field) -> float:
        """Share of the first channel's frame that this channel's frame shows, from a grid of its pixels."""
        rows = torch.linspace(0, first.height - 1, min(first.height, 65), dtype=torch.float64)
        columns = torch.linspace(0, first.width - 1, min(first.width, 65), dtype=torch.float64)
        y, x = (each.reshape(-1) for each in torch.meshgrid(rows, columns, indexing="ij"))
        xyz = torch.stack([x, y, torch.zeros_like(x)], dim=1) * first.pixel_um
        return float(self.field.inside(self.to_channel(xyz)).double().mean())


def _is_identity(transform: Transform) -> bool:
    same = Transform.identity()
    return transform.coefficients.shape == same.coefficients.shape and bool(
        (transform.coefficients == same.coefficients).all()
        and (transform.centre_um == same.centre_um).all()
        and transform.scale_um == same.scale_um
    )
