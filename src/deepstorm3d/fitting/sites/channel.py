"""How one channel shows the molecules of the fit: its PSF, its background, and where its images lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...channels import Transform
from ...optics.psf import PSF
from ..background import SplineBackground
from ..likelihood import Likelihood
from ..state import JointState

__all__ = ["ChannelModel", "LightsOfChannels", "with_shares"]


@dataclass(frozen=True)
class LightsOfChannels:
    """The likelihood of the same frames in each of several channels."""

    channels: tuple[Likelihood, ...]

    def __len__(self) -> int:
        return len(self.channels[0])

    def select(self, frames: Tensor) -> LightsOfChannels:
        """Some of the frames, an index."""
        return LightsOfChannels(tuple(light.select(frames) for light in self.channels))


@dataclass(frozen=True)
class ChannelModel:
    """The image model of one channel.

    psf: of the channel;  surface: of its backgrounds;  spacing_px: between the surface's knots;
    transform: from the first channel's µm to its own, None: they are the same;  depth_um: by which its
    molecules seem deeper;  blur: its blur (px) for a blur b of the first channel is blur[0] + blur[1]·b;
    share: of a molecule's light that this channel gets, of all molecules alike; None: each has its own.
    """

    psf: PSF
    surface: SplineBackground
    spacing_px: float
    transform: Transform | None = None
    depth_um: float = 0.0
    blur: tuple[float, float] = (0.0, 1.0)
    share: float | None = None

    @property
    def is_first(self) -> bool:
        """Whether a molecule lies where it does in the first channel, with the same blur and light."""
        return self._same_place and self.blur == (0.0, 1.0) and self.share is None

    @property
    def _same_place(self) -> bool:
        return self.transform is None and self.depth_um == 0

    def places(self, xyz: Tensor) -> Tensor:
        """Places (N, 3) µm of the first channel in this one."""
        xy = xyz[:, :2] if self.transform is None else self.transform.apply(xyz[:, :2]).to(xyz)
        return torch.cat([xy, xyz[:, 2:] + self.depth_um], dim=1)

    def seen(self, state: JointState) -> JointState:
        """A state of the first channel as this one sees it."""
        if self.is_first:
            return state
        blur = None if state.blur_px is None else self.blur[0] + self.blur[1] * state.blur_px
        photons = state.photons if self.share is None else self.share * state.photons
        return replace(state, xyz=self.places(state.xyz), photons=photons, blur_px=blur)

    def slopes(self, xyz: Tensor, unknowns: int) -> Tensor | None:
        """Derivatives of the unknowns of a place here by those in the first channel: (N, q, q) float64.

        xyz: (N, 3) µm in the first channel;  unknowns: q, 3 or with the blur 4.  None: the identity.
        """
        if self._same_place and self.blur == (0.0, 1.0):
            return None
        slope = torch.eye(unknowns, dtype=torch.float64, device=xyz.device).repeat(len(xyz), 1, 1)
        if self.transform is not None:
            slope[:, :2, :2] = self.transform.jacobian(xyz[:, :2])
        if unknowns > 3:
            slope[:, 3, 3] = self.blur[1]
        return slope


def with_shares(models: tuple[ChannelModel, ...], shares: tuple[float, ...] | None) -> tuple[ChannelModel, ...]:
    """The channels with their shares (C,) of every molecule's light, as behind a beam splitter.

    None: each molecule has its own, as dyes of several colours do.
    """
    if shares is None:
        return models
    return tuple(replace(model, share=share) for model, share in zip(models, shares, strict=True))
