"""Finding beads in the mean of a stack, and telling which of them can be used."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..optics.assembly import Assembly

__all__ = ["FoundBeads", "find_beads"]

# A spot counts above this many σ of the correlation map, and above this share of the brightest.
_SIGNIFICANT, _FAINTEST = 12.0, 0.04
# What is left over of a bright bead must not pass for another one beside it.
_BESIDE = 0.2
_MOST = 200
# Spots that are not used are named up to so many.
_TOLD = 4


@dataclass(frozen=True)
class FoundBeads:
    """Beads that can be used, and why others cannot.

    centre: (B, 2) px, column and row, the brightest first;  brightness: (B,) relative to the brightest;
    rejected: one sentence for each spot that is not used.
    """

    centre: Tensor
    brightness: Tensor
    rejected: tuple[str, ...]


def find_beads(mean: Tensor, template: Tensor, side: int) -> FoundBeads:
    """Spots that look like the mean image of a bead: matched filter, and subtraction of what is found.

    The brightest spot is taken, its image subtracted, and so on (CLEAN, Högbom 1974): side lobes of
    a bead do not pass for beads, and a second bead within a bead's image shows.

    mean: (H, W) photons, mean of all slices;  template: (h, h) mean image of a bead, h odd;
    side: of the square that a bead needs for itself, px.
    """
    height, width = mean.shape
    kernel = template - template.mean()
    kernel = (kernel / kernel.norm()).to(mean)
    smooth = mean - mean.median()
    half = template.shape[-1] // 2
    padded = torch.nn.functional.pad(smooth[None, None], [half] * 4, mode="replicate")
    score = torch.nn.functional.conv2d(padded, kernel[None, None])[0, 0]
    noise = 1.4826 * (score - score.median()).abs().median()
    lobes = _autocorrelation(kernel)
    spots: list[tuple[int, int, float]] = []
    strongest = float(score.max())
    while len(spots) < _MOST:
        value, place = score.flatten().max(0)
        row, column = int(place) // width, int(place) % width
        floor = max(_SIGNIFICANT * float(noise), _FAINTEST * strongest)
        if float(value) <= floor:
            break
        if not _left_over(spots, row, column, float(value), side):
            spots.append((row, column, float(value)))
        _subtract(score, lobes, row, column, float(value))
    return _judge(spots, (height, width), side)


def _autocorrelation(kernel: Tensor) -> Tensor:
    """What a unit spot leaves in the score: (2h − 1, 2h − 1), 1 in the middle."""
    margin = kernel.shape[-1] - 1
    padded = torch.nn.functional.pad(kernel[None, None], [margin] * 4)
    return torch.nn.functional.conv2d(padded, kernel[None, None])[0, 0]


def _subtract(score: Tensor, lobes: Tensor, row: int, column: int, value: float) -> None:
    half = lobes.shape[-1] // 2
    corner = torch.tensor([[column - half, row - half]], device=score.device)
    places = Assembly(corner, torch.zeros_like(corner[:, 0]), (len(lobes), len(lobes)), (1, *score.shape))
    places.add(places.inside(-value * lobes[None]), into=score[None])
    # The model of a bead is never exact; the very place is done with.
    core = 2
    score[max(0, row - core) : row + core + 1, max(0, column - core) : column + core + 1] = -1e30


def _left_over(spots: list[tuple[int, int, float]], row: int, column: int, value: float, side: int) -> bool:
    """Whether a spot beside a much brighter one is only what the subtraction left of it."""
    near = [other for r, c, other in spots if max(abs(r - row), abs(c - column)) < side]
    return any(value < _BESIDE * other for other in near)


def _judge(spots: list[tuple[int, int, float]], size: tuple[int, int], side: int) -> FoundBeads:
    """Keep the spots that have their square to themselves, inside the frame."""
    half = side // 2
    good, rejected = [], []
    for index, (row, column, _) in enumerate(spots):
        where = f"bead at column {column}, row {row}"
        others = [(r, c) for k, (r, c, _) in enumerate(spots) if k != index]
        close = [(r, c) for r, c in others if max(abs(r - row), abs(c - column)) < 0.75 * side]
        if not (half <= row < size[0] - half and half <= column < size[1] - half):
            rejected.append(f"{where}: less than {half} px from the border of the frame, not used")
        elif close:
            r, c = close[0]
            apart = max(abs(r - row), abs(c - column))
            rejected.append(
                f"{where}: another one {apart} px away (column {c}, row {r}), {0.75 * side:.0f} px are needed; "
                "not used"
            )
        else:
            good.append(index)
    if len(rejected) > _TOLD + 1:
        rest = len(rejected) - _TOLD
        rejected[_TOLD:] = [f"{rest} more spots are too near to each other or to the border, not used"]
    strongest = spots[0][2] if spots else 1.0
    centre = torch.tensor([[spots[k][1], spots[k][0]] for k in good], dtype=torch.int64).reshape(-1, 2)
    return FoundBeads(centre, torch.tensor([spots[k][2] / strongest for k in good]), tuple(rejected))
