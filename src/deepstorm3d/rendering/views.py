"""Super-resolved pictures of a list: views and sections, coloured by depth or grey, and stacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..emitters import Emitters, Localizations
from ..errors import InputError
from ..extent import Extent
from .canvas import Canvas, Floats, Image, Method
from .histograms import ShiftedHistogram
from .sections import AXES, Axis, Box, Cloud, Interval, cloud_of
from .view import Look, View, shades_of, view_of

__all__ = [
    "DepthRendering",
    "Section",
    "Stack",
    "render_depth",
    "render_section",
    "render_stack",
]

# Small distance that keeps an interval from being empty, µm.
_TINY_UM = 1e-9
# Most planes of a stack.
_MOST_PLANES = 10_000


@dataclass(frozen=True)
class DepthRendering:
    """The list seen from above and from two sides.

    xy: rows y (down), columns x;  xz: rows z (down, deeper), columns x;  yz: rows y, columns z.
    z_range_um: depths at the two ends of the colours;  pixel_um: size of a rendered pixel;
    localizations: rows inside the field;  look: of all three;  dyes: the largest number of a dye.
    """

    xy: View
    xz: View
    yz: View
    z_range_um: Interval
    pixel_um: float
    localizations: int
    look: Look
    dyes: int = 0


@dataclass(frozen=True)
class Section:
    """Content of a box, seen along one axis.

    view: rows y, columns x where `across` is z; else rows z (down, deeper), columns x or y;
    across: the viewing axis;  box: the part that is drawn;  the rest as in `DepthRendering`.
    """

    view: View
    across: Axis
    box: Box
    z_range_um: Interval
    pixel_um: float
    localizations: int
    look: Look
    dyes: int = 0


@dataclass(frozen=True)
class Stack:
    """The list in 3D, plane by plane; each plane is computed when it is requested.

    canvas: of each plane, rows y, columns x;  z_um: (K + 1,) depths between the planes.
    """

    canvas: Canvas
    z_um: Floats
    cloud: Cloud
    method: Method

    @property
    def shape(self) -> tuple[int, int, int]:
        """(planes, rows, columns)."""
        return (len(self.z_um) - 1, *self.canvas.shape)

    def planes(self) -> Iterator[Image]:
        """Localizations per voxel, (h, w), shallow planes first."""
        return self.cloud.planes(self.method, self.canvas, self.z_um)


def render_depth(
    locs: Localizations | Emitters,
    *,
    method: Method | None = None,
    pixel_nm: float = 10.0,
    box: Box | None = None,
    field_um: Extent | None = None,
    z_range_um: Interval | None = None,
    look: Look | None = None,
) -> DepthRendering:
    """Draw the list from above and from two sides, with brightness density and, by default, hue depth.

    Where depths overlap their colours mix and become paler; they never average to another depth.

    method: `Gaussians` or, by default, a `ShiftedHistogram`;  pixel_nm: rendered pixel;
    box: the part that is drawn (None: everything);  field_um: edges of the field (`extent.frame_extent` for a
    whole frame); None: those of the box or, where it has none, around the list, with x = 0 and y = 0 on the
    centre of a rendered pixel; z_range_um: ends of the colours and of the side views; None: the box or the 0.1
    and 99.9 percentiles.
    Raises InputError for a rendered image that would be too large, numbers out of range, or a list without the
    σ that the method needs.
    """
    method, look, box = method or ShiftedHistogram(), look or Look(), box or Box()
    pixel = _pixel(pixel_nm)
    cloud = cloud_of(locs, method, box)
    ends = _depth_range(cloud, box) if z_range_um is None else z_range_um
    if not ends[1] > ends[0]:
        raise InputError(
            f"the depth range must grow, got {ends[0]} to {ends[1]} µm; give the shallow end first"
        )
    edges = _edges(cloud, method, box, ("y", "x"), pixel) if field_um is None else field_um
    left, top, right, bottom = edges
    inside = Box((left, right), (top, bottom)).inside(cloud.xyz)
    if not inside.all():
        cloud = cloud.select(inside)
    shades = shades_of(cloud, ends, look)

    def view(axes: tuple[Axis, Axis], edges: Extent) -> View:
        return view_of(cloud, shades, axes, Canvas.over(edges, pixel), method, look)

    return DepthRendering(
        xy=view(("y", "x"), edges),
        xz=view(("z", "x"), (left, ends[0], right, ends[1])),
        yz=view(("y", "z"), (ends[0], top, ends[1], bottom)),
        z_range_um=(float(ends[0]), float(ends[1])),
        pixel_um=pixel,
        localizations=len(cloud),
        look=look,
        dyes=int(cloud.numbers["dye"].max(initial=0)) if "dye" in cloud.numbers else 0,
    )


def render_section(
    locs: Localizations | Emitters,
    across: Axis,
    *,
    method: Method | None = None,
    pixel_nm: float = 10.0,
    box: Box | None = None,
    look: Look | None = None,
) -> Section:
    """Draw the content of a box (`Box.section`), seen along one axis; the centre of a localization decides.

    Arguments and errors as in `render_depth`.
    """
    method, look, box = method or ShiftedHistogram(), look or Look(), box or Box()
    pixel = _pixel(pixel_nm)
    cloud = cloud_of(locs, method, box)
    depths = _depth_range(cloud, box)
    shades = shades_of(cloud, depths, look)
    axes: tuple[Axis, Axis] = ("y", "x") if across == "z" else ("z", "x" if across == "y" else "y")
    canvas = Canvas.over(_edges(cloud, method, box, axes, pixel), pixel)
    return Section(
        view=view_of(cloud, shades, axes, canvas, method, look),
        across=across,
        box=box,
        z_range_um=depths,
        pixel_um=pixel,
        localizations=len(cloud),
        look=look,
        dyes=int(cloud.numbers["dye"].max(initial=0)) if "dye" in cloud.numbers else 0,
    )


def render_stack(
    locs: Localizations | Emitters,
    *,
    method: Method | None = None,
    pixel_nm: float = 10.0,
    plane_nm: float = 100.0,
    box: Box | None = None,
) -> Stack:
    """The list as localizations per voxel, for other programs.

    plane_nm: thickness of a plane; one plane is centred on z = 0 unless the box has a shallow end;
    the other arguments and the errors as in `render_depth`.
    """
    method, box = method or ShiftedHistogram(), box or Box()
    pixel, thick = _pixel(pixel_nm), _pixel(plane_nm)
    cloud = cloud_of(locs, method, box)
    low, high = _extent(cloud, method, box, "z", thick)
    planes = max(1, int(np.ceil((high - low) / thick - 1e-6)))
    if planes > _MOST_PLANES:
        raise InputError(
            f"{high - low:.6g} µm of depth in planes of {plane_nm:g} nm would be {planes} planes; make them "
            "thicker, or draw a part of the depth"
        )
    canvas = Canvas.over(_edges(cloud, method, box, ("y", "x"), pixel), pixel)
    return Stack(canvas, low + thick * np.arange(planes + 1, dtype=np.float64), cloud, method)


def _pixel(nanometres: float) -> float:
    if not nanometres > 0:
        raise InputError(f"the rendered pixel must be above 0 nm, got {nanometres}")
    return nanometres / 1000.0


def _depth_range(cloud: Cloud, box: Box) -> Interval:
    """Ends of the colours: those of the box or, where it has none, the depths of nearly all points."""
    z = cloud.xyz[:, 2]
    # A few molecules far away must not compress all others into one colour.
    ends = np.quantile(z[:: 1 + len(z) // 1_000_000], [0.001, 0.999]) if len(z) else (0.0, 1.0)
    low, high = float(ends[0]), float(ends[1])
    margin = max(0.0, 0.05 - 0.5 * (high - low))
    low = box.z[0] if np.isfinite(box.z[0]) else low - margin - _TINY_UM
    return low, box.z[1] if np.isfinite(box.z[1]) else max(high + margin, low) + _TINY_UM


def _extent(cloud: Cloud, method: Method, box: Box, axis: Axis, pixel: float) -> Interval:
    """The box or, where it has no limits, around the points, with 0 on the centre of a pixel."""
    column = AXES.index(axis)
    at, (low, high) = cloud.xyz[:, column], getattr(box, axis)
    if len(at) == 0:
        first, last = -0.5 * pixel, 99.5 * pixel
    else:
        # Half of the σ are larger: the small part of them beyond this distance is left out.
        reach = method.reach_um(np.median(cloud.sigma[:, column], keepdims=True))
        first = (np.floor((at.min() - reach) / pixel + 0.5) - 0.5) * pixel
        last = (np.floor((at.max() + reach) / pixel + 0.5) + 0.5) * pixel
    low, high = (low if np.isfinite(low) else first), (high if np.isfinite(high) else last)
    return float(low), float(max(high, low + pixel))


def _edges(cloud: Cloud, method: Method, box: Box, axes: tuple[Axis, Axis], pixel: float) -> Extent:
    (top, bottom), (left, right) = (_extent(cloud, method, box, axis, pixel) for axis in axes)
    return (left, top, right, bottom)
