"""Levels of light in the dark parts of frames that the scenes of an experiment produce."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..camera import Camera
from ..simulation.priors import EmitterPrior, Scene

__all__ = ["TrainedLevels", "trained_levels"]


@dataclass(frozen=True)
class TrainedLevels:
    """Photons per pixel: background, least and greatest;  most: with the mean light of the densest frames."""

    low: float
    high: float
    most: float

    def shared(self, share: float) -> TrainedLevels:
        """Levels of a channel that gets this share of the light."""
        return TrainedLevels(share * self.low, share * self.high, share * self.most)


def trained_levels(
    scenes: Iterable[Scene], camera: Camera, pixel_um: float, frame_px: tuple[int, int]
) -> TrainedLevels:
    """Levels of the scenes of an experiment as `to_photons` of its camera gives them.

    pixel_um: camera pixel in the sample;  frame_px: height and width to which the number of emitters refers.
    In dense frames no pixel is dark: molecules spread over the frame raise the level by at most their mean
    light.
    """
    low, high, most = [], [], []
    for scene in scenes:
        least, greatest = scene.background.levels
        crowd = _light(scene.emitters, pixel_um, frame_px)
        low.append(least)
        high.append(greatest)
        most.append(greatest + crowd)
    base = camera.remaining_level
    return TrainedLevels(min(low) + base[0], max(high) + base[1], max(most) + base[1])


def _light(emitters: EmitterPrior, pixel_um: float, frame_px: tuple[int, int]) -> float:
    """Mean photons per pixel of the molecules in the densest frames."""
    return emitters.count.most_per_pixel(frame_px[0] * frame_px[1], pixel_um) * emitters.mean_photons
