"""Colours for depth and dyes with equal lightness throughout, so that brightness can show density."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.colors import ListedColormap

__all__ = ["depth_colormap", "depth_colours", "dye_colours", "molecule_colours"]

# OKLab hue of the shallow end, rad: violet-blue. The scale goes through cyan, green and yellow; no hue repeats.
_HUE_SHALLOW = np.radians(288.0)
# OKLab hue of the deep end, rad: red-pink.
_HUE_DEEP = np.radians(12.0)
# OKLab lightness of all colours, 0 to 1.
_LIGHTNESS = 0.76
# OKLab chroma of all colours that a screen can show at this lightness.
_CHROMA = 0.17
# OKLab hues of the first four dyes, rad: cyan, orange, violet, green; then again.
_HUES_OF_DYES = np.radians([215.0, 60.0, 325.0, 140.0])
# Angle that divides a circle in the golden ratio, rad.
_GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))
# OKLab chroma of the dyes, which a screen can show at all of these hues.
_CHROMA_OF_DYES = 0.12
# Linear light of molecules of no dye, relative to the others.
_LIGHT_OF_NONE = 0.35


def depth_colours(steps: int = 256) -> NDArray[np.float64]:
    """RGB (steps, 3), 0 to 1, from the shallow to the deep end, at one OKLab lightness.

    For each hue the chroma is lowered to what a screen can show. Ottosson, "A perceptual color
    space for image processing" (2020).
    """
    hue = np.linspace(_HUE_SHALLOW, _HUE_DEEP, steps)[:, None]
    chroma = np.linspace(0.0, _CHROMA, 400)[None, :]
    rgb = _linear_rgb(_LIGHTNESS, chroma * np.cos(hue), chroma * np.sin(hue))
    showable = ((rgb > -1e-4) & (rgb < 1 + 1e-4)).all(axis=-1)
    last = np.logical_and.accumulate(showable, axis=1).sum(axis=1) - 1
    linear = rgb[np.arange(steps), last].clip(0.0, 1.0)
    return _screen(linear)


def dye_colours(dyes: int) -> NDArray[np.float64]:
    """RGB (dyes + 1, 3), 0 to 1, of no dye and of each: grey, then hues far apart, of the lightness above.

    The first two, cyan and orange, differ for people with red–green colour blindness too.
    """
    return _of_hues(np.resize(_HUES_OF_DYES, dyes))


def molecule_colours(number: int) -> NDArray[np.float64]:
    """RGB (number + 1, 3), 0 to 1: grey, then hues a golden angle apart: successive ones differ."""
    return _of_hues(_GOLDEN_ANGLE * np.arange(number))


def _of_hues(hues: NDArray[np.float64]) -> NDArray[np.float64]:
    """Grey, and a colour of each hue (N,) rad: (N + 1, 3)."""
    chroma = np.concatenate([[0.0], np.full(len(hues), _CHROMA_OF_DYES)])[:, None]
    hue = np.concatenate([[0.0], hues])[:, None]
    linear = _linear_rgb(_LIGHTNESS, chroma * np.cos(hue), chroma * np.sin(hue))[:, 0].clip(0.0, 1.0)
    linear[0] *= _LIGHT_OF_NONE
    return _screen(linear)


def depth_colormap() -> ListedColormap:
    """The same colours for matplotlib."""
    from matplotlib.colors import ListedColormap

    return ListedColormap(depth_colours().tolist(), name="depth")


def _screen(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear sRGB as a screen wants it (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _linear_rgb(lightness: float, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """OKLab to linear sRGB, (..., 3)."""
    to_cone = np.array(
        [
            [1.0, 0.3963377774, 0.2158037573],
            [1.0, -0.1055613458, -0.0638541728],
            [1.0, -0.0894841775, -1.2914855480],
        ]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    lab = np.stack([np.full_like(a, lightness), a, b], axis=-1)
    return ((lab @ to_cone.T) ** 3) @ to_rgb.T
