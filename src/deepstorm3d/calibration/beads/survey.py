"""What there is in stacks of beads: all spots, and why some cannot be used; before anything is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...brief import Brief
from ...errors import InputError
from ...experiment.experiment import Experiment
from ...experiment.optics import whole_mask
from ...io.movies import Movie
from .finding import Spots, settled, side_that_fits, why_not
from .reading import prepare_search
from .settings import BeadSettings
from .stacks import SearchedStack, search_stacks

__all__ = ["BeadSpot", "BeadSurvey", "StackSurvey", "survey_beads"]

# Farthest that a place is moved to where the stack looks most like a bead, px.
_REACH_PX = 5


@dataclass(frozen=True)
class BeadSpot:
    """A spot that looks like a bead.

    column, row: of its middle, px from 0;  brightness: relative to the brightest of its stack, in the search;
    reason: why it cannot be used, in words; empty where it can.
    """

    column: int
    row: int
    brightness: float
    reason: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class StackSurvey(Brief):
    """One stack.

    name: of its file;  mean: (H, W) photons, mean of all slices;  parts: (G, H, W) photons, means of successive
    slices in order of position;  position_um: (G,) mean position of each part;  spots: the brightest first;
    template: (h, h) the mean image of a bead that was looked for;  doubts: sentences about the stack.
    """

    name: str
    mean: Tensor
    parts: Tensor
    position_um: Tensor
    spots: tuple[BeadSpot, ...]
    template: Tensor
    doubts: tuple[str, ...] = ()

    def spot_near(self, column: float, row: float) -> tuple[int, int]:
        """Column and row, at most 5 px away, at which the stack looks most like a bead."""
        return settled(self.mean, self.template, (round(column), round(row)), _REACH_PX)

    def cut(self, column: int, row: int, side: int) -> Tensor:
        """The parts around a place: (G, side, side) photons, 0 beyond the frame."""
        half = side // 2
        padded = torch.nn.functional.pad(self.parts, [half] * 4)
        return padded[:, row : row + 2 * half + 1, column : column + 2 * half + 1]


@dataclass(frozen=True, eq=False, repr=False)
class BeadSurvey(Brief):
    """All stacks, and the side of the square in which a bead must be alone, px."""

    stacks: tuple[StackSurvey, ...]
    side: int


def survey_beads(experiment: Experiment, beads: Sequence[Path | Movie], settings: BeadSettings) -> BeadSurvey:
    """Find what looks like a bead in each stack, with the experiment's mask, and say what can be used.

    beads: files, or open movies.
    Raises InputError for files or positions that do not fit, and too few slices.
    """
    if not beads:
        raise InputError("there is no stack of beads", "give at least one")
    search = prepare_search(experiment, beads, settings, whole_mask(experiment))
    searched = search_stacks(
        beads, experiment.camera, search.scan, search.template, search.side, faults=search.faults
    )
    side = side_that_fits([each.spots for each in searched], search.side)
    stacks = [_surveyed(each, search.template(each.position_um), side) for each in searched]
    return BeadSurvey(tuple(stacks), side)


def _surveyed(searched: SearchedStack, template: Tensor, side: int) -> StackSurvey:
    return StackSurvey(
        searched.stack.path.name,
        searched.mean,
        searched.parts,
        _position_of_parts(searched.position_um, len(searched.parts)),
        _judged(searched.spots, side),
        template,
        searched.doubts,
    )


def _judged(spots: Spots, side: int) -> tuple[BeadSpot, ...]:
    places: list[list[int]] = spots.centre.tolist()
    strongest = float(spots.brightness.max()) if len(places) else 1.0
    return tuple(
        BeadSpot(column, row, value / strongest, reason)
        for (column, row), value, reason in zip(
            places, spots.brightness.tolist(), why_not(spots, side), strict=True
        )
    )


def _position_of_parts(position_um: Tensor, parts: int) -> Tensor:
    """Mean position (G,) of the slices of each part."""
    ordered = position_um.sort(stable=True).values
    part = torch.arange(len(ordered)) * parts // len(ordered)
    total = torch.zeros(parts, dtype=ordered.dtype).index_add(0, part, ordered)
    return total / torch.bincount(part, minlength=parts)
