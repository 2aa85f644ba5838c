"""Finds beads in the mean of a stack, and selects those that can be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...frames.mean_variance import high_pass
from ...optics.assembly import Assembly
from .lobes import without_lobes

__all__ = ["FoundBeads", "Spots", "find_beads", "find_spots", "judge_spots", "side_that_fits"]

# Least value of a spot in the correlation map, in σ.
_SIGNIFICANT = 12.0
# Least value of a spot in the correlation map, as a fraction of the brightest.
_FAINTEST = 0.04
# A spot next to a bead dimmer than this fraction of it is a remainder of the subtraction.
_BESIDE = 0.2
# Most spots that are searched.
_MOST = 200
# Most iterations of the search.
_TURNS = 600
# Number of rejected spots that are named in warnings.
_TOLD = 4
# Fraction of the frame covered by bright spots up to which the median of the frame gives the noise.
_COVERED = 0.5
# Least fraction of the frame without spots from which the noise is measured otherwise.
_FREE = 0.1
# Smallest side of a square for a bead near the border, as a fraction of the requested side.
_SMALLEST = 0.6


@dataclass(frozen=True)
class Spots:
    """Spots of a stack that look like a bead, the brightest first.

    centre: (K, 2) px, column and row;  brightness: (K,) in the units of the search;  size: height and width of
    the frame.
    """

    centre: Tensor
    brightness: Tensor
    size: tuple[int, int]

    def room(self) -> Tensor:
        """Pixels between each spot and the nearest border: (K,)."""
        far = torch.tensor([self.size[1], self.size[0]]) - 1 - self.centre
        return torch.minimum(self.centre, far).amin(1)


@dataclass(frozen=True)
class FoundBeads:
    """Beads that can be used, and why others cannot.

    centre: (B, 2) px, column and row, the brightest first;  brightness: (B,) relative to the brightest;
    rejected: one sentence for each spot that is not used.
    """

    centre: Tensor
    brightness: Tensor
    rejected: tuple[str, ...]


def find_beads(mean: Tensor, template: Tensor, side: int, slices: Tensor | None = None) -> FoundBeads:
    """The beads of a stack that are alone in their square.

    mean: (H, W) photons, mean of all slices;  template: (h, h) mean image of a bead, h odd;  side: of the
    square in which a bead must be alone, px;  slices: (G, H, W) means of successive slices, which distinguish
    the lobes of a bead from neighbours (None: they are not distinguished).
    """
    return judge_spots(find_spots(mean, template, side, slices), side)


def find_spots(mean: Tensor, template: Tensor, side: int, slices: Tensor | None = None) -> Spots:
    """Spots that look like the mean image of a bead: matched filter, and subtraction of found spots.

    The brightest spot is taken, its image subtracted, and so on (CLEAN, Högbom 1974), so that side lobes of a
    bead are not taken for beads, and a second bead within the image of a bead is found. Lobes that the template
    does not have are recognised by the slices.  Arguments as for `find_beads`; the frame may be as small as the
    template.
    """
    height, width = mean.shape
    kernel = template - template.mean()
    kernel = (kernel / kernel.norm()).to(mean)
    smooth = mean - mean.median()
    half = template.shape[-1] // 2
    padded = torch.nn.functional.pad(smooth[None, None], [half] * 4, mode="replicate")
    score = torch.nn.functional.conv2d(padded, kernel[None, None])[0, 0]
    pixel = float(_deviation(high_pass(mean[None])[0])) if min(mean.shape) > 4 else 0.0
    found = _cleaned(score.clone(), _autocorrelation(kernel), pixel, side)
    noise = max(_noise(score, found, side, pixel), pixel)
    rows = [spot for spot in found if spot[2] > _SIGNIFICANT * noise][:_MOST]
    centre = torch.tensor([[column, row] for row, column, _ in rows], dtype=torch.int64).reshape(-1, 2)
    brightness = torch.tensor([value for _, _, value in rows])
    if slices is not None:
        centre, kept = without_lobes(centre, slices, side)
        brightness = brightness[kept]
    return Spots(centre, brightness, (height, width))


def _cleaned(score: Tensor, lobes: Tensor, noise: float, side: int) -> list[tuple[int, int, float]]:
    """Rows, columns and values of spots above the noise; the score is changed in place."""
    width = score.shape[1]
    spots: list[tuple[int, int, float]] = []
    strongest = float(score.max())
    floor = max(_SIGNIFICANT * noise, _FAINTEST * strongest)
    for _ in range(_TURNS):
        value, place = score.flatten().max(0)
        row, column = int(place) // width, int(place) % width
        if float(value) <= floor or len(spots) == _MOST:
            break
        if not _left_over(spots, row, column, float(value), side):
            spots.append((row, column, float(value)))
        _subtract(score, lobes, row, column, float(value))
    return spots


def _noise(score: Tensor, spots: list[tuple[int, int, float]], side: int, pixel: float) -> float:
    """σ of the score where there is no bead; from single pixels (`pixel`) where beads cover the frame."""
    free = torch.ones_like(score, dtype=torch.bool)
    for row, column, value in spots:
        if value > _BESIDE * spots[0][2]:
            free[_square(row, side)][:, _square(column, side)] = False
    share = float(free.float().mean())
    if share > 1 - _COVERED:
        return float(_deviation(score))
    return float(_deviation(score[free])) if share > _FREE else pixel


def _square(middle: int, side: int) -> slice:
    return slice(max(0, middle - side // 2), middle + side // 2 + 1)


def _deviation(values: Tensor) -> Tensor:
    """σ of normal values with a few outliers, from the median absolute deviation."""
    return 1.4826 * (values - values.median()).abs().median()


def _autocorrelation(kernel: Tensor) -> Tensor:
    """The score of a spot of unit brightness: (2h − 1, 2h − 1), 1 in the middle."""
    margin = kernel.shape[-1] - 1
    padded = torch.nn.functional.pad(kernel[None, None], [margin] * 4)
    return torch.nn.functional.conv2d(padded, kernel[None, None])[0, 0]


def _subtract(score: Tensor, lobes: Tensor, row: int, column: int, value: float) -> None:
    half = lobes.shape[-1] // 2
    corner = torch.tensor([[column - half, row - half]], device=score.device)
    places = Assembly(corner, torch.zeros_like(corner[:, 0]), (len(lobes), len(lobes)), (1, *score.shape))
    places.add(places.inside(-value * lobes[None]), into=score[None])
    # The model of a bead is never exact, so the position of the spot itself is not searched again.
    core = 2
    score[max(0, row - core) : row + core + 1, max(0, column - core) : column + core + 1] = -1e30


def _left_over(spots: list[tuple[int, int, float]], row: int, column: int, value: float, side: int) -> bool:
    """Whether a spot next to a much brighter one is a remainder of the subtraction."""
    near = [other for r, c, other in spots if max(abs(r - row), abs(c - column)) < side]
    return any(value < _BESIDE * other for other in near)


def side_that_fits(stacks: Sequence[Spots], side: int) -> int:
    """Side of the squares, px, odd, for which each stack has a bead whose square lies in its frames.

    It is the requested side if possible, and smaller where frames are crops around one bead each. A stack whose
    beads all lie at the border is ignored.
    """
    for spots in stacks:
        bright = spots.brightness >= _BESIDE * spots.brightness.amax() if len(spots.brightness) else None
        most = 2 * int(spots.room()[bright].max()) + 1 if bright is not None else side
        if most < side and most >= _SMALLEST * side:
            side = most
    return side


def judge_spots(spots: Spots, side: int) -> FoundBeads:
    """Keep the spots that are alone in their square, inside the frame."""
    half = side // 2
    good, rejected = [], []
    places: list[list[int]] = spots.centre.tolist()
    for index, ((column, row), room) in enumerate(zip(places, spots.room().tolist(), strict=True)):
        where = f"bead at column {column}, row {row}"
        others = [(r, c) for k, (c, r) in enumerate(places) if k != index]
        close = [(r, c) for r, c in others if max(abs(r - row), abs(c - column)) < 0.75 * side]
        if room < half:
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
    strongest = spots.brightness[0] if len(places) else torch.tensor(1.0)
    return FoundBeads(spots.centre[good], spots.brightness[good] / strongest, tuple(rejected))
