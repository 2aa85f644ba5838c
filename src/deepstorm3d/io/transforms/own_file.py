"""The program's own file of a transform: YAML with the unit and meaning of each line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import model_validator

from ...channels import ChannelPair, Transform
from ...channels.polynomials import degree_of
from ...field import Field
from ...spec import Spec, quantity, spec_from_mapping, to_yaml

__all__ = ["FORMAT", "channels_of", "mapping_of", "text_of"]

FORMAT = "deepstorm3d transform"
"""What the first line of such a file says."""

_HEADER = """\
Where a molecule of the first channel lies in the second (deepstorm3d). With x, y in the first channel's µm,
  u = (x - centre x) / scale,  v = (y - centre y) / scale,
  x' = sum of the coefficients of x times 1, u, v, u^2, uv, v^2, u^3, u^2 v, u v^2, v^3 (as many as there are),
  y' the same, z' = z + depth offset, in the second channel's own µm.
x is the column, y the row; each channel counts from the centre of its first pixel (x = y = 0)."""


class _ChannelSpec(Spec):
    """The camera, or the half of one, that a channel is seen by."""

    file: str = quantity("", "", "list that it was found from")
    pixel_nm: float = quantity(..., "nm", "side of a camera pixel in the sample", gt=0)
    width_px: int = quantity(..., "px", "of the frames", ge=1)
    height_px: int = quantity(..., "px", "of the frames", ge=1)
    origin_px: tuple[int, int] = quantity((0, 0), "px", "column and row of the first pixel in the whole frame")


class _TransformSpec(Spec):
    """Contents of the file."""

    format: Literal["deepstorm3d transform"] = quantity(FORMAT, "", "what this file is")
    version: Literal[1] = quantity(1, "", "of the format")
    centre_um: tuple[float, float] = quantity((0.0, 0.0), "µm", "x, y in the first channel where u = v = 0")
    scale_um: float = quantity(1.0, "µm", "where u = 1", gt=0)
    x_um: tuple[float, ...] = quantity(..., "µm", "coefficients of x'")
    y_um: tuple[float, ...] = quantity(..., "µm", "coefficients of y'")
    depth_offset_um: float = quantity(0.0, "µm", "depth in the second channel less that in the first")
    depth_offset_sigma_um: float = quantity(0.0, "µm", "its standard error", ge=0)
    first: _ChannelSpec = quantity(..., "", "the first channel")
    second: _ChannelSpec = quantity(..., "", "the second channel")
    found: dict[str, int | float | str] = quantity({}, "", "how it was found: pairs, cross-validated residuals")

    @model_validator(mode="after")
    def _of_one_degree(self) -> _TransformSpec:
        if len(self.x_um) != len(self.y_um):
            raise ValueError(f"x_um has {len(self.x_um)} coefficients and y_um {len(self.y_um)}: give as many")
        degree_of(len(self.x_um))
        return self


def text_of(channels: ChannelPair) -> str:
    """What the file holds."""
    return to_yaml(_spec_of(channels), _HEADER)


def mapping_of(channels: ChannelPair) -> dict[str, Any]:
    """The same for the record of a list, as `channels_of` takes it."""
    return _spec_of(channels).to_mapping()


def _spec_of(channels: ChannelPair) -> _TransformSpec:
    transform = channels.transform
    x, y = transform.coefficients.tolist()
    centre_x, centre_y = transform.centre_um.tolist()
    first, second = (
        _ChannelSpec(
            file=name,
            pixel_nm=round(1000 * view.pixel_um, 6),
            width_px=view.width,
            height_px=view.height,
            origin_px=view.origin_px,
        )
        for name, view in zip(channels.names, channels.fields, strict=True)
    )
    return _TransformSpec(
        centre_um=(centre_x, centre_y),
        scale_um=transform.scale_um,
        x_um=tuple(x),
        y_um=tuple(y),
        depth_offset_um=channels.depth[0],
        depth_offset_sigma_um=channels.depth[1],
        first=first,
        second=second,
        found=dict(channels.facts),
    )


def channels_of(mapping: Mapping[str, Any], source: str) -> ChannelPair:
    """The transform that a file holds.  Raises InputError naming each key that is wrong."""
    spec = spec_from_mapping(_TransformSpec, mapping, source=source)
    coefficients = torch.tensor([spec.x_um, spec.y_um], dtype=torch.float64)
    centre = torch.tensor(spec.centre_um, dtype=torch.float64)
    fields = tuple(
        Field(each.height_px, each.width_px, each.pixel_nm / 1000, each.origin_px)
        for each in (spec.first, spec.second)
    )
    return ChannelPair(
        Transform(coefficients, centre, spec.scale_um),
        (spec.depth_offset_um, spec.depth_offset_sigma_um),
        (fields[0], fields[1]),
        (spec.first.file, spec.second.file),
        dict(spec.found),
    )
