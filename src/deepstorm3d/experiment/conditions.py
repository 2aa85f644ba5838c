"""The typical molecule of a scene and the noise of its camera, for a bound at one brightness and level."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..camera import Camera, Noise
from ..errors import InputError
from ..field import Field
from ..simulation.priors import EmitterPrior, Scene
from .experiment import Experiment

__all__ = ["LEAST_BACKGROUND", "Conditions", "scene_conditions"]

# Many molecules are studied in a frame no larger than the published ones: a bound asks only for neighbours.
_LARGEST_FRAME_PX = 121


LEAST_BACKGROUND = 1e-3
"""Photons per pixel: without any background the information of a dark pixel would have no bound."""


@dataclass(frozen=True)
class Conditions:
    """A set-up without its mask.

    photons: of a molecule;  background: photons per pixel;  blur_px: Gaussian σ;  noise: of a
    pixel, alike in all;  prior, field: where molecules may lie.
    """

    photons: float
    background: float
    blur_px: float
    noise: Noise
    prior: EmitterPrior
    field: Field

    def as_poisson(self, photons: float | None = None, background: float | None = None) -> tuple[float, float]:
        """Photons and background per pixel of the Poisson image that tells as much about position.

        Variance F·μ + v is that of N/F photons over b/F + v/F². photons, background: instead of the set-up's.
        """
        bright = self.photons if photons is None else photons
        level = max(self.background if background is None else background, LEAST_BACKGROUND)
        excess, read_variance = self.noise.excess, self.noise.mean_read_variance
        return bright / excess, level / excess + read_variance / excess**2

    @property
    def area_um2(self) -> float:
        """Area that the molecules of a frame lie in."""
        border = 2 * self.prior.margin_px[0]
        height, width = (side - border for side in self.field.size)
        return height * width * self.field.pixel_um**2


def scene_conditions(
    experiment: Experiment, scene: Scene, photons: float | None, background: float | None
) -> Conditions:
    """What stays the same while a bound is computed against something else.

    photons, background: instead of the scene's median photons and mean background.
    Raises InputError for photons or a background that cannot be, and where the scene's border leaves no room.
    """
    if photons is not None and not 0 < photons < math.inf:
        raise InputError(f"the bound needs light: {photons:g} photons were given, they must be above 0")
    if background is not None and not 0 <= background < math.inf:
        raise InputError(f"a background of {background:g} photons per pixel cannot be; give 0 or more")
    prior, height_width = scene.emitters, [min(side, _LARGEST_FRAME_PX) for side in experiment.frame_px]
    # Borders below 0 are those of crops, whose neighbours lie outside; here all molecules lie in the frame.
    border = max(0.0, sum(prior.margin_px) / 2)
    if 2 * border >= min(height_width):
        raise InputError(
            f"a border of {border:g} px free of emitters leaves no room in a frame of {height_width[1]} × "
            f"{height_width[0]} px; make margin_px smaller or frame_px larger"
        )
    return Conditions(
        photons=prior.photons.median if photons is None else photons,
        background=scene.background.mean if background is None else background,
        blur_px=experiment.psf.blur_px if prior.blur_px is None else sum(prior.blur_px) / 2,
        noise=_noise(experiment.camera),
        prior=prior.with_(margin_px=(border, border), blur_px=None),
        field=Field(height_width[0], height_width[1], experiment.microscope.pixel_um),
    )


def _noise(camera: Camera) -> Noise:
    """Noise of frames of which nothing but light is left."""
    # `pixel_noise` is that of frames that still hold a level without noise, less its share.
    return camera.pixel_noise().averaged().with_more(sum(camera.remaining_level) / 2)
