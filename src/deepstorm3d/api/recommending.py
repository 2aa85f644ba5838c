"""Which of the known masks fits a sample, in memory."""

from __future__ import annotations

from ..experiment.recommendation import Recommendation
from ..front_door import public
from ..jobs.recommend import SampleChanges, sample_of
from ..jobs.recommend import recommend as recommended
from ..watch import SILENT, Watcher
from .movies import AnExperiment, as_experiment

__all__ = ["recommend"]


@public
def recommend(
    experiment: AnExperiment = "telomeres",
    *,
    depth_um: float | None = None,
    density: float | None = None,
    photons: float | None = None,
    background: float | None = None,
    scene: str | None = None,
    watch: Watcher = SILENT,
) -> Recommendation:
    """Which of the known masks fits a sample: expected Jaccard index, errors and bound of each, best first.

    The joint bound is computed for the experiment's microscope, each mask at its own best focus. How many
    molecules are found, and which multiple of the bound the errors are, come from a table of simulated fits.
    Errors are of the molecules that were matched, within the matching distance: where most are missed they lie
    below the bound of all, and are no sign of precision.

    Parameters
    ----------
    experiment : Experiment, name of a preset, or path
        Gives microscope and camera, and the sample where no argument says otherwise.
    depth_um : float
        Length of the range of depths, from where the scene's begins; the scene's where left out.
    density : float
        Molecules per µm² in a frame; the scene's highest.
    photons, background : float
        Of a molecule in a frame, and per pixel; the scene's median and mean.
    scene : str
        The first where left out.
    watch : Watcher

    Returns
    -------
    Recommendation
        ``advice`` holds a record for each mask, ``to_pandas()`` is the table, ``notes`` says what limits it;
        ``ds.plot.recommendation(report)`` draws it.

    Raises
    ------
    InputError
        For a PSF without a mask, and for depths, densities or light far outside what was simulated.
    """
    setup = as_experiment(experiment)
    sample = sample_of(setup, scene, SampleChanges(depth_um, density, photons, background))
    return recommended(setup, sample, scene=scene, watch=watch)
