"""A scene whose simulated frames measure like the real ones: estimate, simulate, estimate, correct."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...camera import Camera
from ...chip import Maps, middle_of
from ...field import Field
from ...optics.tabulated import TabulatedPSF
from ...simulation.backgrounds import Background
from ...simulation.lifetimes import NoBlinking
from ...simulation.priors import DensityCount, Photons, Scene
from ...simulation.simulator import Simulator
from ...watch import SILENT, Watcher, advance
from .molecules import Light, LightModel, measure_light

__all__ = ["Imaging", "SceneGuess", "SceneMatch", "match_scene", "simulate_guess"]

_ROUNDS = 4
# A uniform distribution of mean 1 and standard deviation s reaches from 1 − √3 s to 1 + √3 s.
_HALF_WIDTH = math.sqrt(3.0)
_WIDEST = 0.55
# Quantile of a smoothed frame that is taken as its background.
_FLOOR_QUANTILE = 0.02
# Side of the square over which a frame is averaged for that quantile, px.
_SMOOTH_PX = 9
# Largest side of a simulated frame, px.
_LARGEST_PX = 160
# Smallest number of frames in a round of simulation.
_LEAST_FRAMES = 24
# Largest number of frames in a round of simulation.
_MOST_FRAMES = 320
# Pixels of molecules that are drawn in a round of simulation.
_MOST_DRAWN = 3e8


@dataclass(frozen=True)
class Imaging:
    """Through what frames are taken.

    psf: tabulated;  camera: as far as it is known;  maps: of the camera, for the pixels of the real frames.
    """

    psf: TabulatedPSF
    camera: Camera
    maps: Maps = field(default_factory=dict)

    def photons(self, counts: Tensor) -> Tensor:
        """Photons of frames (B, H, W), real ones or those of `simulate_guess`, which are of the middle."""
        return self.camera.to_photons(counts, middle_of(self.maps, *counts.shape[1:]))


@dataclass(frozen=True)
class SceneGuess:
    """A scene in few numbers.

    density: molecules/µm², mean over frames;  density_spread: its standard deviation over frames, relative;
    photons, photon_spread: mean of a molecule in a frame, and relative standard deviation;  background: photons
    per pixel, mean over the field (minimum-subtracted frames: their baseline);  floor: its least level in a
    frame; background_spread: standard deviation over frames, photons.
    """

    density: float
    density_spread: float
    photons: float
    photon_spread: float
    background: float
    floor: float
    background_spread: float

    def count(self) -> DensityCount:
        """Density as uniform over frames."""
        half = _HALF_WIDTH * min(self.density_spread, _WIDEST) * self.density
        return DensityCount(low=max(self.density - half, 0.0), high=self.density + half)

    def brightness(self, like: Photons) -> Photons:
        """Brightness of the family of `like`, or of a gamma distribution where that cannot be so wide."""
        return like.like(self.photons, self.photon_spread)

    def levels(self, like: Background) -> Background:
        """Background of the kind of `like`."""
        level, floor = max(self.background, 0.0), max(min(self.floor, self.background), 0.0)
        return like.like(level, floor, _HALF_WIDTH * self.background_spread)

    def camera(self, camera: Camera) -> Camera:
        """The camera; minimum-subtracted frames have their baseline there."""
        half = _HALF_WIDTH * self.background_spread
        return camera.with_remaining_level(max(self.background - half, 0.0), max(self.background + half, 0.0))

    def scene(self, like: Scene) -> Scene:
        """The scene with these numbers, which are of single frames; depth, border and blur stay."""
        emitters = like.emitters.with_(
            count=self.count(), photons=self.brightness(like.emitters.photons), blinking=NoBlinking()
        )
        return like.with_(emitters=emitters, background=self.levels(like.background))


@dataclass(frozen=True)
class SceneMatch:
    """The scene that was found.

    guess: its numbers;  light: what was measured in the real frames before any correction;  corrections:
    factors on density and photons that the simulations brought;  uneven: by how much the background changes
    over a frame, in the real and in the simulated frames (difference of the 5 % and 95 % levels, over the
    mean).
    """

    guess: SceneGuess
    light: Light
    corrections: tuple[float, float]
    uneven: tuple[float, float]


@dataclass(frozen=True)
class _Measured:
    light: Light
    floor: float
    floor_spread: float
    activity_spread: float
    uneven: float


def match_scene(
    photons: Tensor,
    scene: Scene,
    imaging: Imaging,
    model: LightModel,
    *,
    seed: int = 0,
    watch: Watcher = SILENT,
) -> SceneMatch:
    """Find density, brightness and background with which simulated frames measure like the real ones.

    photons: (B, H, W) real frames;  scene: gives depth, border, blur and the kind of background;  imaging: of
    them, its camera already estimated;  model: of the light of molecules in them.
    The estimator of `measure_light` is applied to frames simulated with its own result, and what it then is
    off by is taken off (indirect inference: Gouriéroux et al., J. Appl. Econometrics 8:S85, 1993). That
    corrects for borders, few frames and the spread over frames, which its formula leaves out.
    Raises InputError as `measure_light`.
    """
    pixel_area = imaging.psf.pixel_um**2
    real = _measured(photons, model)
    light = real.light
    guess = SceneGuess(
        light.density / pixel_area,
        0.0,
        light.photons,
        light.spread,
        light.background,
        min(real.floor, light.background),
        0.0,
    )
    uneven = real.uneven
    for turn in range(_ROUNDS):
        advance(watch, turn, _ROUNDS)
        frames = simulate_guess(guess, scene, imaging, photons.shape, seed=seed)
        seen = _measured(imaging.photons(frames), model)
        uneven = seen.uneven
        moved = _corrected(guess, real, seen)
        # Half steps once it is near: a round's own noise is then averaged over rounds.
        guess = moved if turn == 0 else _halfway(guess, moved)
    advance(watch, _ROUNDS, _ROUNDS)
    factors = (guess.density * pixel_area / light.density, guess.photons / light.photons)
    return SceneMatch(guess, light, factors, (real.uneven, uneven))


def simulate_guess(
    guess: SceneGuess, scene: Scene, imaging: Imaging, shape: tuple[int, ...], *, seed: int
) -> Tensor:
    """Counts of frames like those of a movie of shape (B, H, W), of at most 160 px and 24 to 320 of them.

    Frames smaller than the movie's are those of its middle.
    """
    psf = imaging.psf
    sides = [min(side, _LARGEST_PX) for side in shape[1:]]
    field = Field(sides[0], sides[1], psf.pixel_um)
    each = max(1.0, guess.density * sides[0] * sides[1] * psf.pixel_um**2)
    affordable = _MOST_DRAWN / psf.patch_px**2 / each
    frames = int(np.clip(min(4 * shape[0], affordable), _LEAST_FRAMES, _MOST_FRAMES))
    generator = torch.Generator().manual_seed(seed)
    there = guess.scene(scene)
    simulator = Simulator(psf, guess.camera(imaging.camera), field, maps=middle_of(imaging.maps, *field.size))
    with torch.no_grad():
        return simulator(*there.draw(frames, field, generator), generator)


def _measured(photons: Tensor, model: LightModel) -> _Measured:
    light = measure_light(photons, model)
    smooth = functional.avg_pool2d(photons[:, None], _SMOOTH_PX, stride=_SMOOTH_PX // 2).flatten(1)
    floors = smooth.quantile(_FLOOR_QUANTILE, dim=1)
    field = functional.avg_pool2d(photons[:, None], 24, stride=8).mean(0).flatten()
    low, high = field.quantile(torch.tensor([0.05, 0.95]))
    several = len(photons) > 1
    return _Measured(
        light=light,
        floor=float(floors.mean()),
        floor_spread=float(floors.std()) if several else 0.0,
        activity_spread=float(light.activity.std() / light.activity.mean()) if several else 0.0,
        uneven=float((high - low) / field.mean().clamp(min=1e-6)),
    )


def _corrected(guess: SceneGuess, real: _Measured, seen: _Measured) -> SceneGuess:
    """The guess moved by what its simulation was off by."""

    def factor(wanted: float, got: float) -> float:
        return float(np.clip(wanted / max(got, 1e-12), 0.6, 1.6))

    def spread(own: float, wanted: float, got: float) -> float:
        return math.sqrt(max(own**2 + wanted**2 - got**2, 0.0))

    background = guess.background + real.light.background - seen.light.background
    return replace(
        guess,
        density=guess.density * factor(real.light.density, seen.light.density),
        density_spread=min(spread(guess.density_spread, real.activity_spread, seen.activity_spread), _WIDEST),
        photons=guess.photons * factor(real.light.photons, seen.light.photons),
        photon_spread=float(
            np.clip(guess.photon_spread * factor(real.light.spread, seen.light.spread), 0.05, 1.4)
        ),
        background=max(background, 0.0),
        floor=max(min(guess.floor + real.floor - seen.floor, background), 0.0),
        background_spread=spread(guess.background_spread, real.floor_spread, seen.floor_spread),
    )


def _halfway(one: SceneGuess, other: SceneGuess) -> SceneGuess:
    return SceneGuess(*((a + b) / 2 for a, b in zip(astuple(one), astuple(other), strict=True)))
