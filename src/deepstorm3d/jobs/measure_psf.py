"""Measure the PSF itself from stacks of beads, without a model of the optics; spline fitters read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .. import plot
from ..calibration.beads.settings import BeadSettings
from ..calibration.measured_psf.experiment import measured_experiment
from ..calibration.measured_psf.measure import MeasuredPSF, average_psf
from ..experiment.experiment import Experiment
from ..experiment.files import write_experiment
from ..io.parts import beside, claim_name, refuse_same_names
from ..io.psfs import claim_psf, read_psf, write_psf
from ..plot.panels import claim_picture, save_figure

__all__ = ["measure_psf"]


def measure_psf(
    experiment: Experiment,
    beads: Sequence[Path],
    settings: BeadSettings,
    out: Path,
    *,
    picture: Path | None = None,
    experiment_out: Path | None = None,
    overwrite: bool = False,
) -> MeasuredPSF:
    """Average beads (`average_psf`), write the planes (`io.psfs`), and draw them.

    picture: beside `out` where left out;  experiment_out: file for the experiment with this PSF
    (`measured_experiment`).
    Raises InputError as `average_psf`, and where an output cannot be written.
    """
    picture = beside(out, ".png") if picture is None else picture
    claim_psf(out, overwrite=overwrite)
    claim_picture(picture, overwrite=overwrite)
    refuse_same_names([out, picture, experiment_out])
    if experiment_out is not None:
        claim_name(experiment_out, overwrite=overwrite)
    measured = average_psf(experiment, beads, settings)
    volume = measured.volume
    write_psf(out, volume, overwrite=overwrite)
    title = f"{int(measured.averaged.used.sum())} of {len(measured.places)} beads, {out.name}"
    save_figure(plot.psf(volume, title=title), picture)
    notes: list[str] = []
    if experiment_out is not None:
        # As others will read it: what a file keeps of the planes is what its hash is of.
        planes = read_psf(out, pixel_um=volume.pixel_um)
        changed, notes = measured_experiment(experiment, planes, out)
        write_experiment(changed, experiment_out)
    return replace(measured, notes=tuple(notes))
