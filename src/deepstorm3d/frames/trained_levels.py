"""How dark the dark parts of an experiment's frames are: the levels of light that its scenes allow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..camera import Camera
from ..simulation.backgrounds import Background, NoBackground, SuperGaussianBackground
from ..simulation.priors import DensityCount, EmitterPrior, FixedCount, FixedPhotons, GammaPhotons, Scene

__all__ = ["TrainedLevels", "trained_levels"]


@dataclass(frozen=True)
class TrainedLevels:
    """Photons per pixel: background, least and greatest;  most: with the mean light of the densest frames."""

    low: float
    high: float
    most: float


def trained_levels(
    scenes: Iterable[Scene], camera: Camera, pixel_um: float, frame_px: tuple[int, int]
) -> TrainedLevels:
    """Levels of the scenes of an experiment as `to_photons` of its camera gives them.

    pixel_um: camera pixel in the sample;  frame_px: height and width that a scene's number of emitters is for.
    In crowded frames no pixel is dark: molecules spread over the frame raise it by their mean light at most.
    """
    low, high, most = [], [], []
    for scene in scenes:
        least, greatest = _background(scene.background)
        crowd = _light(scene.emitters, pixel_um, frame_px)
        low.append(least)
        high.append(greatest)
        most.append(greatest + crowd)
    base = camera.remaining_level
    return TrainedLevels(min(low) + base[0], max(high) + base[1], max(most) + base[1])


def _background(background: Background) -> tuple[float, float]:
    match background:
        case NoBackground():
            return 0.0, 0.0
        case SuperGaussianBackground(floor=floor, peak=peak):
            return floor[0], peak[1]
        case _:
            return background.low, background.high


def _light(emitters: EmitterPrior, pixel_um: float, frame_px: tuple[int, int]) -> float:
    """Mean photons per pixel of the molecules in the densest frames."""
    match emitters.photons:
        case FixedPhotons(photons=photons):
            mean = photons
        case GammaPhotons(shape=shape, scale=scale):
            mean = shape * scale
        case uniform:
            mean = (uniform.low + uniform.high) / 2
    match emitters.count:
        case DensityCount(high=density):
            return density * pixel_um**2 * mean
        case FixedCount(count=count):
            return count / (frame_px[0] * frame_px[1]) * mean
        case several:
            return several.high / (frame_px[0] * frame_px[1]) * mean
