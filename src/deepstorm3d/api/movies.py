"""Movies in memory: simulated from an experiment, read from files, or asked what experiment they show."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..calibration.movie_statistics.by_model import check_model
from ..calibration.movie_statistics.estimate import Estimate
from ..calibration.movie_statistics.estimate import estimate as estimate_from
from ..calibration.movie_statistics.settings import EstimateSettings
from ..devices import free_bytes
from ..emitters import Emitters
from ..errors import InputError
from ..experiment.configure import find_experiment
from ..experiment.experiment import Experiment
from ..experiment.presets import PRESETS, preset
from ..front_door import doubt, public
from ..io.movies import AnyMovie, as_source, open_movie
from ..jobs.simulate import MovieSimulation
from ..localizing.excerpt import Excerpt, excerpt_of
from ..localizing.model import Model, load_model
from ..simulation.specimen import Specimen, StructureName
from ..watch import SILENT, Watcher

__all__ = ["AnExperiment", "as_experiment", "estimate", "read_movie", "simulate", "simulate_channels"]

AnExperiment = Experiment | str | PathLike[str]
"""An experiment, the name of a preset (before a file of that name), or an experiment file."""

# Share of the free memory that a movie may take.
_SHARE = 0.5
# Highest count of a movie of 16 bits.
_MOST = 65535


def as_experiment(experiment: AnExperiment) -> Experiment:
    """The experiment itself, a preset by its name, or read from a file."""
    if isinstance(experiment, Experiment):
        return experiment
    name, path = str(experiment), Path(experiment)
    if name not in PRESETS and not (path.suffix or path.exists()):
        return preset(name)  # which says what was meant
    return find_experiment(name)


@public
def simulate(
    experiment: AnExperiment,
    frames: int = 1,
    *,
    emitters: int | None = None,
    specimen: Specimen | StructureName | None = None,
    scene: str | None = None,
    seed: int | None = None,
    watch: Watcher = SILENT,
) -> tuple[NDArray[np.uint16], Emitters]:
    """Simulate what the experiment's camera would record, and what is in it.

    Parameters
    ----------
    experiment : Experiment, name of a preset, or path
    frames : int
        Length of the movie.
    emitters : int
        Emitters inside every frame, or, on a structure (`specimen`), in the mean of the frames; the scene's own
        number where left out.
    specimen : "filaments", "mitochondria", "ellipsoid" or "nucleus", or Specimen
        Put the molecules on a structure and let them blink; as ``ds.Specimen(structure=…, drift_um=…)`` it also
        drifts.
    scene : str
        Which of the experiment's scenes; the first where left out.
    seed : int
        Of all random numbers; the experiment's where left out. The same seed gives the same movie as the
        command ``simulate``.
    watch : Watcher
        Told the frames done.

    Returns
    -------
    movie : (frames, height, width) uint16
        Camera counts.
    truth : Emitters
        Every emitter inside the frames, the dim ones too.

    Raises
    ------
    InputError
        For what does not fit, and a movie that the free memory does not hold.

    Examples
    --------
    >>> import deepstorm3d as ds
    >>> movie, truth = ds.simulate("quickstart", frames=2, emitters=3, seed=1)
    >>> movie.shape, movie.dtype, len(truth)
    ((2, 64, 64), dtype('uint16'), 6)
    """
    setup = as_experiment(experiment)
    if setup.channels:
        raise InputError(
            f"the experiment '{setup.name}' has {len(setup.channel_names)} channels "
            f"({', '.join(setup.channel_names)})",
            "get a movie of each with ds.simulate_channels, or simulate one alone, experiment.of_channel(0)",
        )
    seen = _specimen(specimen, emitters)
    movies, truth, clipped = _simulated(setup, frames, {"specimen": seen, "scene": scene, "seed": seed}, watch)
    _warn_of_clipped(clipped)
    return movies[0], truth


@public
def simulate_channels(
    experiment: AnExperiment,
    frames: int = 1,
    *,
    emitters: int | None = None,
    specimen: Specimen | StructureName | None = None,
    scene: str | None = None,
    seed: int | None = None,
    watch: Watcher = SILENT,
) -> tuple[dict[str, NDArray[np.uint16]], Emitters]:
    """Simulate what the cameras of all channels would record of the same molecules.

    Parameters
    ----------
    experiment : Experiment, name of a preset, or path
        With further ``channels``; each gets its share of every molecule's photons, and of the background.
    frames, emitters, specimen, scene, seed, watch
        As of `simulate`.

    Returns
    -------
    movies : dict of (frames, height, width) uint16
        Camera counts by the name of the channel, in order; that of the first is "first".
    truth : Emitters
        Every emitter inside the first channel's frames, in its µm, with the photons of all channels together.

    Raises
    ------
    InputError
        As of `simulate`, and where a transform's file is missing or does not fit.

    Examples
    --------
    >>> import deepstorm3d as ds
    >>> movies, truth = ds.simulate_channels("biplane", frames=2, emitters=3, seed=1)
    >>> {name: movie.shape for name, movie in movies.items()}
    {'first': (2, 64, 64), 'far': (2, 64, 64)}
    """
    setup = as_experiment(experiment)
    seen = _specimen(specimen, emitters)
    movies, truth, clipped = _simulated(setup, frames, {"specimen": seen, "scene": scene, "seed": seed}, watch)
    _warn_of_clipped(clipped)
    return dict(zip(setup.channel_names, movies, strict=True)), truth


def _specimen(specimen: Specimen | StructureName | None, emitters: int | None) -> Specimen:
    seen = Specimen(structure=specimen) if isinstance(specimen, str) else specimen or Specimen()
    return seen if emitters is None else replace(seen, emitters=emitters)


def _simulated(
    setup: Experiment, frames: int, asked: dict[str, Any], watch: Watcher
) -> tuple[list[NDArray[np.uint16]], Emitters, int]:
    """A movie of each channel, the emitters, and how many pixels 16 bits do not hold."""
    sizes = [setup.of_channel(number).frame_px for number in range(len(setup.channel_names))]
    pixels = sum(height * width for height, width in sizes)
    _refuse_too_large(max(1, frames) * pixels * 2, "simulate it to a file")
    made = MovieSimulation(setup, frames=frames, **asked)
    counts: list[list[NDArray[np.uint16]]] = [[] for _ in sizes]
    truth, clipped = [], 0
    for block in made.blocks():
        for movie, seen in zip(counts, (block.counts, *block.further), strict=True):
            whole = np.rint(seen.numpy())
            clipped += int(np.count_nonzero((whole < 0) | (whole > _MOST)))
            movie.append(np.clip(whole, 0, _MOST).astype(np.uint16))
        truth.append(block.truth)
        watch.progress(block.stop, frames)
    return [np.concatenate(movie) for movie in counts], Emitters.concat(truth), clipped


def _warn_of_clipped(clipped: int) -> None:
    if clipped:
        doubt([f"{clipped} pixels lie outside 0 to {_MOST} and were set to the nearest"])


@public
def estimate(
    movie: AnyMovie | Excerpt,
    experiment: AnExperiment,
    *,
    dark: AnyMovie | None = None,
    baseline: float | None = None,
    model: Model | str | PathLike[str] | None = None,
    scene: str | None = None,
    watch: Watcher = SILENT,
) -> Estimate:
    """Estimate photons, density, background and camera noise from a movie: an experiment to train with.

    Frames simulated with the estimate measure like the real ones. A sample of at most 200 frames is looked at.

    Parameters
    ----------
    movie : array (frames, height, width), tensor, movie, path or Excerpt
        Counts of the camera, as recorded; ``ds.Excerpt(movie, frames=…, roi=…, pixel_um=…)`` is a part of it.
    experiment : Experiment, name of a preset, or path
        The set-up; its optics, mask and depth range are taken as true, its seed is that of the simulations.
    dark : array, tensor, movie or path
        Frames without light, which tell baseline and read noise.
    baseline : float
        Of the camera in ADU, where it is known.
    model : Model, name of a built-in model, or path
        Count and measure the molecules that this model finds; without it pixel values alone are used.
    scene : str
        Which of the experiment's scenes changes; the first where left out.
    watch : Watcher
        Told the rounds of simulation.

    Returns
    -------
    Estimate
        ``.experiment``, to simulate and train with; ``.changes``; ``.similarity`` of simulated to real frames.

    Raises
    ------
    InputError
        Where movie, experiment and model do not fit each other, or the frames are too small, or dark.

    Warns
    -----
    DoubtfulResult
        Where the simulated frames do not look like the real ones, or a number is uncertain.

    References
    ----------
    Corrected by simulation: Gouriéroux et al., Journal of Applied Econometrics 8:S85 (1993).
    """
    setup = as_experiment(experiment)
    pipeline = None
    if model is not None:
        helper = model if isinstance(model, Model) else load_model(model)
        pipeline = helper.pipeline(refine=False)
        check_model(helper.card.name, pipeline, setup)
    without_light = None if dark is None else as_source(dark, name="dark frames")
    settings = EstimateSettings(without_light, baseline, scene, pipeline=pipeline)
    found = estimate_from(excerpt_of(movie), setup, settings, watch=watch)
    doubt(found.warnings)
    return found


@public
def read_movie(
    path: str | PathLike[str], *, frames: tuple[int | None, int | None] = (None, None)
) -> NDArray[Any]:
    """Frames of a movie as an array; `open_movie` reads huge ones a part at a time.

    Parameters
    ----------
    path
        TIFF, ND2, .npy, raw with a sidecar, Zarr, NDTiff, or a folder of numbered TIFFs.
    frames : tuple
        First frame and the one after the last; None: the movie's own ends.

    Returns
    -------
    (frames, height, width) array of counts, of the file's type.

    Raises
    ------
    InputError
        For a file that is no movie, frames that are not there, and more than the free memory holds.

    Warns
    -----
    DoubtfulResult
        Of all that should be known of the movie (its `notes`): chunks of a Zarr store that are not there and
        read as 0, frames that were put in order or left out.
    """
    with open_movie(Path(path)) as movie:
        count, height, width = movie.shape
        first = 0 if frames[0] is None else frames[0]
        last = count if frames[1] is None else frames[1]
        if not 0 <= first < last <= count:
            raise InputError(f"frames {first}:{last} are not in {path}, which has frames 0:{count}")
        size = (last - first) * height * width * movie.dtype.itemsize
        _refuse_too_large(size, "read fewer frames, or open it with open_movie")
        counts = movie.read(first, last)
        doubt(movie.notes)
        return counts


def _refuse_too_large(size: int, remedy: str) -> None:
    """Refuse an array of `size` bytes that would take more than its share of the free memory."""
    free = free_bytes(torch.device("cpu"))
    if free is not None and size > _SHARE * free:
        raise InputError(f"the movie takes {size / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free", remedy)
