"""Finds beads in the mean of a stack, and selects those that can be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError
from ...frames.mean_variance import high_pass
from ...optics.assembly import Assembly
from .lobes import without_lobes

__all__ = [
    "FoundBeads",
    "Spots",
    "find_beads",
    "find_spots",
    "judge_spots",
    "settled",
    "side_that_fits",
    "spots_at",
    "take_spots",
    "why_not",
]

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
# Farthest that a spot found lies from the chosen place of the same bead, px.
_SAME = 8
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
    rejected: one sentence for each spot that is not used, or used in spite of a neighbour.
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
    reasons = why_not(spots, side)
    good = [index for index, reason in enumerate(reasons) if not reason]
    places: list[list[int]] = spots.centre.tolist()
    rejected = [
        f"bead at column {column}, row {row}: {reason}, not used"
        for (column, row), reason in zip(places, reasons, strict=True)
        if reason
    ]
    if len(rejected) > _TOLD + 1:
        rest = len(rejected) - _TOLD
        rejected[_TOLD:] = [f"{rest} more spots are too near to each other or to the border, not used"]
    strongest = spots.brightness[0] if len(places) else torch.tensor(1.0)
    return FoundBeads(spots.centre[good], spots.brightness[good] / strongest, tuple(rejected))


def why_not(spots: Spots, side: int) -> list[str]:
    """Why each spot cannot be used, in words; empty for one that is alone in its square, inside the frame."""
    places: list[list[int]] = spots.centre.tolist()
    reasons = []
    for index, (place, room) in enumerate(zip(places, spots.room().tolist(), strict=True)):
        others = [other for k, other in enumerate(places) if k != index]
        near = next((other for other in others if _apart(place, other) < 0.75 * side), None)
        if room < side // 2:
            reasons.append(f"less than {side // 2} px from the border of the frame")
        elif near is not None:
            reasons.append(
                f"another one {_apart(place, near)} px away (column {near[0]}, row {near[1]}), "
                f"{0.75 * side:.0f} px are needed"
            )
        else:
            reasons.append("")
    return reasons


def spots_at(mean: Tensor, places: Sequence[Sequence[int]], side: int) -> Spots:
    """Spots at chosen places, the brightest first: their light above the median of the frame in their square.

    mean: (H, W) photons;  places: column and row of each.  Raises InputError for a place outside the frame.
    """
    height, width = mean.shape
    light = []
    for column, row in places:
        if not (0 <= column < width and 0 <= row < height):
            raise InputError(
                f"the bead at column {column}, row {row} is not in the frame of {width} x {height} px",
                "columns and rows count from 0",
            )
        light.append(float((mean[_square(row, side)][:, _square(column, side)] - mean.median()).sum()))
    order = sorted(range(len(light)), key=light.__getitem__, reverse=True)
    centre = torch.tensor([list(places[k]) for k in order], dtype=torch.int64).reshape(-1, 2)
    return Spots(centre, torch.tensor([light[k] for k in order]), (height, width))


def take_spots(chosen: Spots, found: Spots, side: int) -> FoundBeads:
    """All chosen spots, with a sentence for each that has another spot, chosen or found, in its square.

    Raises InputError for one that is too near to the border.
    """
    told = []
    others: list[list[int]] = [*chosen.centre.tolist(), *found.centre.tolist()]
    for place, room in zip(chosen.centre.tolist(), chosen.room().tolist(), strict=True):
        where = f"bead at column {place[0]}, row {place[1]}"
        if room < side // 2:
            raise InputError(
                f"{where}: its image of {side} px reaches beyond the frame, whose border is {room} px away",
                f"leave it out, or give {2 * room + 1} px or less (`side_px`)",
            )
        near = next((other for other in others if _SAME < _apart(place, other) < 0.75 * side), None)
        if near is not None:
            told.append(
                f"{where}: chosen, although there is light of another one {_apart(place, near)} px away "
                f"(column {near[0]}, row {near[1]}) in its image"
            )
    strongest = chosen.brightness[0].clamp(min=1e-9) if len(chosen.brightness) else torch.tensor(1.0)
    return FoundBeads(chosen.centre, chosen.brightness / strongest, tuple(told))


def settled(mean: Tensor, template: Tensor, place: tuple[int, int], reach: int) -> tuple[int, int]:
    """Column and row near a place at which the mean of a stack looks most like a bead.

    mean: (H, W);  template: (h, h) mean image of a bead, h odd;  reach: farthest in each direction, px.
    """
    height, width = mean.shape
    kernel = (template - template.mean()).to(mean)
    half = len(template) // 2 + reach
    padded = torch.nn.functional.pad(mean[None, None], [half] * 4, mode="replicate")[0, 0]
    column, row = min(max(place[0], 0), width - 1), min(max(place[1], 0), height - 1)
    window = padded[row : row + 2 * half + 1, column : column + 2 * half + 1]
    score = torch.nn.functional.conv2d(window[None, None], kernel[None, None])[0, 0]
    down, across = divmod(int(score.argmax()), score.shape[1])
    there = column + across - reach, row + down - reach
    return min(max(there[0], 0), width - 1), min(max(there[1], 0), height - 1)


def _apart(one: Sequence[int], other: Sequence[int]) -> int:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1]))
