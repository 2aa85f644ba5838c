"""Which frames are fitted together: a few on the CPU, as many as the free memory holds on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ..devices import free_bytes

__all__ = ["Footprint", "groups"]

_SHARE = 0.25  # of the free memory of a GPU that the frames of a group may take
_DERIVATIVES = 4  # copies of a molecule's patch and derivatives in a step of the fit
_IMAGES = 32  # arrays of the size of a frame in a step of the fit
_MATRICES = 3  # copies of a frame's Fisher matrix, double precision
# On a CPU the patches of so many molecules fit into the cache: groups of 120 take two thirds of the time of
# groups of 500.
_MOLECULES_ON_CPU = 120
_FRAMES_ON_CPU = 64
# Larger groups bring a GPU nothing: its time is no longer that of starting kernels.
_MOLECULES_ON_GPU = 8_000
_FRAMES_ON_GPU = 512


@dataclass(frozen=True)
class Footprint:
    """What a group of frames takes on a device while it is fitted.

    unknowns: of a molecule;  patch_px: side of the PSF's patch;  pixels: of a frame;
    coefficients: of a frame's background.
    """

    unknowns: int
    patch_px: int
    pixels: int
    coefficients: int

    def bytes(self, frames: int, molecules: int, most: int) -> int:
        """Memory of so many frames with so many molecules together, and at most `most` in one of them."""
        derivatives = _DERIVATIVES * 4 * molecules * (self.unknowns + 1) * self.patch_px**2
        images = _IMAGES * 4 * frames * self.pixels
        matrices = _MATRICES * 8 * frames * (most * self.unknowns + self.coefficients) ** 2
        return derivatives + images + matrices


def groups(counts: Sequence[int], footprint: Footprint, device: torch.device) -> Iterator[tuple[int, int]]:
    """Ranges of frames (first, last) that are fitted together; a frame too large for a group is one alone.

    counts: molecules of each frame.
    """
    molecules, frames, room = _MOLECULES_ON_CPU, _FRAMES_ON_CPU, float("inf")
    if device.type == "cuda":
        molecules, frames = _MOLECULES_ON_GPU, _FRAMES_ON_GPU
        room = _SHARE * (free_bytes(device) or 0)
    first = total = most = 0
    for frame, count in enumerate(counts):
        number, together, largest = frame - first + 1, total + count, max(most, count)
        full = together > molecules or number > frames or footprint.bytes(number, together, largest) > room
        if frame > first and full:
            yield first, frame
            first, together, largest = frame, count, count
        total, most = together, largest
    if first < len(counts):
        yield first, len(counts)
