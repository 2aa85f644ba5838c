"""The state of a joint fit: the molecules of a set of frames and their backgrounds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["DIVISION", "LONGEST_BLUR_PX", "LONGEST_UM", "REMOVAL", "JointState"]

LONGEST_UM = (0.12, 0.12, 0.2)
"""Longest step of an iteration in x, y, z, µm: half a lobe of a spot, as far as a linearized image is valid."""
LONGEST_BLUR_PX = 0.2
"""Longest step of an iteration in the blur, px."""
REMOVAL = 1  # bit of `JointState.refused`: it cannot be taken away
DIVISION = 2  # bit of `JointState.refused`: it is not two


@dataclass(frozen=True)
class JointState:
    """Molecules of B frames and the coefficients of their backgrounds.

    xyz: (N, 3) µm;  photons: (N,);  frame: (N,) int64, index of the frame;
    coefficients: (B, k, l) of the background surface;  blur_px: (N,) Gaussian σ, or None for the PSF's own;
    origin: (N,) int64, row in the list that the fit started with, −1 for molecules added later; None: unknown;
    refused: (N,) int64, changes that were tried in vain since the neighbourhood last changed (`REMOVAL`,
    `DIVISION`, or both); None: not kept;
    rank: (N,) the significance that was computed since then (`Selector.ranks`), NaN: none; kept with `refused`;
    begin_px: (B, 2) int64, column and row of each frame's first pixel in the field in which positions are
    measured; None: all frames start at the field's first pixel.
    """

    xyz: Tensor
    photons: Tensor
    frame: Tensor
    coefficients: Tensor
    blur_px: Tensor | None = None
    origin: Tensor | None = None
    refused: Tensor | None = None
    rank: Tensor | None = None
    begin_px: Tensor | None = None

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

    def in_frames(self, corner: Tensor) -> Tensor:
        """Corners (N, 2) px of the molecules' patches, converted from the field to their frames."""
        return corner if self.begin_px is None else corner - self.begin_px[self.frame]

    def rows(self, keep: Tensor) -> JointState:
        """Select molecules and keep all frames; keep: index or mask."""
        index = keep.nonzero()[:, 0] if keep.dtype == torch.bool else keep
        return replace(self, **{name: column[index] for name, column in self._columns().items()})

    def select(self, frames: Tensor) -> JointState:
        """Select frames with their molecules and renumber them;  frames: increasing index (K,)."""
        if len(frames) == self.frames:
            return self
        place = torch.full((self.frames,), -1, dtype=torch.int64, device=self.frame.device)
        place[frames] = torch.arange(len(frames), device=frames.device)
        part = self.rows(place[self.frame] >= 0)
        begin_px = None if self.begin_px is None else self.begin_px[frames]
        return replace(part, frame=place[part.frame], coefficients=self.coefficients[frames], begin_px=begin_px)

    def with_rows(
        self, xyz: Tensor, photons: Tensor, frame: Tensor, blur_px: Tensor | None = None
    ) -> JointState:
        """Add molecules, sorted by frame; blur_px: of the new molecules, required if the state has blurs."""
        more = {"xyz": xyz, "photons": photons, "frame": frame}
        if self.blur_px is not None:
            assert blur_px is not None, "molecules of a state with blurs need theirs"
            more["blur_px"] = blur_px
        if self.origin is not None:
            more["origin"] = torch.full_like(frame, -1)
        if self.refused is not None:
            more["refused"] = torch.zeros_like(frame)
        if self.rank is not None:
            more["rank"] = torch.full_like(photons, torch.nan)
        return self._joined(more)

    def joined(self, other: JointState, frame: Tensor) -> JointState:
        """Add the molecules of another state to frames (N,) of this one."""
        return self._joined(replace(other, frame=frame)._columns())

    def anew(self) -> JointState:
        """The same, remembering of every molecule that nothing was tried and no rank computed."""
        return replace(
            self, refused=torch.zeros_like(self.frame), rank=torch.full_like(self.photons, torch.nan)
        )

    def refusing(self, rows: Tensor, change: int) -> JointState:
        """The same, with a change (`REMOVAL` or `DIVISION`) of rows (index or mask) noted as tried in vain."""
        flags = torch.zeros_like(self.frame) if self.refused is None else self.refused.clone()
        flags[rows] |= change
        return replace(self, refused=flags)

    def _columns(self) -> dict[str, Tensor]:
        values = {"xyz": self.xyz, "photons": self.photons, "frame": self.frame}
        optional = {"blur_px": self.blur_px, "origin": self.origin, "refused": self.refused, "rank": self.rank}
        return values | {name: value for name, value in optional.items() if value is not None}

    def _joined(self, more: dict[str, Tensor]) -> JointState:
        order = torch.argsort(torch.cat([self.frame, more["frame"]]), stable=True)
        return replace(self, **{name: torch.cat([c, more[name]])[order] for name, c in self._columns().items()})

    def replace_frames(self, frames: Tensor, part: JointState) -> JointState:
        """Take the molecules and backgrounds of some frames from `part`.

        frames: increasing index (K,);  part: a state of K frames.
        """
        if len(frames) == self.frames and part._columns().keys() == self._columns().keys():
            return replace(part, begin_px=self.begin_px) if part.begin_px is not self.begin_px else part
        gone = torch.zeros(self.frames, dtype=torch.bool, device=self.frame.device)
        gone[frames] = True
        coefficients = self.coefficients.clone()
        coefficients[frames] = part.coefficients
        rest = self.rows(~gone[self.frame])
        moved = replace(part, frame=frames[part.frame])
        return replace(rest._joined(moved._columns()), coefficients=coefficients)
