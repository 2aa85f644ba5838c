"""Estimate with a trained model: density and photons from the molecules that it finds in a few frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...emitters import Emitters, Localizations
from ...errors import InputError
from ...experiment.experiment import Experiment
from ...field import Field
from ...localizing.catalogue import find_model
from ...localizing.pipeline import Pipeline, load_pipeline
from ...simulation.priors import Photons, Scene
from ...simulation.simulator import Simulator
from ...watch import SILENT, Watcher, advance
from .photon_distribution import photons_family
from .scene_match import Imaging, SceneGuess, SceneMatch

__all__ = ["FoundLight", "check_model", "found_light", "model_for"]

# Largest number of frames of the movie that are localized.
_MOST_FRAMES = 40
# Number of simulated frames that are localized in each round.
_SIMULATED = 24
# Rounds of simulation.
_ROUNDS = 3
# Smallest number of molecules whose light is measured.
_FEWEST = 30
# Molecules this near the edge are half out of the frame, and found less often.
_EDGE_PX = 8
_LEAST_SPREAD = 0.05
# Relative difference between the pixels of model and experiment that is accepted.
_PIXEL_TOLERANCE = 0.02
# Difference between the ends of the depth ranges of model and experiment that is accepted, µm.
_DEPTH_TOLERANCE_UM = 0.25


@dataclass(frozen=True)
class FoundLight:
    """What the found molecules say of the scene.

    guess: the scene with their density and photons;  family: of their brightness;  frames, molecules: that
    were looked at, and found there;  listed: molecules that the model lists in simulated frames like them, over
    those that are there;  measured: their mean photons there, over the true ones. Both are corrected for.
    """

    guess: SceneGuess
    family: Photons
    frames: int
    molecules: int
    listed: float
    measured: float

    def taken_into(self, match: SceneMatch) -> SceneMatch:
        """A match by pixel values with what the model found; its errors are those of counting."""
        root, spread = self.molecules**0.5, self.guess.photon_spread
        light = replace(match.light, sigma=(1 / root, spread / root, spread / root, match.light.sigma[3]))
        return replace(match, guess=self.guess, light=light, corrections=(1 / self.listed, 1 / self.measured))

    def in_words(self) -> str:
        """What was done, for the user."""
        return (
            f"the model lists {self.molecules} molecules in {self.frames} frames; in simulated ones like them "
            f"{self.listed:.2f} for each that is there, with {self.measured:.2f} of its photons: both are "
            f"corrected for, optics and blur are not. Photons are of the kind '{self.family.kind}'"
        )


def model_for(name: str, experiment: Experiment, *, mask: Path | None, device: str) -> Pipeline:
    """A model at work on movies of an experiment; the fit is left out, for it costs minutes.

    Raises InputError where it was trained for other pixels or another depth.
    """
    pipeline = load_pipeline(find_model(name), mask=mask, refine=False, device=device)
    check_model(name, pipeline, experiment)
    return pipeline


def check_model(name: str, pipeline: Pipeline, experiment: Experiment) -> None:
    """Raises InputError for a model that was trained for other pixels or depths than the experiment's."""
    own = pipeline.experiment
    ours, theirs = experiment.microscope.pixel_um, own.microscope.pixel_um
    if abs(theirs / ours - 1) > _PIXEL_TOLERANCE:
        raise InputError(
            f"the model '{name}' was trained for pixels of {1000 * theirs:.1f} nm, the experiment's are "
            f"{1000 * ours:.1f} nm",
            "give the model of this set-up",
        )
    if max(abs(a - b) for a, b in zip(own.z_um, experiment.z_um, strict=True)) > _DEPTH_TOLERANCE_UM:
        raise InputError(
            f"the model '{name}' was trained for depths of {own.z_um[0]:g} to {own.z_um[1]:g} µm, the "
            f"experiment has {experiment.z_um[0]:g} to {experiment.z_um[1]:g} µm",
            "give the model of this set-up",
        )


def found_light(
    photons: Tensor,
    guess: SceneGuess,
    scene: Scene,
    imaging: Imaging,
    pipeline: Pipeline,
    *,
    seed: int,
    watch: Watcher = SILENT,
) -> FoundLight:
    """Density and photons by localizing frames, corrected by localizing simulated ones.

    photons: (B, H, W) frames;  guess: by pixel values, of which the changes from frame to frame and the floor
    of the background stay;  imaging: of the movie, and of the simulation.
    Density, photons, their spread and the background: what the model misses, invents and mismeasures in frames
    that are simulated with the result is taken off. Optics, blur and depths are taken as true.
    Raises InputError where fewer than thirty molecules are found.
    """
    total = _ROUNDS + 1
    psf, camera, maps = imaging.psf, imaging.camera, imaging.maps
    pipeline = replace(
        pipeline, camera=camera, maps={name: values.to(pipeline.device) for name, values in maps.items()}
    )
    advance(watch, 0, total)
    numbers = np.unique(np.linspace(0, len(photons) - 1, min(_MOST_FRAMES, len(photons))).round().astype(int))
    field = Field(photons.shape[1], photons.shape[2], psf.pixel_um)
    real = _localized(pipeline, photons[torch.from_numpy(numbers)], field)
    if len(real) < _FEWEST:
        raise InputError(
            f"the model finds {len(real)} molecules in {len(numbers)} frames: too few to estimate from",
            "give more frames, a larger region, or another model",
        )
    light, spread, noise = _brightness(real)
    found = FoundLight(guess, scene.emitters.photons, len(numbers), len(real), 1.0, 1.0)
    for turn in range(_ROUNDS):
        advance(watch, turn + 1, total)
        if turn == 0:
            own = replace(guess, photons=light, photon_spread=max(spread, _LEAST_SPREAD))
        else:
            own = found.guess
        found = replace(found, family=photons_family(real.photons.double().numpy(), own.photon_spread, noise))
        like = scene.with_(emitters=scene.emitters.with_(photons=found.family))
        # Molecules a frame at a density of 1: the border of the scene is not the edge left out here.
        each = _expected(own, like, field, seed) / own.density
        if turn == 0:
            own = replace(own, density=len(real) / len(numbers) / each)
        truth, counts = _simulated(own, like, Simulator(psf, own.camera(camera), field, maps=maps), seed + turn)
        made = _localized(pipeline, pipeline.to_photons(counts), field)
        there = truth.select(_inside(truth.xyz, field))
        if len(made) < _FEWEST or len(there) < _FEWEST:
            raise InputError(
                f"of {len(there)} molecules in simulated frames the model finds {len(made)}: too few to "
                "correct by"
            )
        seen, seen_spread, _ = _brightness(made)
        true = float(there.photons.mean())
        true_spread = float(there.photons.std()) / true
        listed, measured = len(made) / len(there), seen / true
        level = float(real.background.mean() - made.background.mean())
        background = max(own.background + level, 0.0)
        moved = replace(
            own,
            density=len(real) / len(numbers) / each / listed,
            photons=light / measured,
            photon_spread=math.sqrt(max(spread**2 + true_spread**2 - seen_spread**2, _LEAST_SPREAD**2)),
            background=background,
            floor=min(guess.floor, background),
        )
        found = replace(found, guess=moved, listed=listed, measured=measured)
    advance(watch, total, total)
    return found


def _localized(pipeline: Pipeline, photons: Tensor, field: Field) -> Localizations:
    """Rows away from the edge of the frames, localized one by one, on the processor."""
    parts = []
    for number, frame in enumerate(photons):
        found = pipeline.localize(frame[None].to(pipeline.device))
        parts.append(found.select(_inside(found.xyz, field)).shift(frames=number).to("cpu"))
    return Localizations.concat(parts)


def _inside(xyz: Tensor, field: Field) -> Tensor:
    edge = _EDGE_PX * field.pixel_um
    x, y = xyz[:, 0], xyz[:, 1]
    right, bottom = ((side - 1) * field.pixel_um - edge for side in (field.width, field.height))
    return (x >= edge) & (x <= right) & (y >= edge) & (y <= bottom)


def _brightness(found: Localizations) -> tuple[float, float, float]:
    """Mean, spread without the fit's own error, and that error, both relative."""
    mean = float(found.photons.mean())
    noise = float(found.sigma_photons.square().mean().sqrt()) / mean
    noise = min(noise, 0.3)
    return mean, math.sqrt(max(float(found.photons.var()) / mean**2 - noise**2, 0.0)), noise


def _expected(guess: SceneGuess, like: Scene, field: Field, seed: int) -> float:
    """Molecules away from the edge of a frame, as the scene draws them."""
    drawn = guess.scene(like).emitters.draw(200, field, torch.Generator().manual_seed(seed))
    return max(int(_inside(drawn.xyz, field).sum()), 1) / 200


def _simulated(guess: SceneGuess, like: Scene, simulator: Simulator, seed: int) -> tuple[Emitters, Tensor]:
    """What is in simulated frames, and their counts (B, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    there = guess.scene(like)
    with torch.no_grad():
        truth, background = there.draw(_SIMULATED, simulator.field, generator)
        return truth, simulator(truth, background, generator)
