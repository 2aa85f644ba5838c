"""Orientations of a mask in the beam, and the twin that explains a stack with the opposite stage direction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["AS_DESIGNED", "ORIENTATIONS", "Orientation", "twin"]


@dataclass(frozen=True)
class Orientation:
    """A mask that is mirrored, then turned by quarter turns, as seen on the camera (rows down).

    mirrored: columns swapped left and right, as by a camera that is read out from the other side.
    """

    quarter_turns: int
    mirrored: bool

    def __call__(self, phase: Tensor) -> Tensor:
        """The phase (K, K) in this orientation."""
        phase = phase.flip(1) if self.mirrored else phase
        return torch.rot90(phase, -self.quarter_turns, (0, 1))

    def __str__(self) -> str:
        turned = f"turned by {90 * self.quarter_turns}°" if self.quarter_turns else ""
        return (
            " and ".join(word for word in ("mirrored" if self.mirrored else "", turned) if word) or "as it is"
        )


ORIENTATIONS = tuple(Orientation(turns, mirrored) for mirrored in (False, True) for turns in range(4))
"""The eight possible orientations of a square mask."""

AS_DESIGNED = ORIENTATIONS[0]


def twin(phase: Tensor) -> Tensor:
    """The phase (K, K) that gives the same images in a reversed stack: −φ(−ξ, −η).

    With the field E = A exp(iφ) exp(i kz s) at position s, the field E*(−ξ, −η) has the complex conjugate as
    its Fourier transform, hence the same image, and belongs to the phase −φ(−ξ, −η) at position −s.
    This is exact if the amplitude is even, A(−ξ, −η) = A(ξ, η), for any indices and NA: the depth of a bead
    only adds a phase, which the mask compensates. It is also exact for vectorial light, whose fields are even
    or odd; light beyond the critical angle, which decays with depth, breaks the symmetry.
    """
    return -phase.flip(0, 1)
