"""Estimate: photons, density, background and noise from a movie, as an experiment to train with."""

from __future__ import annotations

from pathlib import Path

from ..calibration.movie_statistics.estimate import Estimate, EstimateSettings, estimate
from ..calibration.movie_statistics.figure import likeness_figure
from ..experiment.experiment import Experiment, write_experiment
from ..io.parts import claim_name
from ..localizing.excerpt import Excerpt
from ..plot.panels import save_figure
from ..watch import SILENT, Watcher

__all__ = ["estimate_movie"]


def estimate_movie(
    excerpt: Excerpt,
    experiment: Experiment,
    out: Path,
    settings: EstimateSettings | None = None,
    *,
    picture: Path | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> Estimate:
    """Estimate an experiment (`estimate`), write it, and draw simulated beside real frames.

    picture: beside `out` where left out.
    Raises InputError as `estimate`, and where an output cannot be written.
    """
    picture = out.with_suffix(".png") if picture is None else picture
    for path in (out, picture):
        claim_name(path, overwrite=overwrite)
    found = estimate(excerpt, experiment, settings, watch=watch)
    write_experiment(found.experiment, out)
    camera, line = found.camera.camera, found.camera.line
    figure = likeness_figure(
        found.real.double().numpy(),
        found.simulated.double().numpy(),
        (line.mean.numpy(), line.variance.numpy(), line.slope, line.zero),
        found.likeness,
        pixel_um=experiment.microscope.pixel_um,
        unit=camera.unit,
        title=f"{excerpt.name} beside frames simulated with {out.name}",
    )
    save_figure(figure, picture)
    return found
