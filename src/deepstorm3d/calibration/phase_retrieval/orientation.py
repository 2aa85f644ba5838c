"""How a mask may lie in the beam, and the twin that explains a stack which runs the other way."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["AS_DESIGNED", "ORIENTATIONS", "Orientation", "twin"]


@dataclass(frozen=True)
class Orientation:
    """A mask turned by quarter turns, counted as they look on the camera (down the rows), after being mirrored.

    mirrored: columns swapped left and right, as by a camera that is read out the other way.
    """

    quarter_turns: int
    mirrored: bool

    def __call__(self, phase: Tensor) -> Tensor:
        """The phase (K, K) as it lies then."""
        phase = phase.flip(1) if self.mirrored else phase
        return torch.rot90(phase, -self.quarter_turns, (0, 1))

    def __str__(self) -> str:
        turned = f"turned by {90 * self.quarter_turns}°" if self.quarter_turns else ""
        return (
            " and ".join(word for word in ("mirrored" if self.mirrored else "", turned) if word) or "as it is"
        )


ORIENTATIONS = tuple(Orientation(turns, mirrored) for mirrored in (False, True) for turns in range(4))
"""The eight ways in which a square mask may lie."""

AS_DESIGNED = ORIENTATIONS[0]


def twin(phase: Tensor) -> Tensor:
    """The phase (K, K) that gives the same images in a stack that runs the other way: −φ(−ξ, −η).

    With the field E = A exp(iφ) exp(i kz s) at position s, the field E*(−ξ, −η) has the complex conjugate for
    its Fourier transform, hence the same image, and is that of the phase −φ(−ξ, −η) at position −s.
    This is exact wherever the amplitude is even, A(−ξ, −η) = A(ξ, η), whatever the indices and the NA: what a
    bead's own depth adds is one more phase that the mask takes up. Vectorial light keeps it as well, its fields
    being even or odd; light beyond the critical angle, which decays with depth, breaks it.
    """
    return -phase.flip(0, 1)
