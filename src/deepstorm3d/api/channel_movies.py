"""What is given for two channels in memory: two movies or the halves of one, and the transform between them."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TypeGuard, get_args

from ..calibration.registration.registration import Registration
from ..channels import ChannelPair
from ..channels.camera_halves import Side
from ..emitters import Localizations
from ..io.movies import AnyMovie
from ..io.tables import read_header
from ..io.transforms import read_transform
from ..jobs.channel_inputs import ChannelInput, GivenTransform, halves_as_channels, halves_of_movie
from ..jobs.channels_record import recorded_transform
from ..localizing.excerpt import Excerpt, excerpt_of
from ..localizing.pipeline import Pipeline
from .reading import List

__all__ = ["AnyTransform", "SecondChannel", "channels_of", "movies_of", "transform_given", "transform_of_list"]

SecondChannel = AnyMovie | Excerpt | Side
"""The second channel's movie, or how both lie in the frames of the first one's."""

AnyTransform = Registration | ChannelPair | str | PathLike[str]
"""Where the second channel shows what the first does: found, read, or a file."""


def channels_of(
    first: AnyMovie | Excerpt, second: SecondChannel, pipelines: tuple[Pipeline, Pipeline]
) -> tuple[ChannelInput, ChannelInput]:
    """Movie and pipeline of each channel;  raises InputError for a region of a camera that has both."""
    if _is_side(second):
        return halves_as_channels(excerpt_of(first), pipelines, second)
    return ChannelInput(excerpt_of(first), pipelines[0]), ChannelInput(excerpt_of(second), pipelines[1])


def movies_of(first: AnyMovie | Excerpt, second: SecondChannel, pixel_um: float) -> tuple[Excerpt, Excerpt]:
    """The movie of each channel;  pixel_um: of the first;  raises InputError as `channels_of`."""
    if _is_side(second):
        return halves_of_movie(excerpt_of(first), second, pixel_um)[1]
    return excerpt_of(first), excerpt_of(second)


def transform_given(transform: AnyTransform | None, pixel_um: float) -> GivenTransform:
    """The transform with the name of its file;  pixel_um: of the first channel;  None: none is given."""
    if transform is None:
        return GivenTransform()
    if isinstance(transform, Registration):
        return GivenTransform(transform.channels)
    if isinstance(transform, ChannelPair):
        return GivenTransform(transform)
    return GivenTransform(read_transform(Path(transform), pixel_um=pixel_um), Path(transform).name)


def transform_of_list(found: List, pixel_um: float) -> ChannelPair | None:
    """The transform that the file of a list records, if it does;  pixel_um: of the first channel."""
    if isinstance(found, Localizations):
        return None
    return recorded_transform(read_header(Path(found), pixel_um=pixel_um).provenance)


def _is_side(second: SecondChannel) -> TypeGuard[Side]:
    """Whether the second channel is in the frames of the first one's movie."""
    return isinstance(second, str) and second in get_args(Side)
