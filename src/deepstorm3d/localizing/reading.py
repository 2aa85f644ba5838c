"""Frames read from a movie for the localization, with those before and after that a network also sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..localizer.neighbours import with_neighbours
from ..pixels.reading import Light
from .excerpt import OpenExcerpt
from .pipeline import Pipeline
from .streaming import Block

__all__ = ["BlockCounts", "light_of", "read_block"]


@dataclass(frozen=True)
class BlockCounts:
    """Counts of the frames of a block, and of those around it.

    counts: (before + n + after, h, w) of the region;  own: the place of the block's n frames in it.
    """

    counts: NDArray[Any]
    own: slice


def read_block(source: OpenExcerpt, block: Block, context: int) -> BlockCounts:
    """Read a block with up to `context` frames before and after it.

    The frames around it may lie outside the range of the excerpt, but not beyond an end of the movie or a gap
    in it. A frame is therefore seen with the same neighbours in any block and any excerpt.
    """
    first, last = source.readable_around(block)
    begin, end = max(first, block[0] - context), min(last, block[1] + context)
    return BlockCounts(source.read(begin, end), slice(block[0] - begin, block[1] - begin))


def light_of(pipeline: Pipeline, read: BlockCounts) -> tuple[Light, Tensor | None]:
    """Photons and pixel weights of a block, and all images that the network sees (`Pipeline.explain`).

    pipeline: of the region (`OpenExcerpt.at_work`).
    """
    light = pipeline.light(torch.from_numpy(read.counts.astype(np.float32)))
    if not pipeline.context:
        return light, None
    own = read.own
    weight = None if light.weight is None else light.weight[own]
    if weight is not None and bool(weight.all()):
        weight = None
    around = with_neighbours(light.photons, pipeline.context)[own]
    return Light(light.photons[own], weight, light.full[own], light.outliers[own]), around
