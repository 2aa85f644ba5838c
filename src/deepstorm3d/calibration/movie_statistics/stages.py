"""The stages of an estimate, each of which knows more than the one before: camera, light, scene.

Where a trained model helps, the light of the molecules that it finds comes last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...camera import Camera
from ...experiment.experiment import Experiment
from ...experiment.light_patch import patch_for_light
from ...experiment.optics import psf_source
from ...localizing.excerpt import Excerpt
from ...localizing.pipeline import Pipeline
from ...optics.tabulated import TabulatedPSF
from ...pixels.counts import whole_counts
from ...simulation.priors import Scene
from ...streams import stream_seed
from ...watch import SILENT, Watcher
from .by_model import found_light
from .camera import CameraMatch, match_camera, noise_over_field
from .light_ratio import FrameLight
from .molecules import LightModel, measure_light, refuse_small
from .sample import Sample, level_of_dark, sample_of
from .scene_match import Imaging, SceneGuess, SceneMatch, match_scene
from .settings import EstimateSettings

__all__ = ["Guessed", "guess_of_movie"]

# Depths at which the images of a molecule are compared with the light in the frames.
_DEPTHS = 12
# Difference of the change of level over the field, in real and in simulated frames, from which another kind of
# background is tried; relative to the mean level.
_UNEVEN = 0.35


def guess_of_movie(
    excerpt: Excerpt, experiment: Experiment, settings: EstimateSettings, *, watch: Watcher = SILENT
) -> Guessed:
    """All stages of `estimate`, before their numbers become an experiment."""
    if settings.pipeline is not None:
        with excerpt.open() as source:
            source.check_against(settings.pipeline)
    seed = experiment.seed if settings.seed is None else settings.seed
    scene = experiment.scene(settings.scene)
    sample = sample_of(excerpt, experiment)
    refuse_small((sample.counts.shape[1], sample.counts.shape[2]), _border_px(scene))
    movie = _Movie(sample, experiment, _psf(experiment, scene), seed, watch)
    guess = _Guess(scene, _camera(movie, settings))
    for stage in (_dark_noise, _scene, _by_model(settings.pipeline)):
        guess = stage(guess, movie)
    return Guessed(movie, guess)


@dataclass(frozen=True)
class Guessed:
    """What the stages know of a movie."""

    movie: _Movie
    guess: _Guess

    @property
    def found(self) -> SceneMatch:
        """The scene whose simulated frames match the real ones."""
        assert self.guess.match is not None
        return self.guess.match

    @property
    def scene(self) -> Scene:
        """The scene whose numbers were found, with the kind of background that was."""
        return self.guess.scene

    @property
    def camera(self) -> Camera:
        """The camera as far as the movie tells it; `SceneGuess.camera` completes it."""
        return self.guess.camera.camera

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the movie's frames, px."""
        return self.movie.sample.counts.shape[1], self.movie.sample.counts.shape[2]

    def light_of_frames(self, pixels: Tensor) -> FrameLight:
        """The light of some pixels together, (H, W) bool, in each frame of the sample, and the variance of its
        noise."""
        photons = self.movie.photons(self.camera).double()[:, pixels]
        light = photons.sum(1).numpy()
        excess = self.camera.pixel_noise().excess
        counted = excess * np.abs(light).mean() if self.camera.is_calibrated else 0.0
        return FrameLight(light, float(counted + photons[0].numel() * self.camera.dark_variance))

    def with_numbers(self, numbers: SceneGuess) -> Guessed:
        """The same with other numbers of the scene."""
        return replace(self, guess=replace(self.guess, match=replace(self.found, guess=numbers)))


@dataclass(frozen=True)
class _Movie:
    """What every stage looks at: a sample of the movie, and what is taken as true of it."""

    sample: Sample
    experiment: Experiment
    psf: TabulatedPSF
    seed: int
    watch: Watcher

    def seen_by(self, camera: Camera) -> Imaging:
        """Through what the frames are taken, with this camera."""
        return Imaging(self.psf, camera, self.sample.maps)

    def photons(self, camera: Camera) -> Tensor:
        """Of the sample's frames, (B, H, W)."""
        return camera.to_photons(self.sample.counts, self.sample.maps)


@dataclass(frozen=True)
class _Guess:
    """What is known so far. match: of simulated frames to the real ones;  notes: in words."""

    scene: Scene
    camera: CameraMatch
    match: SceneMatch | None = None
    notes: tuple[str, ...] = ()


def _camera(movie: _Movie, settings: EstimateSettings) -> CameraMatch:
    """Gain, baseline and noise, from how the variance of pixels goes with their mean."""
    sample, known = movie.sample, movie.experiment.camera
    if sample.faults.full < sample.faults.stated_full:
        known = known.with_(saturation=sample.faults.full)
    level = None if settings.dark is None else level_of_dark(settings.dark)
    whole = whole_counts(sample.stack)
    return match_camera(sample.counts, known, dark=level, baseline=settings.baseline, whole=whole)


def _dark_noise(guess: _Guess, movie: _Movie) -> _Guess:
    """How noisy the dark pixels are, once it is known how much of the light is molecules."""
    camera = guess.camera.camera
    if camera.is_calibrated:
        return guess
    light = measure_light(movie.photons(camera), _light_model(movie, guess.scene, camera))
    quieter = noise_over_field(movie.sample.counts, camera, light.background)
    return replace(guess, camera=replace(guess.camera, camera=quieter))


def _scene(guess: _Guess, movie: _Movie) -> _Guess:
    """Density, brightness and background, and the kind of background that the frames show."""
    camera, scene = guess.camera.camera, guess.scene
    photons, model = movie.photons(camera), _light_model(movie, scene, camera)

    def match(like: Scene) -> SceneMatch:
        seed = stream_seed(movie.seed, "matched scene")
        return match_scene(photons, like, movie.seen_by(camera), model, seed=seed, watch=movie.watch)

    if camera.is_calibrated:
        scene = scene.with_(background=scene.background.with_light())
    found = match(scene)
    guess = replace(guess, scene=scene, match=found)
    real, made = found.uneven
    other = None
    if real - made > _UNEVEN:
        other = scene.background.less_even()
    elif made - real > _UNEVEN:
        other = scene.background.more_even()
    if other is None or not camera.is_calibrated:
        return guess
    changed = scene.with_(background=other)
    again = match(changed)
    if abs(again.uneven[0] - again.uneven[1]) >= abs(real - made):
        return guess
    note = (
        f"the level changes over the field by {real:.2f} of its mean, with the experiment's background it "
        f"would by {made:.2f}: another kind of background was taken ({other.kind})"
    )
    return replace(guess, scene=changed, match=again, notes=(*guess.notes, note))


def _by_model(pipeline: Pipeline | None) -> Callable[[_Guess, _Movie], _Guess]:
    """The stage in which a trained model counts and measures molecules; without one, nothing changes."""

    def stage(guess: _Guess, movie: _Movie) -> _Guess:
        if pipeline is None or guess.match is None:
            return guess
        camera, scene = guess.camera.camera, guess.scene
        found = found_light(
            movie.photons(camera),
            guess.match.guess,
            scene,
            movie.seen_by(camera),
            pipeline,
            seed=stream_seed(movie.seed, "found photons"),
            watch=movie.watch,
        )
        return replace(
            guess,
            scene=scene.with_(emitters=scene.emitters.with_(photons=found.family)),
            match=found.taken_into(guess.match),
            notes=(*guess.notes, found.in_words()),
        )

    return stage


def _psf(experiment: Experiment, scene: Scene) -> TabulatedPSF:
    source = psf_source(experiment)
    patch, _ = patch_for_light(experiment, source)
    # As in the middle of the field: light and density do not depend on what changes across it.
    spec = experiment.psf.at(0.0, 0.0).with_(patch_px=patch)
    return spec.tabulate(experiment.microscope, source, scene.emitters.z_um, experiment.blur_px)


def _light_model(movie: _Movie, scene: Scene, camera: Camera) -> LightModel:
    """Images at depths spread evenly, each at a random place in its pixel."""
    experiment, psf = movie.experiment, movie.psf
    low, high = scene.emitters.z_um
    blur = scene.emitters.blur_px or (experiment.psf.blur_px, experiment.psf.blur_px)
    z = low + (high - low) * (torch.arange(_DEPTHS) + 0.5) / _DEPTHS
    place = (torch.rand(_DEPTHS, 2, generator=torch.Generator().manual_seed(0)) - 0.5) * psf.pixel_um
    with torch.no_grad():
        spots = psf(torch.cat([place, z[:, None]], 1), torch.full((_DEPTHS,), sum(blur) / 2)).values
    return LightModel(
        spots=spots,
        read_variance=camera.dark_variance,
        counted=camera.is_calibrated,
        multiplied=camera.multiplication > 1,
        border_px=_border_px(scene),
    )


def _border_px(scene: Scene) -> int:
    """Mean width of the border that the scene leaves free."""
    return max(0, round(sum(scene.emitters.margin_px) / 2))
