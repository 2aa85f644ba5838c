"""One block of frames localized, and what it gave: the unit of work of every run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..emitters import Localizations
from ..watch import SILENT, Watcher
from .excerpt import Excerpt, OpenExcerpt
from .memory import WithinMemory
from .streaming import Block
from .unexplained import misfit_beyond_noise

__all__ = ["Found", "Workers", "localize_block"]


@dataclass(frozen=True)
class Found:
    """What a block of frames gave.

    saturated_frames: how many of its frames had saturated pixels;  misfit: mean deviance of the frames that
    the model does not explain;  outliers: pixels that no light through the optics can have lit;
    outlier_frames: frames with any.
    """

    block: Block
    localizations: Localizations
    saturated_frames: int
    misfit: tuple[float, ...] = ()
    outliers: int = 0
    outlier_frames: int = 0


Workers = Callable[[Excerpt, Iterable[Block], Watcher], Iterator[Found]]
"""Localize blocks of an excerpt somewhere else; the results come in the order of the blocks. The watcher is
told again and again meanwhile that the work is alive, and asked whether to stop."""


def localize_block(
    source: OpenExcerpt,
    localize: WithinMemory,
    block: Block,
    counts: NDArray[Any],
    watch: Watcher = SILENT,
) -> Found:
    """One block's counts (n, h, w) of the region as localizations of the whole frame.

    watch: told the frames done, again and again; raises Interrupted where it says so.
    """
    pipeline = localize.pipeline
    light = pipeline.light(torch.from_numpy(counts.astype(np.float32)))
    pixel_um = pipeline.experiment.microscope.pixel_um
    shift = (source.roi[0] * pixel_um, source.roi[1] * pixel_um, 0.0)
    explained = localize(light.photons, light.weight, watch=watch)
    found = explained.localizations.shift(xyz=shift, frames=block[0]).to("cpu")
    outliers = int(light.outliers.sum()), int((light.outliers > 0).sum())
    return Found(block, found, int(light.full.sum()), misfit_beyond_noise(explained.misfit), *outliers)
