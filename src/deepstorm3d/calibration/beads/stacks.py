"""Bead stacks from files: positions of the slices, beads found, their images cut out in photons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...camera import Camera
from ...errors import InputError
from ...fitting.likelihood import Likelihood
from ...io.movies import Movie
from ...optics.field_aberrations import FieldSpec
from ...pixels.faults import PixelFaults
from .finding import FoundBeads, Spots, find_spots, judge_spots, side_that_fits, spots_at, take_spots
from .image_noise import NoiseKind, own_noise
from .images import BeadImages, Moves
from .one_stack import OneStack
from .slice_order import distance_of_slices, jumps, order_ratio
from .stack_check import check_stack

__all__ = ["BeadPlace", "BeadStacks", "SearchedStack", "SliceScan", "read_bead_stacks", "search_stacks"]

# Fraction of a bead's slices with saturated pixels above which there is a warning.
_OFTEN = 0.1
# Two cut-outs whose centres are nearer than this show the same bead, px.
_SAME_PX = 4
# Largest distance of successive slices over that of any two; above, their order is wrong.
_SHUFFLED = 0.7

Positions = Callable[[int], Tensor]


@dataclass(frozen=True)
class SliceScan:
    """How the slices of a stack were recorded.

    positions: from a number of slices to their positions (S,) µm;  moves: what changes from slice to slice;
    frames_per_slice: exposures of one slice, added up.
    """

    positions: Positions
    moves: Moves
    frames_per_slice: int = 1


@dataclass(frozen=True)
class BeadPlace:
    """Position of a bead: number of its stack, column and row in it, px.

    first: column and row of the stack's first pixel on the chip;  file: of the stack, where there are several.
    """

    stack: int
    column: int
    row: int
    first: tuple[int, int] = (0, 0)
    file: str = ""

    def __str__(self) -> str:
        where = f"bead at column {self.column}, row {self.row}"
        return f"{self.file}: {where}" if self.file else where

    @property
    def on_chip(self) -> tuple[int, int]:
        """Column and row in the field that contains all stacks."""
        return self.column + self.first[0], self.row + self.first[1]


@dataclass(frozen=True)
class BeadStacks:
    """All beads of all stacks.

    images: of the beads;  places: of each bead;  size_px: height and width of the field, else of the largest
    stack;
    warnings: sentences for the user, what was left out included;  noise: whose noise the images have.
    """

    images: BeadImages
    places: tuple[BeadPlace, ...]
    size_px: tuple[int, int]
    warnings: tuple[str, ...]
    noise: NoiseKind = "camera"

    def cut_like(self, other: BeadStacks) -> bool:
        """Whether the same beads are cut out at nearly the same positions."""
        if self.images.side != other.images.side or len(self.places) != len(other.places):
            return False
        ways = [
            max(abs(a.column - b.column), abs(a.row - b.row)) if a.stack == b.stack else self.images.side
            for a, b in zip(self.places, other.places, strict=True)
        ]
        return max(ways) <= _SAME_PX

    def reversed(self) -> BeadStacks:
        """The same stacks with the opposite stage direction."""
        return replace(self, images=self.images.reversed())

    def on_chip(self) -> Tensor:
        """Column and row of each bead in the field: (B, 2)."""
        return torch.tensor([place.on_chip for place in self.places])

    def in_field(self, first: Sequence[tuple[int, int]], size_px: tuple[int, int]) -> BeadStacks:
        """The same as parts of a field: column and row of each stack's first pixel; height and width.

        Raises InputError where a bead would lie outside.
        """
        moved = tuple(replace(place, first=first[place.stack]) for place in self.places)
        for place in moved:
            column, row = place.on_chip
            if column >= size_px[1] or row >= size_px[0]:
                raise InputError(
                    f"according to its position a bead lies at column {column}, row {row} of a chip of "
                    f"{size_px[1]} x {size_px[0]} px",
                    "give the chip's width and height (`chip_px`)",
                )
        return replace(self, places=moved, size_px=size_px)

    def placed(self, field: FieldSpec) -> BeadStacks:
        """The same with the position of its bead in the field for each image."""
        place = field.places(self.on_chip())
        return replace(self, images=replace(self.images, place=place[self.images.bead]))


@dataclass(frozen=True)
class SearchedStack:
    """A stack in which beads were looked for.

    stack: its file;  position_um: (S,) of its slices;  mean: (H, W) photons;  parts: (G, H, W) means of
    successive slices, in order of position;  spots: what looks like a bead;  doubts: sentences.
    """

    stack: OneStack
    position_um: Tensor
    mean: Tensor
    parts: Tensor
    spots: Spots
    doubts: tuple[str, ...]


def search_stacks(
    sources: Sequence[Path | Movie],
    camera: Camera,
    scan: SliceScan,
    template: Callable[[Tensor], Tensor],
    side: int,
    *,
    faults: Callable[[Path | Movie], PixelFaults],
) -> list[SearchedStack]:
    """Find what looks like a bead in each stack; arguments and errors as of `read_bead_stacks`."""
    stacks = [OneStack(source, camera, scan.frames_per_slice, faults(source)) for source in sources]
    said = [scan.positions(stack.slices) for stack in stacks]
    searched = []
    for source, stack, position_um in zip(sources, stacks, said, strict=True):
        doubts = check_stack(source, camera, stack.maps)
        mean, parts = stack.means(position_um)
        spots = find_spots(mean, template(position_um), side, parts)
        searched.append(SearchedStack(stack, position_um, mean, parts, spots, (*doubts, *stack.warnings())))
    return searched


def read_bead_stacks(
    sources: Sequence[Path | Movie],
    camera: Camera,
    scan: SliceScan,
    template: Callable[[Tensor], Tensor],
    side: int,
    *,
    faults: Callable[[Path | Movie], PixelFaults],
    chosen: Sequence[tuple[int, int, int]] | None = None,
) -> BeadStacks:
    """Find the beads of each stack and cut out their images.

    sources: files, or open movies;  scan: of the slices;  template: from their positions (S,) µm to the mean
    image of a bead (h, h);  side: of the images, px, at most: they become smaller where frames leave no room
    around the only bead;  faults: of a stack's pixels;  chosen: stack, column and row of the beads to use
    (None: all that are alone in their square).
    Raises InputError where a stack cannot be read, its positions do not fit, a chosen bead is too near to the
    border, or no bead is left.
    """
    parts: list[BeadImages] = []
    places: list[BeadPlace] = []
    warnings: list[str] = []
    searched = search_stacks(sources, camera, scan, template, side, faults=faults)
    beads, side = _beads_of(searched, side, chosen)
    for number, (each, found) in enumerate(zip(searched, beads, strict=True)):
        stack, path = each.stack, each.stack.path
        label = f"{path.name}: " if len(sources) > 1 else ""
        warnings += [label + sentence for sentence in (*each.doubts, *found.rejected)]
        if not len(found.centre):
            continue
        likelihood = stack.images(found.centre, side)
        count = len(found.centre)
        bead = torch.arange(count).repeat_interleave(stack.slices)
        plane = torch.arange(stack.slices).repeat(count)
        part = BeadImages(likelihood, bead, plane, each.position_um.float()[plane], scan.moves)
        centres: list[list[int]] = found.centre.tolist()
        warnings += [label + sentence for sentence in _check_slices(part, path, centres, stack.full)]
        parts.append(part)
        file = path.name if len(sources) > 1 else ""
        places += [BeadPlace(number, column, row, file=file) for column, row in centres]
    if not parts:
        why = "; ".join(warnings[:4]) or "no spot stands out from the background"
        raise InputError(
            f"no bead can be used: {why}",
            f"each bead needs {side} px for itself (`side_px`), away from the border",
        )
    size = max(each.stack.height for each in searched), max(each.stack.width for each in searched)
    images = _joined(parts)
    noise = own_noise(images.likelihood)
    images = replace(images, likelihood=noise.likelihood)
    return BeadStacks(images, tuple(places), size, (*warnings, *noise.warnings()), noise.kind)


def _beads_of(
    searched: Sequence[SearchedStack], side: int, chosen: Sequence[tuple[int, int, int]] | None
) -> tuple[list[FoundBeads], int]:
    """The beads of each stack that are used, and the side of their images, px."""
    if chosen is None:
        side = side_that_fits([each.spots for each in searched], side)
        return [judge_spots(each.spots, side) for each in searched], side
    if not chosen:
        raise InputError("no bead is chosen", "choose at least one, or leave the choice out (`beads_at`)")
    named = [[place[1:] for place in chosen if place[0] == number] for number in range(len(searched))]
    spots = [spots_at(each.mean, places, side) for each, places in zip(searched, named, strict=True)]
    side = side_that_fits([each for each in spots if len(each.centre)], side)
    return [take_spots(mine, each.spots, side) for mine, each in zip(spots, searched, strict=True)], side


def _check_slices(part: BeadImages, path: Path, centres: list[list[int]], full: Tensor) -> list[str]:
    """Raises InputError for slices out of order; returns warnings on odd slices and saturated pixels.

    full: (beads, slices) bool, images with saturated pixels.
    """
    brightest = part.select(part.bead == 0)
    distance = distance_of_slices(brightest.likelihood)
    ratio = order_ratio(distance, brightest.position_um)
    if len(brightest) >= 6 and ratio > _SHUFFLED:
        raise InputError(
            f"{path}: slices adjacent in position are hardly more similar than any two slices "
            f"({100 * ratio:.0f} % of the mean difference)",
            "are the positions in the order of the frames?",
        )
    odd = [int(brightest.plane[k]) for k in jumps(distance, brightest.position_um)]
    told = [
        f"slice {k} differs from both its neighbours: a jump of the stage, or a slice out of order" for k in odd
    ]
    for (column, row), share in zip(centres, full.float().mean(1).tolist(), strict=True):
        if share > _OFTEN:
            told.append(
                f"bead at column {column}, row {row}: saturated in {100 * share:.0f} % of its slices; "
                "saturated pixels are left out, use a shorter exposure"
            )
    return told


def _joined(parts: Sequence[BeadImages]) -> BeadImages:
    """Beads of several stacks combined as beads of one."""
    first = parts[0].likelihood
    weights = [p.likelihood.weight for p in parts]
    weight = None
    if any(w is not None for w in weights):
        weight = torch.cat(
            [
                torch.ones_like(p.likelihood.frames) if w is None else w
                for p, w in zip(parts, weights, strict=True)
            ]
        )
    frames = torch.cat([p.likelihood.frames for p in parts])
    before = np.cumsum([0, *(p.beads for p in parts)])
    slices = np.cumsum([0, *(p.planes for p in parts)])
    return BeadImages(
        Likelihood(frames, first.noise, weight),
        torch.cat([p.bead + int(n) for p, n in zip(parts, before[:-1], strict=True)]),
        torch.cat([p.plane + int(n) for p, n in zip(parts, slices[:-1], strict=True)]),
        torch.cat([p.position_um for p in parts]),
        parts[0].moves,
    )
