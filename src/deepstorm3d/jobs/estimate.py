"""Estimate: photons, density, background and noise from a movie, as an experiment to train with."""

from __future__ import annotations

from pathlib import Path

from ..calibration.movie_statistics.estimate import Estimate, estimate
from ..calibration.movie_statistics.figure import estimate as draw_estimate
from ..calibration.movie_statistics.settings import EstimateSettings
from ..experiment.experiment import Experiment
from ..experiment.files import write_experiment
from ..io.parts import beside, claim_name, refuse_same_names
from ..localizing.excerpt import Excerpt
from ..plot.panels import claim_picture, save_figure
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
    picture = beside(out, ".png") if picture is None else picture
    refuse_same_names([out, picture])
    claim_name(out, overwrite=overwrite)
    claim_picture(picture, overwrite=overwrite)
    found = estimate(excerpt, experiment, settings, watch=watch)
    write_experiment(found.experiment, out)
    title = f"{excerpt.name} beside frames simulated with {out.name}"
    save_figure(draw_estimate(found, title=title), picture)
    return found
