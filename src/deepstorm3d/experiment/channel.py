"""A further channel of an experiment: its mask, PSF and camera, its transform, and its share of the light."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pydantic import model_validator

from ..camera import Camera
from ..channels import Transform, TransformSpec
from ..errors import InputError
from ..field import Field
from ..io.transforms import read_transform
from ..optics.masks import AnyMask
from ..optics.microscope import Microscope
from ..optics.psf_kinds import AnyPSFSpec
from ..spec import Spec, quantity

__all__ = ["FIRST", "Channel", "ChannelTransform", "check_frame", "check_names_and_light"]

FIRST = "first"
"""Name of the channel that the experiment's own mask, PSF, camera and microscope describe."""

# Smallest side of a frame, px: smaller ones hold no molecule's image.
_SMALLEST_PX = 16
# Largest side of a frame, px: no camera has more.
_LARGEST_PX = 20_000

# Names become parts of file names (movie.NAME.tif).
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Channel(Spec):
    """A second camera, or a second half of one. What is null is as in the first channel."""

    light: float = quantity(
        0.5,
        "",
        "share of a molecule's detected photons, and of the background, that this channel gets; the first "
        "one has what is left",
        gt=0,
        lt=1,
        label="Share of the light",
    )
    light_known: bool = quantity(
        False,
        "",
        "every molecule has exactly this share here, as behind a half mirror: the joint fit of all channels "
        "takes it as known; false: each has its own, as behind a dichroic mirror, where it tells dyes apart",
        label="Share is known",
    )
    mask: AnyMask | None = quantity(None, "", "phase mask; null: as in the first", label="Phase mask")
    psf: AnyPSFSpec | None = quantity(
        None, "", "how the image is computed: scalar, vectorial or measured; null: as in the first", label="PSF"
    )
    camera: Camera | None = quantity(None, "", "kind of camera and its values; null: as in the first")
    wavelength: float | None = quantity(
        None, "µm", "emission wavelength in vacuum; null: as in the first", gt=0.2, lt=2.0
    )
    focus: float | None = quantity(
        None, "µm", "nominal focal plane, as of the microscope; null: as in the first", label="Focal plane"
    )
    camera_pitch: float | None = quantity(
        None, "µm", "camera pixel pitch; null: as in the first", gt=0.5, lt=100.0
    )
    frame_px: tuple[int, int] | None = quantity(
        None, "px", "height and width of a frame; null: as in the first", label="Frame: height, width"
    )
    transform: str | None = quantity(
        None,
        "",
        "file that `register` wrote, from the first channel's positions to these; null: the same positions",
        label="Transform file",
    )
    coefficients: TransformSpec | None = quantity(
        None, "", "the transform itself, as models hold it instead of a file", label="Transform"
    )
    depth_offset_um: float | None = quantity(
        None,
        "µm",
        "depth at which molecules seem to lie here less that in the first; null: as the transform's file says, "
        "or 0",
        ge=-100,
        le=100,
        label="Depth offset",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.transform and self.coefficients is not None:
            raise ValueError("transform names a file, and coefficients hold a transform, too: give one of them")
        if self.frame_px is not None:
            check_frame(self.frame_px)
        return self

    def microscope_of(self, first: Microscope) -> Microscope:
        """The microscope as this channel has it."""
        own = {name: getattr(self, name) for name in ("wavelength", "focus", "camera_pitch")}
        own = {name: value for name, value in own.items() if value is not None}
        return first.with_(**own) if own else first

    def read_transform(self, name: str) -> ChannelTransform:
        """The transform with its depth offset, from the file where there is one.

        name: of the channel, for errors.  Raises InputError where the file is missing or is no transform.
        """
        if not self.transform:
            spec = self.coefficients
            transform = Transform.identity() if spec is None else spec.build()
            return ChannelTransform(transform, self.depth_offset_um or 0.0)
        try:
            pair = read_transform(self.transform)
        except InputError as error:
            raise InputError(
                f"channels.{name}.transform: {error.what}",
                error.remedy or "find it with `register`, or leave it out (null) where positions are the same",
            ) from error
        offset = pair.depth[0] if self.depth_offset_um is None else self.depth_offset_um
        return ChannelTransform(pair.transform, offset, pair.fields)

    def without_file(self, name: str) -> Self:
        """The record with the transform itself instead of its file, so that it can move to another computer.

        Raises InputError as `read_transform`.
        """
        if not self.transform:
            return self
        found = self.read_transform(name)
        held = TransformSpec.of(found.transform)
        return self.with_(transform=None, coefficients=held, depth_offset_um=found.depth_offset_um)


@dataclass(frozen=True)
class ChannelTransform:
    """A channel's transform and depth offset (µm), and the fields of its file, if it has one."""

    transform: Transform
    depth_offset_um: float
    fields: tuple[Field, Field] | None = None


def check_frame(frame_px: tuple[int, int]) -> None:
    """Raise ValueError for a height or width, px, that no frame has."""
    if min(frame_px) < _SMALLEST_PX:
        raise ValueError(f"frame_px {frame_px} is smaller than {_SMALLEST_PX} px")
    if max(frame_px) > _LARGEST_PX:
        raise ValueError(
            f"frame_px {frame_px} is larger than {_LARGEST_PX} px, and no camera has more along a side; it is "
            "in camera pixels, not nm"
        )


def check_names_and_light(channels: Mapping[str, Channel]) -> None:
    """Raise ValueError, with words for the user, for names that files cannot have, and shares of all light."""
    for name in channels:
        if not _NAME.fullmatch(name) or name == FIRST:
            raise ValueError(
                f"a channel cannot be named '{name}': letters, numbers, - and _, and not '{FIRST}', which is "
                "the channel that the experiment itself describes"
            )
    shares = {name: channel.light for name, channel in channels.items()}
    if sum(shares.values()) >= 1:
        told = " + ".join(f"{share:g} ({name})" for name, share in shares.items())
        raise ValueError(
            f"channels have {told} of the light: less than 1 in all, for the first channel has what is left"
        )
