"""One frame in compiled code: its data, its expected image, and the likelihood of its pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...optics.compiled import (
    Array,
    Molecules,
    Spline,
    add_patch,
    compiled,
    compiled_in_place,
    patch_window,
    value_patch,
)
from .logarithm import logarithms

__all__ = ["Scene", "add_surface", "deviance", "expected", "pixel_deviance", "reach", "reaches", "weigh"]

_FLOOR = 1e-3  # smallest expected value of a pixel, as in `Likelihood`
_LEAST = 1e-30  # ratio of count and mean below which its logarithm is cut
_NEGATIVE = 2.0  # a count below minus this times its mean says no more than one there, as in `Likelihood`


class Scene(NamedTuple):
    """The pixels of one frame and the splines of its background.

    counts, base, weight: (H, W) float32: a pixel is Poisson with the mean model/excess + base (`Likelihood`);
    rows: (H, k) and columns: (l, W), splines of the background at each row and column;
    knots: (2, …) centres of the splines along y and along x, px;
    begin: column and row of the frame's first pixel, where positions are measured from the field's.
    """

    counts: Array
    base: Array
    weight: Array
    excess: float
    rows: Array
    columns: Array
    knots: Array
    begin: Array


@compiled_in_place
def reach(values: Array) -> tuple[int, int]:
    """Where values (n,) begin and end to differ from 0, half open."""
    first, last = 0, len(values)
    while first < last and values[first] == 0:
        first += 1
    while last > first and values[last - 1] == 0:
        last -= 1
    return first, last


@compiled
def reaches(lines: Array) -> Array:
    """`reach` of each line (k, n): (k, 2)."""
    ends = np.empty((len(lines), 2), np.int64)
    for k in range(len(lines)):
        ends[k, 0], ends[k, 1] = reach(lines[k])
    return ends


@compiled
def add_surface(scene: Scene, coefficients: Array, image: Array) -> None:
    """Add the background with coefficients (k, l) to an image (H, W)."""
    knots, ends = np.empty(coefficients.shape[1], np.float32), reaches(scene.columns)
    _add_rows(scene, coefficients, knots, ends, image)


@compiled_in_place
def _add_rows(scene: Scene, coefficients: Array, knots: Array, ends: Array, image: Array) -> None:
    """See `add_surface`.  knots: (l,) memory;  ends: (l, 2) columns between which each spline is not 0."""
    for y in range(len(image)):
        knots[:] = 0
        for k in range(len(coefficients)):
            if scene.rows[y, k] != 0:
                for m in range(len(knots)):
                    knots[m] += scene.rows[y, k] * np.float32(coefficients[k, m])
        for m in range(len(knots)):
            line, column = image[y, ends[m, 0] : ends[m, 1]], scene.columns[m, ends[m, 0] : ends[m, 1]]
            level = knots[m]
            for x in range(len(line)):
                line[x] += level * column[x]


@compiled
def expected(spline: Spline, scene: Scene, molecules: Molecules, coefficients: Array, image: Array) -> None:
    """Write the expected photons (H, W)."""
    (height, width), (places, shares) = scene.counts.shape, molecules
    patch, window = np.empty(spline.patch_px * spline.side, np.float32), np.empty(6, np.int64)
    image[:] = 0
    for i in range(len(places)):
        patch_window(spline, places[i, 0], places[i, 1], scene.begin, height, width, window)
        if window[3] > window[2] and window[5] > window[4]:
            value_patch(spline, places[i], shares[i], window, scene.begin, patch)
            add_patch(spline, patch, window, places[i, 3], image)
    add_surface(scene, coefficients, image)


@compiled
def deviance(scene: Scene, image: Array) -> float:
    """Twice the log-likelihood ratio to a perfect fit."""
    return pixel_deviance(scene.counts, scene.base, scene.weight, scene.excess, image)


@compiled
def pixel_deviance(counts: Array, base: Array, weight: Array, excess: float, image: Array) -> float:
    """See `deviance` and `Scene`."""
    width = image.shape[1]
    memory = np.empty(width, np.float32), np.empty(width, np.int32)
    return _deviance(counts, base, weight, np.float32(1 / excess), image, memory)


@compiled_in_place
def _deviance(
    counts: Array, base: Array, weight: Array, scale: float, image: Array, memory: tuple[Array, Array]
) -> float:
    """See `deviance`.  scale: float32;  memory: (W,) float32 and (W,) int32."""
    total: float = 0.0
    (logs, exponents), floor, negative = memory, np.float32(_FLOOR), np.float32(_NEGATIVE)
    for y in range(len(image)):
        light, dark, count_row, share = image[y], base[y], counts[y], weight[y]
        for x in range(len(light)):
            ratio = count_row[x] / max(light[x] * scale + dark[x], floor)
            # Without counts the logarithm does not matter.
            logs[x] = max(ratio, min(-ratio, negative) / negative, np.float32(_LEAST))
        logarithms(logs, exponents)
        line = np.float32(0)
        for x in range(len(light)):
            mean = max(light[x] * scale + dark[x], floor)
            count = max(count_row[x], -negative * mean)
            line += 2 * (mean - count + count * logs[x]) * share[x]
        total += float(line)
    return total


@compiled_in_place
def weigh(scene: Scene, image: Array, score: Array, information: Array) -> None:
    """Write the derivative of the log-likelihood and the Fisher information of each pixel, (H, W)."""
    scale, floor, part = np.float32(1 / scene.excess), np.float32(_FLOOR), np.float32(1 / scene.excess**2)
    least = np.float32(-_NEGATIVE)
    for y in range(len(image)):
        line, base, counts, weight = image[y], scene.base[y], scene.counts[y], scene.weight[y]
        pull, stiff = score[y], information[y]
        for x in range(len(line)):
            mean = max(line[x] * scale + base[x], floor)
            pull[x] = (max(counts[x] / mean, least) - np.float32(1)) * scale * weight[x]
            stiff[x] = part / mean * weight[x]
