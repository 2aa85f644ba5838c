"""Cameras: expected photons to counts with noise that lets gradients through, and counts back to photons.

Every camera draws the exact noise. Where a gradient is asked for (a mask is being designed), the
derivative of a draw is that of the Gaussian with the same mean and variance: see `poisson`.
"""

from __future__ import annotations

from ..noise import Noise
from .camera_spec import CameraSpec, ReadOut
from .counting import poisson
from .emccd import EmccdCamera
from .ideal import IdealCamera
from .kinds import CAMERAS, Camera
from .minimum_subtracted import MinimumSubtractedCamera
from .scmos import ScmosCamera

__all__ = [
    "CAMERAS",
    "Camera",
    "CameraSpec",
    "EmccdCamera",
    "IdealCamera",
    "MinimumSubtractedCamera",
    "Noise",
    "ReadOut",
    "ScmosCamera",
    "poisson",
]
