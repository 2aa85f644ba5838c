"""Two channels in memory: the experiment that the movies of both show."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from ..calibration.movie_statistics.by_model import check_model
from ..calibration.movie_statistics.channels import ChannelsEstimate
from ..calibration.movie_statistics.channels import estimate_channels as estimate_from
from ..calibration.movie_statistics.settings import EstimateSettings
from ..errors import InputError
from ..experiment.experiment import Experiment
from ..front_door import doubt, public
from ..io.movies import AnyMovie
from ..jobs.estimate_channels import with_transform
from ..localizing.excerpt import Excerpt
from ..localizing.model import Model
from ..watch import SILENT, Watcher
from .channel_movies import SecondChannel, movies_of
from .movies import AnExperiment, as_experiment

__all__ = ["estimate_channels"]


@public
def estimate_channels(
    first: AnyMovie | Excerpt,
    second: SecondChannel,
    experiment: AnExperiment,
    *,
    transform: str | PathLike[str] | None = None,
    models: Sequence[Model] | None = None,
    scene: str | None = None,
    watch: Watcher = SILENT,
) -> ChannelsEstimate:
    """Estimate light, density, background and cameras from the movies of two channels: an experiment for both.

    The molecules of both are the same, so they have one density; how their light is divided between the
    channels becomes the further channel's share (``light``).

    Parameters
    ----------
    first : array (frames, height, width), tensor, movie, path or Excerpt
        Counts of the first channel's camera, or of one camera that shows both channels.
    second : the same, or "left-right" or "top-bottom"
        Of the second channel; or how the channels lie in the frames of `first`.
    experiment : Experiment, name of a preset, or path
        The set-up; its optics, masks and depth range are taken as true. Without ``channels`` it gets one,
        called second, with the optics of the first.
    transform : path
        Where the second channel shows what the first does, as `write_transform` writes it; None: as the
        experiment says.
    models : sequence of two Models
        Count and measure the molecules that these models find; left out: from pixel values alone.
    scene : str
        Which of the experiment's scenes changes; the first where left out.
    watch : Watcher
        Told the rounds of simulation.

    Returns
    -------
    ChannelsEstimate
        ``.experiment``; ``.changes``; ``.light`` and ``.levels``, the shares of molecules' light and of
        background; ``.alone``, an `Estimate` for each channel with its frames simulated anew.

    Raises
    ------
    InputError
        As of `estimate`, and where channels, movies and models are not as many.

    Warns
    -----
    DoubtfulResult
        As of `estimate`, where the channels have different densities, and where they divide background and
        light differently.
    """
    setup = with_transform(as_experiment(experiment), None if transform is None else Path(transform))
    movies = movies_of(first, second, setup.microscope.pixel_um)
    settings = [EstimateSettings(scene=scene) for _ in movies]
    if models is not None:
        if len(models) != len(movies):
            raise InputError(f"two channels need two models, not {len(models)}")
        settings = [_with(model, setup.of_channel(number), scene) for number, model in enumerate(models)]
    found = estimate_from(movies, setup, settings, watch=watch)
    doubt(found.warnings)
    return found


def _with(model: Model, alone: Experiment, scene: str | None) -> EstimateSettings:
    pipeline = model.pipeline(refine=False)
    check_model(model.card.name, pipeline, alone)
    return EstimateSettings(scene=scene, pipeline=pipeline)
