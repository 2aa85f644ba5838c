"""Which molecules share light: what the Fisher matrix of a step may leave out, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...optics.compiled import Array, compiled, compiled_in_place
from .normal import Slopes

__all__ = ["Profiles", "measure", "new_profiles", "shared", "tighten"]

# Share of a molecule's light on each side of its patch that the Fisher matrix of a step neglects.
_LEFT_OUT = 0.015


class Profiles(NamedTuple):
    """The light of molecules summed over the columns and over the rows of their patches, each of length 1.

    values: (n, 2, h), along x and along y;  least: overlap of two molecules below which their block of the
    matrix is left out (0: never).
    """

    values: Array
    least: float


@compiled
def new_profiles(number: int, patch_px: int, least: float) -> Profiles:
    """Profiles to be written (`measure`)."""
    return Profiles(np.zeros((number, 2, patch_px), np.float32), least)


@compiled_in_place
def measure(slopes: Slopes, molecule: int, profiles: Profiles) -> None:
    """Write the profiles of a molecule."""
    light, window, (along_x, along_y) = (
        slopes.values[molecule, 3],
        slopes.windows[molecule],
        profiles.values[molecule],
    )
    along_x[:], along_y[:] = 0, 0
    for y in range(window[4], window[5]):
        row = light[y * slopes.stride + window[2] : y * slopes.stride + window[3]]
        column, total = along_x[window[2] : window[3]], np.float32(0)
        for x in range(len(row)):
            column[x] += row[x]
            total += row[x]
        along_y[y] = total
    for line in (along_x, along_y):
        square = np.float32(0)
        for k in range(len(line)):
            square += line[k] * line[k]
        if square > 0:
            scale = np.float32(1) / np.sqrt(square)
            for k in range(len(line)):
                line[k] *= scale


@compiled_in_place
def tighten(profiles: Profiles, molecule: int, window: Array, tight: Array) -> None:
    """Write the window of a patch without the edges that hold `_LEFT_OUT` of its light on each side."""
    for k in range(len(window)):
        tight[k] = window[k]
    for axis in range(2):
        light, low, high = profiles.values[molecule, axis], 2 + 2 * axis, 3 + 2 * axis
        total, held = light.sum(), 0.0
        while tight[low] < tight[high] - 1 and held + light[tight[low]] < _LEFT_OUT * total:
            held += light[tight[low]]
            tight[low] += 1
        held = 0.0
        while tight[high] > tight[low] + 1 and held + light[tight[high] - 1] < _LEFT_OUT * total:
            held += light[tight[high] - 1]
            tight[high] -= 1


@compiled_in_place
def shared(profiles: Profiles, windows: Array, first: int, second: int) -> float:
    """Overlap of the light of two molecules, 0 … 1, as if each spot were the product of its profiles."""
    product: float = 1.0
    for axis in range(2):
        one, other = profiles.values[first, axis], profiles.values[second, axis]
        shift, total = windows[second, axis] - windows[first, axis], np.float32(0)
        begin, end = max(0, shift), min(len(one), len(other) + shift)
        if end <= begin:
            return 0.0
        near, far = one[begin:end], other[begin - shift : end - shift]
        for k in range(len(near)):
            total += near[k] * far[k]
        product *= float(total)
    return product
