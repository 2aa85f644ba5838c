"""Stacks of beads in memory or in files: the mask that explains them, or the PSF as they show it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..calibration.beads.images import Moves
from ..calibration.beads.settings import BeadSettings
from ..calibration.measured_psf.measure import MeasuredPSF, average_psf
from ..calibration.phase_retrieval import retrieval
from ..calibration.phase_retrieval.retrieval import DefocusGoes, Retrieval, Unknowns
from ..errors import DoubtfulResult
from ..io.movies import AnyMovie, Movie, as_source
from ..watch import SILENT, Watcher
from .movies import AnExperiment, as_experiment

__all__ = ["Beads", "measure_psf", "retrieve_mask"]

Beads = AnyMovie | Sequence[AnyMovie]
"""A stack of beads (slices, height, width): array, tensor, movie or path; or several in a list."""
Positions = str | PathLike[str] | ArrayLike
"""Positions of the slices in µm, or the text file with one a line."""


def retrieve_mask(
    beads: Beads,
    experiment: AnExperiment,
    *,
    stack: Moves = "objective",
    step_um: float | None = None,
    first_um: float | None = None,
    positions: Positions | None = None,
    bead_nm: float = 100.0,
    bead_z_um: float | None = None,
    frames_per_slice: int = 1,
    side_px: int | None = None,
    places: Sequence[tuple[int, int]] | str | PathLike[str] | None = None,
    chip_px: tuple[int, int] | None = None,
    pixel_um: float | None = None,
    defocus: DefocusGoes = "mask",
    amplitude: bool = False,
    fit_positions: bool = False,
    watch: Watcher = SILENT,
) -> Retrieval:
    """Find the phase mask of a microscope, aberrations included, from z-stacks of beads.

    Parameters
    ----------
    beads : array (slices, height, width), tensor, movie or path, or a list of them
        Counts of the camera, as recorded.
    experiment : Experiment, name of a preset, or path
        The set-up; its mask is the initial guess.
    stack : "objective" or "depth"
        What moves from slice to slice: the objective (beads on the coverslip), or the depth of the beads.
    step_um, first_um : float
        Distance of the slices, µm (negative: the other way), and position of the first.
    positions : array or path
        One position a slice, µm, or a text file with one a line; instead of the two before.
    bead_nm : float
        Diameter of the beads.
    bead_z_um : float
        Height of their middle above the coverslip, µm; half the diameter where left out.
    frames_per_slice : int
        Exposures of one slice, which are added up.
    side_px : int
        Of the image of a bead, odd; as large as its light needs where left out.
    places : list of (column, row), or path
        First pixel of each stack on the chip, where stacks are crops of one field; or the file with them.
    chip_px : tuple
        Width and height of that field, px.
    pixel_um : float
        Camera pixel in the sample, whatever the files say.
    defocus : "mask" or "focus"
        Beads cannot tell defocus in the mask from a wrong zero of the positions: it stays in the mask, or
        becomes a change of ``microscope.focus``.
    amplitude : bool
        Find how the light is spread over the pupil, too.
    fit_positions : bool
        Find where the slices are, too, all but their zero.
    watch : Watcher
        Told the rounds of the fit.

    Returns
    -------
    Retrieval
        ``.phase`` (h, w) in radians; ``.experiment`` with blur, light and focus as found, its mask as before
        (`write_mask` writes the phase to a file that it can name); ``.figures``; ``.field``.

    Raises
    ------
    InputError
        For stacks or positions that do not fit, slices out of order, too few slices, and no bead.

    Warns
    -----
    DoubtfulResult
        Where the beads are not explained, or the mask may be wrong.
    """
    settings = BeadSettings(
        moves=stack,
        step_um=step_um,
        first_um=first_um,
        positions=_positions(positions),
        bead_um=bead_nm / 1000,
        bead_z_um=bead_z_um,
        frames_per_slice=frames_per_slice,
        side_px=side_px,
        pixel_um=pixel_um,
        places=_places(places),
        chip_px=chip_px,
    )
    unknowns = Unknowns(defocus, amplitude, fit_positions)
    found = retrieval.retrieve_mask(as_experiment(experiment), _stacks(beads), settings, unknowns, watch=watch)
    for text in found.warnings:
        warnings.warn(text, DoubtfulResult, stacklevel=2)
    return found


def measure_psf(
    beads: Beads,
    experiment: AnExperiment,
    *,
    stack: Moves = "objective",
    step_um: float | None = None,
    first_um: float | None = None,
    positions: Positions | None = None,
    bead_nm: float = 100.0,
    bead_z_um: float | None = None,
    frames_per_slice: int = 1,
    side_px: int | None = None,
    pixel_um: float | None = None,
) -> MeasuredPSF:
    """Measure the PSF from z-stacks of beads as it is, without a model of the optics.

    Beads are registered, averaged and freed of noise.

    Parameters
    ----------
    beads : array (slices, height, width), tensor, movie or path, or a list of them
        Counts of the camera, as recorded; all stacks with the same slices.
    experiment : Experiment, name of a preset, or path
        Its camera, its pixel, and the mask that beads are looked for with.
    stack, step_um, first_um, positions, bead_nm, bead_z_um, frames_per_slice, side_px, pixel_um
        As in `retrieve_mask`.

    Returns
    -------
    MeasuredPSF
        ``.volume``: planes (Z, h, h) of even depth (``.volume.values``), the fullest with a sum of 1.

    Raises
    ------
    InputError
        For stacks or positions that do not fit each other, too few slices, and no bead.

    Warns
    -----
    DoubtfulResult
        Where beads were left out, or slices or pixels are odd.
    """
    settings = BeadSettings(
        moves=stack,
        step_um=step_um,
        first_um=first_um,
        positions=_positions(positions),
        bead_um=bead_nm / 1000,
        bead_z_um=bead_z_um,
        frames_per_slice=frames_per_slice,
        side_px=side_px,
        pixel_um=pixel_um,
    )
    measured = average_psf(as_experiment(experiment), _stacks(beads), settings)
    for text in measured.warnings:
        warnings.warn(text, DoubtfulResult, stacklevel=2)
    return measured


def _stacks(beads: Beads) -> list[Path | Movie]:
    """Each stack as a file or movie; arrays are named by their number."""
    if isinstance(beads, list | tuple):
        return [as_source(stack, name=f"stack {number}") for number, stack in enumerate(beads)]
    return [as_source(beads, name="stack")]  # pyright: ignore[reportArgumentType]


def _positions(given: Positions | None) -> Path | tuple[float, ...] | None:
    if given is None:
        return None
    if isinstance(given, str | PathLike):
        return Path(given)
    return tuple(float(each) for each in np.asarray(given, dtype=np.float64).ravel())


def _places(
    given: Sequence[tuple[int, int]] | str | PathLike[str] | None,
) -> Path | tuple[tuple[int, int], ...] | None:
    if given is None:
        return None
    if isinstance(given, str | PathLike):
        return Path(given)
    return tuple((int(column), int(row)) for column, row in given)
