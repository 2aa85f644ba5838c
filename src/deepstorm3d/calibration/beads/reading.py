"""Reads stacks of beads as their settings say: where to look, with what, and which beads to cut out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...chip import check_size
from ...errors import InputError
from ...experiment.experiment import Experiment
from ...frames.pixel_faults import faults_of, known_defects, sample_frames
from ...io.movies import Movie, opened, path_of
from ...io.movies.pixel_size import check_pixel
from ...io.movies.preparation import Prepared
from ...optics.computed import build_psf, computed_psf
from ...optics.masks import PhaseMask
from ...pixels.faults import PixelFaults
from ..phase_retrieval.retriever import largest_side
from .images import images_on_axis
from .settings import BLUR_OF_MOLECULES, BeadPosition, BeadSettings
from .slice_positions import read_positions
from .stack_places import read_bead_positions, read_places
from .stacks import BeadStacks, SliceScan, read_bead_stacks
from .stage_range import check_positions, even_positions

__all__ = ["BeadSearch", "prepare_search", "read_beads"]

# Encircled energy of the image of a bead: fraction of its light inside.
_LIGHT = 0.85
# Smallest and largest default side of the image of a bead, px.
_SIDES = (31, 73)
# Smallest useful side of the image of a bead, px.
_LEAST_PX = 11


@dataclass(frozen=True)
class BeadSearch:
    """How beads are looked for in stacks.

    scan: of the slices;  template: from their positions (S,) µm to the mean image of a bead (h, h);
    side: of the square for each bead, px;  wanted: the side that its light needs, px;
    faults: of a stack's pixels.
    """

    scan: SliceScan
    template: Callable[[Tensor], Tensor]
    side: int
    wanted: int
    faults: Callable[[Path | Movie], PixelFaults]


def read_beads(
    experiment: Experiment, beads: Sequence[Path | Movie], settings: BeadSettings, design: PhaseMask
) -> BeadStacks:
    """Find the beads of stacks, or take those that the settings name, and cut their images out.

    beads: files, or open movies;  design: what beads are looked for with.
    Raises InputError for files or positions that do not fit, slices out of order, too few slices, and no bead.
    """
    search = prepare_search(experiment, beads, settings, design)
    stacks = read_bead_stacks(
        beads,
        experiment.camera,
        search.scan,
        search.template,
        search.side,
        faults=search.faults,
        chosen=_chosen(settings.beads_at, beads),
    )
    if settings.places is not None:
        width, height = settings.chip_px or experiment.psf.across.size_px[::-1]
        stacks = stacks.in_field(_places(settings.places, beads), (height, width))
    told = _narrow(stacks.images.side, search.wanted)
    return replace(stacks, warnings=(*stacks.warnings, *told))


def prepare_search(
    experiment: Experiment, beads: Sequence[Path | Movie], settings: BeadSettings, design: PhaseMask
) -> BeadSearch:
    """What beads of these stacks are looked for with, and in how large a square; arguments as of `read_beads`.

    Raises InputError for files or positions that do not fit, and too few slices.
    """
    _check_pixels(experiment, beads, settings)
    spec = computed_psf(experiment.psf).unaberrated
    asked = experiment.z_um
    given = _positions(settings.positions)
    named = settings.positions if isinstance(settings.positions, Path) else "the list"

    def positions(slices: int) -> Tensor:
        if given is None:
            return even_positions(slices, settings.moves, asked, settings.step_um, settings.first_um)
        if len(given) != slices:
            raise InputError(
                f"{named} has {len(given)} positions, the stack {slices} slices",
                "give one for each slice, in a file one a line",
            )
        return given

    def mean_image(position_um: Tensor) -> Tensor:
        check_positions(position_um, experiment.microscope.wavelength)
        psf = build_psf(spec, experiment.microscope, design, patch_px=side)
        return _images(psf, position_um, settings).mean(0)

    frames, narrowest = _size_of(beads)
    first = positions(frames // settings.frames_per_slice)
    check_positions(first, experiment.microscope.wavelength)
    wanted = settings.side_px or _side(experiment, design, first, settings)
    if wanted % 2 == 0 or wanted > largest_side(experiment.microscope, spec):
        raise InputError(
            f"the images of beads cannot be {wanted} px wide",
            f"give an odd side of at most {largest_side(experiment.microscope, spec)} "
            "px (beyond, the image of the mask's pixels repeats)",
        )
    side = _inside(wanted, narrowest, asked=settings.side_px is not None)
    scan = SliceScan(positions, settings.moves, settings.frames_per_slice)
    return BeadSearch(scan, mean_image, side, wanted, lambda source: _faults(source, experiment, settings))


def _chosen(
    given: Path | tuple[BeadPosition, ...] | None, beads: Sequence[Path | Movie]
) -> list[tuple[int, int, int]] | None:
    """Stack, column and row of each chosen bead; None: those that are found."""
    if given is None:
        return None
    if isinstance(given, Path):
        return read_bead_positions(given, [path_of(source) for source in beads])
    chosen = []
    for place in given:
        stack, column, row = place if len(place) == 3 else (0, *place)
        if len(place) == 2 and len(beads) > 1:
            raise InputError(
                f"there are {len(beads)} stacks, and the bead at column {column}, row {row} does not say "
                "in which it is",
                "give the number of the stack, from 0, before column and row",
            )
        if not 0 <= stack < len(beads):
            raise InputError(f"a bead is in stack {stack}, but there are {len(beads)} stacks, from 0")
        chosen.append((stack, column, row))
    return chosen


def _positions(given: Path | tuple[float, ...] | None) -> Tensor | None:
    """Positions (S,) µm of the slices, where they are given."""
    if given is None or isinstance(given, Path):
        return None if given is None else read_positions(given)
    return torch.tensor(given, dtype=torch.float64)


def _places(given: Path | tuple[tuple[int, int], ...], beads: Sequence[Path | Movie]) -> list[tuple[int, int]]:
    """Column and row of each stack's first pixel."""
    if isinstance(given, Path):
        return read_places(given, [path_of(source) for source in beads])
    if len(given) != len(beads):
        raise InputError(f"{len(given)} places are given for {len(beads)} stacks of beads", "give one for each")
    return list(given)


def _faults(source: Path | Movie, experiment: Experiment, settings: BeadSettings) -> PixelFaults:
    """Pixel faults of a stack."""
    with opened(source) as movie:
        known = known_defects(settings.defects, Prepared(), movie.shape)
        sample, look = sample_frames(movie, Prepared()), settings.defects != "none"
    camera = experiment.camera
    maps = camera.load_maps()
    check_size(maps, (sample.shape[1], sample.shape[2]), f"the slices of {path_of(source).name}")
    return faults_of(sample, camera, maps, experiment.microscope, known=known, look=look)


def _check_pixels(experiment: Experiment, beads: Sequence[Path | Movie], settings: BeadSettings) -> None:
    """Refuse stacks whose pixels are not the experiment's: a phase found with them would be another one."""
    remedy = "correct camera_pitch or magnification"
    for source in beads:
        with opened(source) as stack:
            pixel_um = experiment.microscope.pixel_um
            check_pixel(stack, pixel_um, "the experiment's are", remedy, given_um=settings.pixel_um)


def _size_of(beads: Sequence[Path | Movie]) -> tuple[int, int]:
    """Frames of the first stack, and the shortest side of any frame, px."""
    shapes = []
    for source in beads:
        with opened(source) as movie:
            shapes.append(movie.shape)
    return shapes[0][0], min(min(shape[1:]) for shape in shapes)


def _inside(side: int, narrowest: int, *, asked: bool) -> int:
    """The side of a square that lies in the frames, px."""
    if narrowest < _LEAST_PX:
        raise InputError(
            f"frames of {narrowest} px are too small for the image of a bead: {_LEAST_PX} px or more are needed"
        )
    if asked and side > narrowest:
        raise InputError(
            f"images of {side} px do not fit into frames of {narrowest} px",
            f"give {narrowest - 1 + narrowest % 2} px or less (`side_px`)",
        )
    return min(side, narrowest - 1 + narrowest % 2)


def _narrow(side: int, wanted: int) -> list[str]:
    """A warning where crops are smaller than the light of a bead."""
    if side == wanted:
        return []
    return [
        f"the frames leave {side} px around a bead, but its light needs {wanted} px: parts of the mask that "
        "send light farther out are hardly measured; record larger frames if you can"
    ]


def _images(psf: Any, position_um: Tensor, settings: BeadSettings) -> Tensor:
    """Images of a bead at each position, from the PSF: (S, h, h)."""
    depth_um = 0.0 if settings.moves == "depth" else settings.depth_um
    return images_on_axis(psf, position_um.float(), settings.moves, depth_um, BLUR_OF_MOLECULES)


def _side(experiment: Experiment, design: PhaseMask, position_um: Tensor, settings: BeadSettings) -> int:
    """Side of the smallest square that contains most of a bead's light in most slices, px, odd."""
    spec = computed_psf(experiment.psf).unaberrated
    widest = min(_SIDES[1], largest_side(experiment.microscope, spec))
    images = _images(build_psf(spec, experiment.microscope, design, patch_px=widest), position_um, settings)
    for side in range(_SIDES[0], widest, 6):
        cut = (widest - side) // 2
        inner = images[:, cut : widest - cut, cut : widest - cut].sum((1, 2))
        if float(inner.quantile(0.2)) >= _LIGHT:
            return side
    return widest
