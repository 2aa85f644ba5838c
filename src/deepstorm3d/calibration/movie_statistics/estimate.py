"""Estimate: photons, density, background and noise of an experiment, from a movie.

The stages that find them are in `stages`; here their numbers become an experiment, with what there is to doubt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...brief import Brief
from ...experiment.experiment import Experiment
from ...frames.plausibility import check_frames
from ...frames.similarity import Similarity, compare_frames
from ...localizing.excerpt import Excerpt
from ...simulation.priors import EmitterPrior
from ...streams import stream_seed
from ...watch import SILENT, Watcher
from .camera import CameraMatch
from .experiment import changes, estimated_experiment
from .scene_match import SceneMatch, simulate_guess
from .settings import EstimateSettings
from .stages import Guessed, guess_of_movie

__all__ = ["Estimate", "estimate", "result_of"]

# Relative spread of brightness above which something else than brightness must differ.
_WIDEST_SPREAD = 1.2


@dataclass(frozen=True, repr=False)
class Estimate(Brief):
    """What a movie says of its own set-up.

    experiment: complete, with the new values;  changes: key, old and new value of each that changed;  frames:
    how many of the movie were looked at;  camera, scene: how they were found;  similarity: of simulated to real
    frames; warnings, notes: in words;  real, simulated: photons of the frames compared, (B, H, W).
    """

    experiment: Experiment = field(repr=False)
    changes: list[tuple[str, Any, Any]]
    frames: int
    camera: CameraMatch = field(repr=False)
    scene: SceneMatch = field(repr=False)
    similarity: Similarity
    warnings: list[str]
    notes: list[str]
    real: Tensor = field(repr=False)
    simulated: Tensor = field(repr=False)


def estimate(
    excerpt: Excerpt,
    experiment: Experiment,
    settings: EstimateSettings | None = None,
    *,
    watch: Watcher = SILENT,
) -> Estimate:
    """Estimate an experiment from a sample of frames.

    experiment: the set-up; optics, mask and depth range are taken as true;  settings: None: nothing is known
    beforehand;  watch: told the rounds of simulation.
    Raises InputError where the movie does not fit the experiment or cannot be estimated from.
    """
    settings = EstimateSettings() if settings is None else settings
    experiment.refuse_channels("this is the movie of one channel")
    return result_of(guess_of_movie(excerpt, experiment, settings, watch=watch), settings)


def result_of(guessed: Guessed, settings: EstimateSettings) -> Estimate:
    """The experiment that the last guess makes, and how alike frames simulated with it are to the real ones."""
    movie, guess = guessed.movie, guessed.guess
    sample, camera, found = movie.sample, guessed.camera, guessed.found
    final = estimated_experiment(movie.experiment, settings.scene, guess.scene, found.guess, camera)
    imaging = movie.seen_by(camera)
    seed = stream_seed(movie.seed, "estimated movie")
    counts = simulate_guess(found.guess, guess.scene, imaging, tuple(sample.counts.shape), seed=seed)
    real, simulated = movie.photons(camera), imaging.photons(counts)
    similarity = compare_frames(real.double().numpy(), simulated.double().numpy())
    findings = check_frames(sample.stack, real, camera, maps=sample.maps)
    warnings = [*sample.faults.in_words(), *(finding.text for finding in findings), *guess.camera.warnings]
    warnings += _doubts(found, final.scene(settings.scene).emitters)
    complaints = similarity.complaints()
    if complaints:
        warnings.append("the simulated frames do not look like the real ones: " + "; ".join(complaints))
    return Estimate(
        experiment=final,
        changes=changes(movie.experiment.to_mapping(), final.to_mapping()),
        frames=len(sample.counts),
        camera=guess.camera,
        scene=found,
        similarity=similarity,
        warnings=warnings,
        notes=[*guess.camera.notes, *guess.notes],
        real=real,
        simulated=simulated,
    )


def _doubts(found: SceneMatch, prior: EmitterPrior) -> list[str]:
    """What makes the scene's numbers uncertain, or unfit to learn from."""
    warnings = []
    drawn = prior.photons.draw(4000, torch.Generator().manual_seed(0))
    labelled = float((drawn >= prior.min_photons).float().mean())
    if labelled < 0.5:
        warnings.append(
            f"only {labelled:.0%} of the molecules have the {prior.min_photons:,.0f} photons from which on the "
            "network is taught to find them (min_photons, unchanged)"
        )
    if found.guess.photon_spread > _WIDEST_SPREAD:
        warnings.append(
            "the brightness seems to differ more than that of molecules: they may stand in clusters, or be "
            "out of focus; estimate from a region that they fill evenly (`roi`), and see whether the "
            "picture gets better"
        )
    sigma = found.light.sigma
    if not np.isfinite(sigma[0]):
        warnings.append(
            "too few frames to say how certain the figures are and how they change over frames: widen the "
            "ranges by hand"
        )
    for name, value in (("density", sigma[0]), ("number of photons", sigma[1])):
        if value > 0.15:
            warnings.append(f"the {name} is uncertain by {value:.0%} (one σ over frames): give more frames")
    for name, value in zip(("density", "number of photons"), found.corrections, strict=True):
        if not 0.5 < value < 2:
            warnings.append(
                f"simulations moved the {name} by a factor of {value:.2f}: the estimate is not reliable here"
            )
    return warnings
