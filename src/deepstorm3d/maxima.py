"""The maximum filter that peaks are found with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["highest_around"]


@torch.no_grad()
def highest_around(values: Tensor, radius: int) -> Tensor:
    """Maximum over the square or cube of 2·radius + 1 samples around each, cut at the edges.

    values: (B, ...);  returns the same shape, without a gradient; B arrays, each on its own.
    One axis after the other, on a processor by maxima of the array and itself shifted: 9 to 24 times
    faster than pooling.
    """
    if values.is_cuda and values.ndim == 3:
        # Two operations; a GPU pays for their number.
        down = functional.max_pool2d(values, (2 * radius + 1, 1), 1, (radius, 0))
        return functional.max_pool2d(down, (1, 2 * radius + 1), 1, (0, radius))
    highest = values
    for axis in range(1, values.ndim):
        before, highest = highest, highest.clone()
        size = values.shape[axis]
        for step in range(1, min(radius, size - 1) + 1):
            for here, there in ((0, step), (step, 0)):
                part = highest.narrow(axis, here, size - step)
                torch.maximum(part, before.narrow(axis, there, size - step), out=part)
    return highest
