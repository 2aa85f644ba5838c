"""A super-resolved picture from a list: average shifted histogram, coloured by depth, with side views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..emitters import Emitters, Localizations
from ..errors import InputError
from .colour import depth_colours
from .matching import Field

__all__ = ["DepthRendering", "View", "average_shifted_histogram", "render_depth"]

Floats = NDArray[np.float64]
Image = NDArray[np.float32]

# Points binned at once (bounds the memory beside the image) and the largest image made.
_CHUNK = 4_000_000
_MOST_PIXELS = 200_000_000
_TINY_UM = 1e-9


@dataclass(frozen=True)
class View:
    """One projection of the list.

    density: (h, w) localizations per rendered pixel;  rgb: (h, w, 3), 0 to 1, hue depth and
    brightness density;  edges_um: left, top, right, bottom edge of the image on its own axes.
    """

    density: Image
    rgb: Image
    edges_um: Field


@dataclass(frozen=True)
class DepthRendering:
    """The list seen from above and from two sides.

    xy: rows y (down), columns x;  xz: rows z (down, deeper), columns x;  yz: rows y, columns z.
    z_range_um: depths at the two ends of the colours;  pixel_um: size of a rendered pixel;
    localizations: rows inside the field.
    """

    xy: View
    xz: View
    yz: View
    z_range_um: tuple[float, float]
    pixel_um: float
    localizations: int


def render_depth(
    locs: Localizations | Emitters,
    *,
    pixel_nm: float = 10.0,
    shifts: int = 2,
    field_um: Field | None = None,
    z_range_um: tuple[float, float] | None = None,
    percentile: float = 99.5,
    gamma: float = 0.6,
) -> DepthRendering:
    """Draw the list as an average shifted histogram whose hue is depth and whose brightness is density.

    Every localization is spread over a pyramid `2·shifts` rendered pixels wide. Where depths
    overlap their colours mix and pale; they never average to a depth that is not there.

    pixel_nm: rendered pixel;  shifts: histograms averaged along each axis (1: a plain histogram);
    field_um: edges of the field (`matching.field_edges` for a whole frame); None: around the list,
    with x = 0 and y = 0 on the centre of a rendered pixel;  z_range_um: ends of the colours and of
    the side views; None: the 0.1 and 99.9 percentiles;  percentile, gamma: the density, among
    pixels that have any, drawn at full brightness, and the exponent of the brightness.
    Raises InputError for a rendered image that would be too large, or numbers out of range.
    """
    _check(pixel_nm, shifts, percentile, gamma)
    pixel = pixel_nm / 1000.0
    xyz = locs.xyz.detach().cpu().double().numpy()
    x, y, z = np.ascontiguousarray(xyz[np.isfinite(xyz).all(axis=1)].T)
    z0, z1 = _depth_range(z) if z_range_um is None else z_range_um
    if not z1 > z0:
        raise InputError(f"the depth range must grow, got {z0} to {z1} µm; give the shallow end first")
    left, top, right, bottom = _field_around(x, y, pixel) if field_um is None else field_um
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    if not inside.all():
        x, y, z = x[inside], y[inside], z[inside]
    step = ((z - z0) * (256 / (z1 - z0))).clip(0, 255).astype(np.uint8)

    def view(rows: Floats, columns: Floats, edges: Field) -> View:
        return _view(rows, columns, step, edges, (pixel, shifts, percentile, gamma))

    return DepthRendering(
        xy=view(y, x, (left, top, right, bottom)),
        xz=view(z, x, (left, z0, right, z1)),
        yz=view(y, z, (z0, top, z1, bottom)),
        z_range_um=(float(z0), float(z1)),
        pixel_um=pixel,
        localizations=len(x),
    )


def average_shifted_histogram(
    rows_um: torch.Tensor,
    columns_um: torch.Tensor,
    *,
    edges_um: Field,
    pixel_um: float,
    shifts: int = 2,
) -> torch.Tensor:
    """Density (h, w) in points per pixel: the mean of `shifts`² histograms of `shifts`-pixel bins.

    rows_um, columns_um: (N,) positions;  edges_um: left, top, right, bottom edge of the image, so
    pixel (i, j) spans left + j·pixel to left + (j + 1)·pixel, and its centre lies half a pixel on.
    At the image's edges the spread is folded back: the sum is the number of points inside.
    """
    rows, columns = rows_um.detach().cpu().double().numpy(), columns_um.detach().cpu().double().numpy()
    shape = _shape(edges_um, pixel_um)
    where = _pixel_index(rows, columns, edges_um, pixel_um, shape)
    counts = np.bincount(where[where >= 0], minlength=shape[0] * shape[1]).reshape(shape)
    return torch.from_numpy(_spread(counts.astype(np.float64), shifts)).to(rows_um.device)


def _check(pixel_nm: float, shifts: int, percentile: float, gamma: float) -> None:
    if not pixel_nm > 0:
        raise InputError(f"the rendered pixel must be above 0 nm, got {pixel_nm}")
    if shifts < 1:
        raise InputError(f"the number of shifts must be at least 1, got {shifts}")
    if not 0 < percentile <= 100 or not gamma > 0:
        raise InputError(f"percentile must be in 0 to 100 and gamma above 0, got {percentile} and {gamma}")


def _depth_range(z: Floats) -> tuple[float, float]:
    if len(z) == 0:
        return 0.0, 1.0
    # A few molecules far off must not squeeze all others into one colour.
    low, high = (float(end) for end in np.quantile(z[:: 1 + len(z) // 1_000_000], [0.001, 0.999]))
    margin = max(0.0, 0.05 - 0.5 * (high - low))
    return low - margin - _TINY_UM, high + margin + _TINY_UM


def _field_around(x: Floats, y: Floats, pixel: float) -> Field:
    if len(x) == 0:
        return (-0.5 * pixel, -0.5 * pixel, 99.5 * pixel, 99.5 * pixel)
    first = [(np.floor(axis.min() / pixel + 0.5) - 0.5) * pixel for axis in (x, y)]
    last = [(np.floor(axis.max() / pixel + 0.5) + 0.5) * pixel for axis in (x, y)]
    return (first[0], first[1], last[0], last[1])


def _shape(edges: Field, pixel: float) -> tuple[int, int]:
    left, top, right, bottom = edges
    if not (right > left and bottom > top):
        raise InputError(f"the field must have left < right and top < bottom, got {edges} µm")
    shape = tuple(max(1, int(np.ceil(length / pixel - 1e-6))) for length in (bottom - top, right - left))
    if shape[0] * shape[1] > _MOST_PIXELS:
        raise InputError(
            f"{right - left:.6g} × {bottom - top:.6g} µm at {1000 * pixel:g} nm would be an image of "
            f"{shape[1]} × {shape[0]} pixels; use a larger rendered pixel or a smaller field"
        )
    return shape[0], shape[1]


def _pixel_index(
    rows: Floats, columns: Floats, edges: Field, pixel: float, shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Flat index of the pixel that holds each point, −1 outside the edges."""
    left, top, right, bottom = edges
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    # A point a rounding error before the last edge belongs to the last pixel, not to one beyond.
    i = ((rows - top) / pixel).astype(np.int64).clip(0, shape[0] - 1)
    j = ((columns - left) / pixel).astype(np.int64).clip(0, shape[1] - 1)
    return np.where(inside, i * shape[1] + j, -1)


def _view(
    rows: Floats,
    columns: Floats,
    step: NDArray[np.uint8],
    edges: Field,
    look: tuple[float, int, float, float],
) -> View:
    """Histogram of the points and of their colours, spread alike, joined to one picture."""
    pixel, shifts, percentile, gamma = look
    shape = _shape(edges, pixel)
    size = shape[0] * shape[1]
    colours = depth_colours()
    sums = np.zeros((4, size))
    for begin in range(0, len(step), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        where = _pixel_index(rows[part], columns[part], edges, pixel, shape)
        inside = where >= 0
        where, shade = where[inside], step[part][inside]
        sums[0] += np.bincount(where, minlength=size)
        for channel in range(3):
            sums[1 + channel] += np.bincount(where, weights=colours[shade, channel], minlength=size)
    density, *channels = (_spread(plane.reshape(shape), shifts).astype(np.float32) for plane in sums)
    hue = np.stack(channels, axis=-1) / np.where(density > 0, density, 1.0)[..., None]
    some = density[density > 0]
    full = float(np.percentile(some, percentile)) if len(some) else 1.0
    brightness = np.minimum(density / full, 1.0) ** gamma
    rgb = (hue * brightness[..., None]).clip(0.0, 1.0).astype(np.float32)
    left, top = float(edges[0]), float(edges[1])
    # The last row and column are whole pixels, also where the field ends inside them.
    drawn = (left, top, left + shape[1] * pixel, top + shape[0] * pixel)
    return View(density=density, rgb=rgb, edges_um=drawn)


def _spread(counts: Floats, shifts: int) -> Floats:
    """Average over all shifts of a bin `shifts` pixels wide: a triangle along each axis (Scott)."""
    if shifts == 1:
        return counts
    from scipy.ndimage import correlate1d

    kernel = (shifts - np.abs(np.arange(1 - shifts, shifts))) / shifts**2
    for axis in (0, 1):
        counts = correlate1d(counts, kernel, axis=axis, mode="reflect")
    return counts
