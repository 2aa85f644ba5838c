"""The transforms of `winograd` in compiled code (Numba): from an image to tiles of 8×8 values, and back to 6×6.

Both are the same along rows and columns: polynomial interpolation at 0, ±1, ±2, ±1/2 and infinity. Eight
samples d become eight values v, and eight products m of such values become six samples y:

    v₀ = d₀ − d₆ + 21/4·(d₄ − d₂)      v₁, v₂ = d₂ − 17/4·d₄ + d₆ ± (d₁ − 17/4·d₃ + d₅)
    v₇ = d₇ − d₁ + 21/4·(d₃ − d₅)      v₃, v₄ = 1/4·d₂ − 5/4·d₄ + d₆ ± (1/2·d₁ − 5/2·d₃ + 2·d₅)
                                       v₅, v₆ = 4·d₂ − 5·d₄ + d₆ ± (2·d₁ − 5/2·d₃ + 1/2·d₅)
    yᵢ = (m₁ ± m₂) + 2ⁱ·(m₃ ± m₄) + 2⁻ⁱ·(m₅ ± m₆), + for even i; besides, y₀ has m₀ and y₅ has m₇.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..numba_cache import compiled, compiled_in_place

__all__ = ["from_tiles", "to_tiles"]

Array = NDArray[Any]
Eight = tuple[Array, Array, Array, Array, Array, Array, Array, Array]
Six = tuple[Array, Array, Array, Array, Array, Array]

# Single precision, because a number of double precision would make the whole sum double.
_HALF = np.float32(0.5)
_TWO = np.float32(2)
_FOUR = np.float32(4)
_FIVE = np.float32(5)
_EIGHT = np.float32(8)
_SIXTEEN = np.float32(16)
_THIRTY_TWO = np.float32(32)
_1_4 = np.float32(1 / 4)
_1_8 = np.float32(1 / 8)
_1_16 = np.float32(1 / 16)
_1_32 = np.float32(1 / 32)
_5_4 = np.float32(5 / 4)
_5_2 = np.float32(5 / 2)
_17_4 = np.float32(17 / 4)
_21_4 = np.float32(21 / 4)


# In both transforms each output has a loop of its own: the compiler then uses vector instructions. In a loop
# with more than one output it cannot exclude that one of them overwrites the input.


@compiled_in_place
def _values(samples: Eight, values: Eight) -> None:
    d0, d1, d2, d3, d4, d5, d6, d7 = samples
    v0, v1, v2, v3, v4, v5, v6, v7 = values
    n = len(d0)
    for c in range(n):
        v0[c] = d0[c] - d6[c] + _21_4 * (d4[c] - d2[c])
    for c in range(n):
        v1[c] = (d2[c] - _17_4 * d4[c] + d6[c]) + (d1[c] - _17_4 * d3[c] + d5[c])
    for c in range(n):
        v2[c] = (d2[c] - _17_4 * d4[c] + d6[c]) - (d1[c] - _17_4 * d3[c] + d5[c])
    for c in range(n):
        v3[c] = (_1_4 * d2[c] - _5_4 * d4[c] + d6[c]) + (_HALF * d1[c] - _5_2 * d3[c] + _TWO * d5[c])
    for c in range(n):
        v4[c] = (_1_4 * d2[c] - _5_4 * d4[c] + d6[c]) - (_HALF * d1[c] - _5_2 * d3[c] + _TWO * d5[c])
    for c in range(n):
        v5[c] = (_FOUR * d2[c] - _FIVE * d4[c] + d6[c]) + (_TWO * d1[c] - _5_2 * d3[c] + _HALF * d5[c])
    for c in range(n):
        v6[c] = (_FOUR * d2[c] - _FIVE * d4[c] + d6[c]) - (_TWO * d1[c] - _5_2 * d3[c] + _HALF * d5[c])
    for c in range(n):
        v7[c] = d7[c] - d1[c] + _21_4 * (d3[c] - d5[c])


@compiled_in_place
def _samples(products: Eight, samples: Six) -> None:
    m0, m1, m2, m3, m4, m5, m6, m7 = products
    y0, y1, y2, y3, y4, y5 = samples
    n = len(m0)
    for c in range(n):
        y0[c] = m0[c] + (m1[c] + m2[c]) + (m3[c] + m4[c]) + (m5[c] + m6[c])
    for c in range(n):
        y1[c] = (m1[c] - m2[c]) + _TWO * (m3[c] - m4[c]) + _HALF * (m5[c] - m6[c])
    for c in range(n):
        y2[c] = (m1[c] + m2[c]) + _FOUR * (m3[c] + m4[c]) + _1_4 * (m5[c] + m6[c])
    for c in range(n):
        y3[c] = (m1[c] - m2[c]) + _EIGHT * (m3[c] - m4[c]) + _1_8 * (m5[c] - m6[c])
    for c in range(n):
        y4[c] = (m1[c] + m2[c]) + _SIXTEEN * (m3[c] + m4[c]) + _1_16 * (m5[c] + m6[c])
    for c in range(n):
        y5[c] = (m1[c] - m2[c]) + _THIRTY_TWO * (m3[c] - m4[c]) + _1_32 * (m5[c] - m6[c]) + m7[c]


@compiled_in_place
def _tiles_across(width: int, dilation: int, phase: int) -> int:
    """Tiles that cover every `dilation`-th column from `phase` on."""
    return ((width - phase + dilation - 1) // dilation + 5) // 6


@compiled
def to_tiles(image: Array, dilation: int, strips: Array, tiles: Array) -> None:
    """Write the values of the tiles in some strips of an image; outside the image the samples are zero.

    image: (H, W·C), float32, channels innermost;  strips: (S, 2), first row of the part of the image that a
    strip belongs to (every `dilation`-th row from there), and its number in this part: it has six output rows;
    tiles: (T, 64 or more, C) result, in the order of strips, parts of the columns, places in the strip.
    """
    size = image.shape[1]
    width, channels = size // tiles.shape[2], tiles.shape[2]
    wide = (6 * _tiles_across(width, dilation, 0) + 2) * dilation * channels
    lines = np.zeros((8, wide), np.float32)  # `dilation` columns of zeros before the image's first one
    _write_tiles(image, dilation, strips, lines, np.zeros(size, np.float32), tiles)


@compiled_in_place
def _write_tiles(
    image: Array, dilation: int, strips: Array, lines: Array, outside: Array, tiles: Array
) -> None:
    """See `to_tiles`.  lines: eight rows, filtered along columns, zeros outside the image;  outside: zeros."""
    (height, size), channels = image.shape, tiles.shape[2]
    width = size // channels
    step = dilation * channels
    end = step + size
    tile = 0
    for strip in range(len(strips)):
        top = strips[strip, 0] + (6 * strips[strip, 1] - 1) * dilation
        r1, r2, r3 = top + dilation, top + 2 * dilation, top + 3 * dilation
        r4, r5, r6, r7 = top + 4 * dilation, top + 5 * dilation, top + 6 * dilation, top + 7 * dilation
        _values(
            (
                image[top] if 0 <= top < height else outside,
                image[r1] if 0 <= r1 < height else outside,
                image[r2] if 0 <= r2 < height else outside,
                image[r3] if 0 <= r3 < height else outside,
                image[r4] if 0 <= r4 < height else outside,
                image[r5] if 0 <= r5 < height else outside,
                image[r6] if 0 <= r6 < height else outside,
                image[r7] if 0 <= r7 < height else outside,
            ),
            (
                lines[0, step:end],
                lines[1, step:end],
                lines[2, step:end],
                lines[3, step:end],
                lines[4, step:end],
                lines[5, step:end],
                lines[6, step:end],
                lines[7, step:end],
            ),
        )
        for phase in range(min(dilation, width)):
            for place in range(_tiles_across(width, dilation, phase)):
                begin = phase * channels + 6 * place * step
                for i in range(8):
                    line, out = lines[i], tiles[tile, 8 * i : 8 * i + 8]
                    _values(
                        (
                            line[begin : begin + channels],
                            line[begin + step : begin + step + channels],
                            line[begin + 2 * step : begin + 2 * step + channels],
                            line[begin + 3 * step : begin + 3 * step + channels],
                            line[begin + 4 * step : begin + 4 * step + channels],
                            line[begin + 5 * step : begin + 5 * step + channels],
                            line[begin + 6 * step : begin + 6 * step + channels],
                            line[begin + 7 * step : begin + 7 * step + channels],
                        ),
                        (
                            out[0],
                            out[1],
                            out[2],
                            out[3],
                            out[4],
                            out[5],
                            out[6],
                            out[7],
                        ),
                    )
                tile += 1


@compiled_in_place
def _finish(row: Array, bias: Array, plus: Array, positive: bool) -> None:
    """Add to a row of the result, in place, and set what is negative to 0.  plus: empty, or as long as it."""
    if len(plus):
        for x in range(len(row)):
            row[x] = row[x] + bias[x] + plus[x]
    else:
        for x in range(len(row)):
            row[x] += bias[x]
    if positive:
        for x in range(len(row)):
            value = row[x]
            row[x] = np.float32(0) if value < 0 else value  # not-a-number stays


@compiled
def from_tiles(
    tiles: Array, dilation: int, strips: Array, image: Array, bias: Array, plus: Array, positive: bool
) -> None:
    """Write the six rows of some strips of an image from the products of their tiles.

    tiles: (8, 8, T, C), in the order of `to_tiles`;  strips: (S, 2) as there;  image: (H, W·C) result;
    bias: (W·C,) and plus: (H, W·C), or (H, 0) for nothing, are added to it;  positive: no value below 0.
    """
    size = image.shape[1]
    width = size // tiles.shape[3]
    lines = np.empty((8, 6 * _tiles_across(width, dilation, 0) * dilation * tiles.shape[3]), np.float32)
    _write_rows(tiles, dilation, strips, lines, np.empty(size, np.float32), image, (bias, plus, positive))


@compiled_in_place
def _write_rows(
    tiles: Array,
    dilation: int,
    strips: Array,
    lines: Array,
    outside: Array,
    image: Array,
    end: tuple[Array, Array, bool],
) -> None:
    """See `from_tiles`.  lines: memory of eight rows;  outside: memory of a row;  end: bias, plus, positive."""
    (height, size), channels = image.shape, tiles.shape[3]
    width = size // channels
    step = dilation * channels
    tile = 0
    for strip in range(len(strips)):
        for phase in range(min(dilation, width)):
            for place in range(_tiles_across(width, dilation, phase)):
                begin = phase * channels + 6 * place * step
                for i in range(8):
                    products, line = tiles[i], lines[i]
                    _samples(
                        (
                            products[0, tile],
                            products[1, tile],
                            products[2, tile],
                            products[3, tile],
                            products[4, tile],
                            products[5, tile],
                            products[6, tile],
                            products[7, tile],
                        ),
                        (
                            line[begin : begin + channels],
                            line[begin + step : begin + step + channels],
                            line[begin + 2 * step : begin + 2 * step + channels],
                            line[begin + 3 * step : begin + 3 * step + channels],
                            line[begin + 4 * step : begin + 4 * step + channels],
                            line[begin + 5 * step : begin + 5 * step + channels],
                        ),
                    )
                tile += 1
        top = strips[strip, 0] + 6 * strips[strip, 1] * dilation
        r1, r2, r3 = top + dilation, top + 2 * dilation, top + 3 * dilation
        r4, r5 = top + 4 * dilation, top + 5 * dilation
        _samples(
            (
                lines[0, :size],
                lines[1, :size],
                lines[2, :size],
                lines[3, :size],
                lines[4, :size],
                lines[5, :size],
                lines[6, :size],
                lines[7, :size],
            ),
            (
                image[top] if 0 <= top < height else outside,
                image[r1] if 0 <= r1 < height else outside,
                image[r2] if 0 <= r2 < height else outside,
                image[r3] if 0 <= r3 < height else outside,
                image[r4] if 0 <= r4 < height else outside,
                image[r5] if 0 <= r5 < height else outside,
            ),
        )
        for row in (top, r1, r2, r3, r4, r5):
            if 0 <= row < height:
                _finish(image[row], end[0], end[1][row], end[2])
