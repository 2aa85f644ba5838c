"""Channels of one microscope: where a molecule of the first is seen in another, and with how much light."""

from __future__ import annotations

from .background import ChannelBackground
from .camera_halves import Halves, halves_of
from .channel_view import ChannelView
from .registered import ChannelPair
from .transform import Transform
from .transform_spec import TransformSpec
from .warping import Warp

__all__ = [
    "ChannelBackground",
    "ChannelPair",
    "ChannelView",
    "Halves",
    "Transform",
    "TransformSpec",
    "Warp",
    "halves_of",
]
