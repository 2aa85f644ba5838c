"""What a joint fit knows of a set of frames: its molecules and their background."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["JointState"]


@dataclass(frozen=True)
class JointState:
    """Molecules of B frames and the coefficients of their backgrounds.

    xyz: (N, 3) µm;  photons: (N,);  frame: (N,) int64, index of the frame;
    coefficients: (B, k, l) of the background surface;  blur_px: (N,) Gaussian σ, or None for the PSF's own.
    """

    xyz: Tensor
    photons: Tensor
    frame: Tensor
    coefficients: Tensor
    blur_px: Tensor | None = None

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def frames(self) -> int:
        """Number of frames B."""
        return len(self.coefficients)

    @property
    def counts(self) -> Tensor:
        """Molecules in each frame: (B,) int64."""
        return torch.bincount(self.frame, minlength=self.frames)

    def rows(self, keep: Tensor) -> JointState:
        """Some of the molecules, of the same frames; keep: index or mask."""
        blur = None if self.blur_px is None else self.blur_px[keep]
        return replace(
            self, xyz=self.xyz[keep], photons=self.photons[keep], frame=self.frame[keep], blur_px=blur
        )

    def select(self, frames: Tensor) -> JointState:
        """Some of the frames with their molecules, renumbered;  frames: increasing index (K,)."""
        place = torch.full((self.frames,), -1, dtype=torch.int64, device=self.frame.device)
        place[frames] = torch.arange(len(frames), device=frames.device)
        part = self.rows(place[self.frame] >= 0)
        return replace(part, frame=place[part.frame], coefficients=self.coefficients[frames])

    def with_rows(
        self, xyz: Tensor, photons: Tensor, frame: Tensor, blur_px: Tensor | None = None
    ) -> JointState:
        """The same with more molecules, sorted by frame."""
        blur = None
        if self.blur_px is not None:
            blur = torch.cat([self.blur_px, torch.ones_like(photons) if blur_px is None else blur_px])
        joined = torch.cat([self.frame, frame])
        order = torch.argsort(joined, stable=True)
        return replace(
            self,
            xyz=torch.cat([self.xyz, xyz])[order],
            photons=torch.cat([self.photons, photons])[order],
            frame=joined[order],
            blur_px=None if blur is None else blur[order],
        )

    def replace_frames(self, frames: Tensor, part: JointState) -> JointState:
        """The same with the molecules and backgrounds of some frames taken from `part`.

        frames: increasing index (K,);  part: a state of K frames.
        """
        gone = torch.zeros(self.frames, dtype=torch.bool, device=self.frame.device)
        gone[frames] = True
        coefficients = self.coefficients.clone()
        coefficients[frames] = part.coefficients
        rest = self.rows(~gone[self.frame])
        blur = None if self.blur_px is None else part.blur_px
        return replace(
            rest.with_rows(part.xyz, part.photons, frames[part.frame], blur), coefficients=coefficients
        )
