"""Stacks of beads in memory or in files: the mask that explains them, or the PSF as they show it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..calibration.beads.settings import BeadSettings
from ..calibration.beads.survey import BeadSurvey, survey_beads
from ..calibration.measured_psf.measure import MeasuredPSF, average_psf
from ..calibration.phase_retrieval import retrieval
from ..calibration.phase_retrieval.retrieval import DefocusGoes, Retrieval, Unknowns
from ..front_door import doubt, public
from ..io.movies import AnyMovie, Movie, as_source
from ..watch import SILENT, Watcher
from .movies import AnExperiment, as_experiment

__all__ = ["Beads", "find_beads", "measure_psf", "retrieve_mask"]

Beads = AnyMovie | Sequence[AnyMovie]
"""A stack of beads (slices, height, width): array, tensor, movie or path; or several in a list."""
_AS_USUAL = BeadSettings()


@public
def find_beads(beads: Beads, experiment: AnExperiment, recorded: BeadSettings = _AS_USUAL) -> BeadSurvey:
    """Find what looks like a bead in z-stacks, and say what can be used: to choose beads before a fit.

    Parameters
    ----------
    beads : array (slices, height, width), tensor, movie or path, or a list of them
        Counts of the camera, as recorded.
    experiment : Experiment, name of a preset, or path
        The set-up; beads are looked for through its mask.
    recorded : BeadSettings
        How the stacks were recorded: what moved, the positions of the slices, the beads.

    Returns
    -------
    BeadSurvey
        ``.stacks[0].spots``, the brightest first: each with ``.column``, ``.row`` and ``.reason``, which is
        empty where the bead can be used. ``BeadSettings(beads_at=((column, row), …))`` chooses beads.

    Raises
    ------
    InputError
        For stacks or positions that do not fit, and too few slices.
    """
    return survey_beads(as_experiment(experiment), _stacks(beads), recorded)


@public
def retrieve_mask(
    beads: Beads,
    experiment: AnExperiment,
    recorded: BeadSettings = _AS_USUAL,
    *,
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
    recorded : BeadSettings
        How the stacks were recorded: what moved, the positions of the slices, the beads.
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
    unknowns = Unknowns(defocus, amplitude, fit_positions)
    found = retrieval.retrieve_mask(as_experiment(experiment), _stacks(beads), recorded, unknowns, watch=watch)
    doubt(found.warnings)
    return found


@public
def measure_psf(beads: Beads, experiment: AnExperiment, recorded: BeadSettings = _AS_USUAL) -> MeasuredPSF:
    """Measure the PSF from z-stacks of beads as it is, without a model of the optics.

    Beads are registered, averaged and freed of noise.

    Parameters
    ----------
    beads : array (slices, height, width), tensor, movie or path, or a list of them
        Counts of the camera, as recorded; all stacks with the same slices.
    experiment : Experiment, name of a preset, or path
        Its camera, its pixel, and the mask that beads are looked for with.
    recorded : BeadSettings
        How the stacks were recorded: what moved, the positions of the slices, the beads.

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
    measured = average_psf(as_experiment(experiment), _stacks(beads), recorded)
    doubt(measured.warnings)
    return measured


def _stacks(beads: Beads) -> list[Path | Movie]:
    """Each stack as a file or movie; arrays are named by their number."""
    if isinstance(beads, list | tuple):
        return [as_source(stack, name=f"stack {number}") for number, stack in enumerate(beads)]
    return [as_source(beads, name="stack")]  # pyright: ignore[reportArgumentType]
