"""The typical molecule of a scene and the camera's noise, for bounds at one brightness and background."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..camera import Camera, Noise
from ..errors import InputError
from ..field import Field
from ..simulation.lifetimes import NoBlinking
from ..simulation.priors import EmitterPrior, Scene
from .experiment import Experiment

__all__ = ["LEAST_BACKGROUND", "Conditions", "scene_conditions"]

# Largest side of the frame for bounds of many molecules, px, that of the published frames: the bounds depend
# only on neighbours.
_LARGEST_FRAME_PX = 121


LEAST_BACKGROUND = 1e-3
"""Smallest background, photons per pixel: without it the information of a dark pixel would be infinite."""


@dataclass(frozen=True)
class Conditions:
    """A set-up without its mask.

    photons: of a molecule;  background: photons per pixel;  blur_px: Gaussian σ, px;  noise: of a pixel, equal
    for all;  prior, field: distribution of the molecules in a frame.
    """

    photons: float
    background: float
    blur_px: float
    noise: Noise
    prior: EmitterPrior
    field: Field

    def as_poisson(self, photons: float | None = None, background: float | None = None) -> tuple[float, float]:
        """Photons and background per pixel of a Poisson image with the same information about position.

        The variance F·μ + v corresponds to N/F photons on a background b/F + v/F².
        photons, background: values instead of the set-up's.
        """
        bright = self.photons if photons is None else photons
        level = max(self.background if background is None else background, LEAST_BACKGROUND)
        excess, read_variance = self.noise.excess, self.noise.mean_read_variance
        return bright / excess, level / excess + read_variance / excess**2

    @property
    def area_um2(self) -> float:
        """Area of a frame that contains molecules, µm²."""
        border = 2 * self.prior.margin_px[0]
        height, width = (side - border for side in self.field.size)
        return height * width * self.field.pixel_um**2


def scene_conditions(
    experiment: Experiment, scene: Scene, photons: float | None, background: float | None
) -> Conditions:
    """The conditions of a scene that are constant while a bound is computed as a function of one of them.

    photons, background: values instead of the scene's median photons and mean background.
    Raises InputError for impossible photons or background, and if the scene's border leaves no room.
    """
    if photons is not None and not 0 < photons < math.inf:
        raise InputError(f"the bound needs light: {photons:g} photons were given, they must be above 0")
    if background is not None and not 0 <= background < math.inf:
        raise InputError(f"a background of {background:g} photons per pixel cannot be", "give 0 or more")
    prior, height_width = scene.emitters, [min(side, _LARGEST_FRAME_PX) for side in experiment.frame_px]
    # Negative borders are for crops with neighbours outside; here all molecules are inside the frame.
    border = max(0.0, sum(prior.margin_px) / 2)
    if 2 * border >= min(height_width):
        raise InputError(
            f"a border of {border:g} px free of emitters leaves no room in a frame of {height_width[1]} × "
            f"{height_width[0]} px",
            "make margin_px smaller or frame_px larger",
        )
    return Conditions(
        photons=prior.median_photons if photons is None else photons,
        background=scene.background.mean if background is None else background,
        blur_px=experiment.psf.blur_px if prior.blur_px is None else sum(prior.blur_px) / 2,
        noise=_noise(experiment.camera),
        prior=prior.with_(margin_px=(border, border), blur_px=None, blinking=NoBlinking()),
        field=Field(height_width[0], height_width[1], experiment.microscope.pixel_um),
    )


def _noise(camera: Camera) -> Noise:
    """Noise of frames that contain only light."""
    # `pixel_noise` is reduced by a remaining level that has no noise of its own. Here the frames have no such
    # level.
    return camera.pixel_noise().averaged().with_more(sum(camera.remaining_level) / 2)
