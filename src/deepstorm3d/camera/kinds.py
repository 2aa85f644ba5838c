"""The kinds of camera that an experiment may name; others can be registered."""

from __future__ import annotations

from typing import Annotated

from ..kinds import Kinds
from .camera_spec import CameraSpec
from .emccd import EmccdCamera
from .ideal import IdealCamera
from .minimum_subtracted import MinimumSubtractedCamera
from .scmos import ScmosCamera

__all__ = ["CAMERAS", "Camera"]

CAMERAS = Kinds(IdealCamera, ScmosCamera, EmccdCamera, MinimumSubtractedCamera)
"""All kinds of camera. ``CAMERAS.register`` adds one that is defined elsewhere."""

Camera = Annotated[CameraSpec, CAMERAS]
