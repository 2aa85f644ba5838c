"""Two channels of one microscope: where a molecule of the first lies in the second."""

from __future__ import annotations

from .camera_halves import Halves, halves_of
from .registered import ChannelPair
from .transform import Transform

__all__ = ["ChannelPair", "Halves", "Transform", "halves_of"]
