"""A mask and its PSF through depth, as the pixels of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ...api import masks as front_door
from ...experiment.experiment import Experiment

__all__ = ["DEPTHS", "MaskPicture", "phase_png", "picture_of", "planes_png"]

DEPTHS = 7
"""Number of depths at which a PSF is shown."""

# Largest width of an image of the PSF, camera pixels.
_WIDTH_PX = 41


@dataclass(frozen=True, eq=False)
class MaskPicture:
    """What is drawn of a mask.

    phase: (h, w) rad, None for a PSF that was measured;  planes: (K, n, n) images of a molecule on the axis;
    z_um: (K,) their depths;  pixel_um: camera pixel in the sample.
    """

    phase: NDArray[np.float64] | None
    planes: NDArray[np.float32]
    z_um: tuple[float, ...]
    pixel_um: float

    @property
    def width_um(self) -> float:
        """Width of one image, µm."""
        return self.planes.shape[2] * self.pixel_um


def picture_of(
    experiment: Experiment, z_um: tuple[float, float], phase: Tensor | NDArray[Any] | None = None
) -> MaskPicture:
    """The mask and its PSF at evenly spaced depths.

    z_um: first and last depth;  phase: (h, w) rad of another mask than the experiment's.
    Raises InputError where the mask does not fit the microscope.
    """
    depths = np.linspace(*z_um, DEPTHS)
    planes = front_door.psf(experiment, depths, mask=phase)
    cut = max(0, (planes.shape[1] - _WIDTH_PX) // 2)
    inner = planes[:, cut : planes.shape[1] - cut, cut : planes.shape[2] - cut]
    if phase is None and experiment.psf.needs_mask:
        phase = front_door.mask(experiment)
    drawn = None if phase is None else np.asarray(phase, dtype=np.float64)
    return MaskPicture(drawn, inner, tuple(depths.tolist()), experiment.microscope.pixel_um)


def phase_png(phase: ArrayLike) -> bytes:
    """A phase (h, w) rad, wrapped to −π … π, in the cyclic colours of the program's pictures."""
    wrapped = np.remainder(np.asarray(phase, dtype=np.float64) + np.pi, 2 * np.pi) / (2 * np.pi)
    return _png(wrapped, "twilight")


def planes_png(planes: NDArray[np.float32]) -> bytes:
    """Images (K, n, n) beside each other, each in its own brightness; the square root shows the tails."""
    light = np.sqrt(np.clip(planes, 0, None))
    brightest = light.max((1, 2), keepdims=True)
    return _png(np.concatenate(list(light / np.where(brightest > 0, brightest, 1)), axis=1), "inferno")


def _png(shares: NDArray[Any], colours: str) -> bytes:
    """An image of values from 0 to 1 in a colour map of matplotlib."""
    from matplotlib import colormaps
    from matplotlib.image import imsave

    file = BytesIO()
    imsave(file, colormaps[colours](shares), format="png")
    return file.getvalue()
