"""Correlation of frames with many similar images, by Fourier transforms of a few components of them."""

from __future__ import annotations

import copy

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional

__all__ = ["Correlation", "fast_size"]

_AT_ONCE = 256  # pixels whose surroundings are copied at a time: some MB


class Correlation:
    """Correlates frames with images of one size: the sums of their products, with an image around every pixel.

    Images at neighbouring depths look alike: they are weighted sums of a few orthogonal components (principal
    components), and only these are correlated with a frame.

    images: (Z, h, w);  half: column and row of the pixel of the images that stands for their place;
    size: height and width of the padded frames, px, even;  left_out: share of the images' sum of squares that
    the components leave out.
    """

    def __init__(self, images: Tensor, half: tuple[int, int], size: tuple[int, int], left_out: float) -> None:
        flat = images.double().flatten(1)
        power, ways = torch.linalg.eigh(flat @ flat.mT)
        power, ways = power.flip(0).clamp(min=0), ways.flip(1)
        # Share of the sum of squares that is left without the components before each.
        self._missing = power.flip(0).cumsum(0).flip(0) / power.sum()
        number = self._needed(left_out)
        strength = power[:number].sqrt()
        components = ((ways[:, :number].mT @ flat) / strength[:, None]).to(images)
        self._weights = (ways[:, :number] * strength).to(images)
        self._size, self._step = size, 1
        components = components.view(number, *images.shape[1:])
        self._components, self._half = components, half
        padded = functional.pad(components, [0, size[1] - images.shape[2], 0, size[0] - images.shape[1]])
        # Entry (i, j) of a correlation is then the sum with the image's place at pixel (i, j).
        padded = torch.roll(padded, (-half[1], -half[0]), (1, 2))
        self._kernel = torch.fft.rfft2(padded).conj()

    def rougher(self, left_out: float) -> Correlation:
        """The same at every second row and column only, which takes a quarter of the time or less.

        Spatial frequencies that half as many pixels cannot show are left out.
        """
        number, rough = self._needed(left_out), copy.copy(self)
        rough._step = 2
        rough._kernel = rough._low(self._kernel[:number]).clone()
        rough._weights = self._weights[:, :number] / 4
        return rough

    def __call__(self, spectrum: Tensor, shape: tuple[int, int]) -> Tensor:
        """(…, Z, h, w) in the pixels that it is computed for, of frames of a shape (H, W).

        spectrum: of the frames padded with 0, `torch.fft.rfft2`: (…, size[0], size[1] // 2 + 1).
        """
        height, width = (-(-side // self._step) for side in shape)
        grid = (self._size[0] // self._step, self._size[1] // self._step)
        # Without a name for the product, its memory is free again for the sum.
        sums = torch.fft.irfft2(self._low(spectrum).unsqueeze(-3) * self._kernel, grid)[..., :height, :width]
        return (self._weights @ sums.flatten(-2)).unflatten(-1, (height, width))

    def at(self, frame: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """(M, Z) around some pixels (M,) of one frame (H, W): cheaper than everywhere if they are few."""
        height, width = self._components.shape[1:]
        left, above = self._half
        sides = [left, width - 1 - left, above, height - 1 - above]
        around = functional.pad(frame, sides).unfold(0, height, 1).unfold(1, width, 1)
        flat = self._components.flatten(1)
        sums = [
            around[rows, columns].flatten(1) @ flat.mT
            for rows, columns in zip(row.split(_AT_ONCE), column.split(_AT_ONCE), strict=True)
        ]
        return torch.cat(sums) @ self._weights.mT

    def _needed(self, left_out: float) -> int:
        return max(1, int((self._missing > left_out).sum()))

    def _low(self, spectrum: Tensor) -> Tensor:
        """The frequencies of a spectrum that the grid shows."""
        if self._step == 1:
            return spectrum
        height, width = self._size[0] // self._step, self._size[1] // self._step
        spectrum = spectrum[..., : width // 2 + 1]
        return torch.cat([spectrum[..., : (height + 1) // 2, :], spectrum[..., -(height // 2) :, :]], -2)


def fast_size(pixels: int) -> int:
    """The next even number of pixels with a fast Fourier transform."""
    half = next_fast_len((pixels + 1) // 2, real=True)
    assert half is not None
    return 2 * half
