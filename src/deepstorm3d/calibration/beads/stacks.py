"""Bead stacks from files: positions of the slices, beads found, their images cut out in photons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...camera import Camera
from ...chip import check_size
from ...errors import InputError
from ...fitting.likelihood import Likelihood
from ...io.movies import Movie, opened, path_of
from ...optics.field_aberrations import FieldSpec
from ...pixels.faults import PixelFaults
from ...pixels.reading import Light, PixelReader
from .finding import find_spots, judge_spots, side_that_fits
from .image_noise import NoiseKind, own_noise
from .images import BeadImages, Moves
from .slice_order import distance_of_slices, jumps, order_ratio
from .stack_check import check_stack

__all__ = ["BeadPlace", "BeadStacks", "SliceScan", "read_bead_stacks"]

# The maximum count is taken as saturation if at least this many pixels have it.
_PLATEAU_PX = 12
# Least maximum count that is taken as saturation, ADU.
_PLATEAU_COUNTS = 200
# Fraction of a bead's slices with saturated pixels above which there is a warning.
_OFTEN = 0.1
# Number of parts of a stack by which lobes of a bead are distinguished from neighbours.
_PARTS = 16
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


def read_bead_stacks(
    sources: Sequence[Path | Movie],
    camera: Camera,
    scan: SliceScan,
    template: Callable[[Tensor], Tensor],
    side: int,
    *,
    faults: Callable[[Path | Movie], PixelFaults],
) -> BeadStacks:
    """Find the beads of each stack and cut out their images.

    sources: files, or open movies;  scan: of the slices;  template: from their positions (S,) µm to the mean
    image of a bead (h, h);  side: of the images, px, at most: they become smaller where frames leave no room
    around the only bead;  faults: of a stack's pixels.
    Raises InputError where a stack cannot be read, its positions do not fit, or no bead is left.
    """
    parts: list[BeadImages] = []
    places: list[BeadPlace] = []
    warnings: list[str] = []
    stacks = [_Stack(source, camera, scan.frames_per_slice, faults(source)) for source in sources]
    said = [scan.positions(stack.slices) for stack in stacks]
    searched, doubts = [], []
    for source, stack, position_um in zip(sources, stacks, said, strict=True):
        doubts.append(check_stack(source, camera, stack.maps))
        mean, parts_of_stack = stack.means(position_um)
        searched.append(find_spots(mean, template(position_um), side, parts_of_stack))
    side = side_that_fits(searched, side)
    for number, (stack, position_um) in enumerate(zip(stacks, said, strict=True)):
        path = stack.path
        found = judge_spots(searched[number], side)
        label = f"{path.name}: " if len(sources) > 1 else ""
        warnings += [label + sentence for sentence in (*doubts[number], *stack.warnings(), *found.rejected)]
        if not len(found.centre):
            continue
        likelihood = stack.images(found.centre, side)
        count = len(found.centre)
        bead = torch.arange(count).repeat_interleave(stack.slices)
        plane = torch.arange(stack.slices).repeat(count)
        part = BeadImages(likelihood, bead, plane, position_um.float()[plane], scan.moves)
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
    size = max(stack.height for stack in stacks), max(stack.width for stack in stacks)
    images = _joined(parts)
    noise = own_noise(images.likelihood)
    images = replace(images, likelihood=noise.likelihood)
    return BeadStacks(images, tuple(places), size, (*warnings, *noise.warnings()), noise.kind)


class _Stack:
    """One stack, read slice by slice."""

    def __init__(
        self, source: Path | Movie, camera: Camera, frames_per_slice: int, faults: PixelFaults
    ) -> None:
        self.source, self.path = source, path_of(source)
        self.camera, self.each, self.faults = camera, frames_per_slice, faults
        self.maps = camera.load_maps()
        self.reader = PixelReader(faults, lambda counts: camera.to_photons(counts, self.maps))
        # Outliers: number of pixels that stand out in single frames, and number of these frames.
        self.outliers = self.outlier_frames = 0
        self.full = torch.zeros(0, 0, dtype=torch.bool)
        with opened(source) as movie:
            self.frames, self.height, self.width = movie.shape
            self.whole_numbers = movie.dtype.kind in "iu"
        check_size(self.maps, (self.height, self.width), f"the slices of {self.path.name}")
        if self.frames % self.each:
            raise InputError(
                f"{self.path}: {self.frames} frames are no multiple of the {self.each} frames of a slice "
                "(`frames_per_slice`)"
            )
        self.slices = self.frames // self.each
        self.greatest, self.at_greatest = -np.inf, 0

    def counts(self) -> Any:
        """The frames one after the other, (H, W) float32 counts."""
        with opened(self.source) as movie:
            for frame in range(self.frames):
                yield frame, np.asarray(movie.read(frame, frame + 1)[0], dtype=np.float32)

    def light(self, counts: Any) -> Light:
        """One frame (H, W) of counts."""
        return self.reader(torch.from_numpy(counts)[None])

    def means(self, position_um: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of all frames (H, W), and of parts of the stack in order of position (G, H, W), photons.

        position_um: (S,).  The maximum count and outliers are recorded on the way.
        """
        parts = min(self.slices, _PARTS)
        part = position_um.argsort(stable=True).argsort() * parts // self.slices
        total = torch.zeros(parts, self.height, self.width)
        for frame, counts in self.counts():
            light = self.light(counts)
            total[part[frame // self.each]] += light.photons[0]
            self.outliers += int(light.outliers)
            self.outlier_frames += int(light.outliers > 0)
            here = float(counts.max())
            if here > self.greatest:
                self.greatest, self.at_greatest = here, 0
            if here == self.greatest:
                self.at_greatest += int((counts == here).sum())
        held = torch.bincount(part, minlength=parts) * self.each
        return total.sum(0) / self.frames, total / held[:, None, None]

    @property
    def saturation(self) -> float:
        """Count at which a pixel is saturated: the camera's, or the maximum count of this stack."""
        plateau = self.whole_numbers and self.greatest > _PLATEAU_COUNTS and self.at_greatest >= _PLATEAU_PX
        return min(self.camera.saturation, self.greatest) if plateau else self.camera.saturation

    def warnings(self) -> list[str]:
        """Warnings from the counts."""
        told = self.faults.about_defects()
        if self.outliers:
            told.append(
                f"{self.outliers} pixels in {self.outlier_frames} of {self.frames} frames stand out more than "
                "light through this objective can (cosmic rays, flickering pixels); they are ignored there"
            )
        if self.saturation < self.camera.saturation:
            told.append(
                f"{self.at_greatest} pixels have the greatest count, {self.greatest:.0f}: the camera saturates "
                f"there, not at {self.camera.saturation:.0f}; they are left out (set camera.saturation)"
            )
        return told

    def images(self, centre: Tensor, side: int) -> Likelihood:
        """Images of beads, one bead after the other: (beads · slices, side, side).

        Saturated and defective pixels are left out; `full` records the saturated ones by slice and bead.
        """
        half = side // 2
        images = torch.zeros(len(centre), self.slices, side, side)
        weight = torch.ones_like(images)
        self.full = torch.zeros(len(centre), self.slices, dtype=torch.bool)
        limit = self.saturation
        for frame, counts in self.counts():
            light, slice_ = self.light(counts), frame // self.each
            photons, full = light.photons[0], torch.from_numpy(counts >= limit)
            free = ~full if light.weight is None else (light.weight[0] > 0) & ~full
            for bead, (column, row) in enumerate(centre.tolist()):
                box = (slice(row - half, row + half + 1), slice(column - half, column + half + 1))
                images[bead, slice_] += photons[box]
                weight[bead, slice_] *= free[box]
                self.full[bead, slice_] |= bool(full[box].any())
        noise = self.camera.pixel_noise(self.maps).averaged().at_least_shot_noise().of_sum(self.each)
        anything_left_out = bool((weight == 0).any())
        return Likelihood(
            images.flatten(0, 1),
            noise,
            weight.flatten(0, 1) if anything_left_out else None,
        )


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
