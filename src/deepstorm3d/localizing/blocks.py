"""Localization of one block of frames, the unit of work of every run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..emitters import Localizations
from ..watch import SILENT, Watcher
from .excerpt import Excerpt, OpenExcerpt
from .memory import WithinMemory
from .reading import BlockCounts, light_of
from .streaming import Block
from .unexplained import misfit_beyond_noise

__all__ = ["Found", "Workers", "localize_block"]


@dataclass(frozen=True)
class Found:
    """Result of a block of frames.

    saturated_frames: number of frames with saturated pixels;  misfit: mean deviance of the frames that
    the model does not explain;  outliers: number of pixels that cannot be an image formed by the optics;
    outlier_frames: number of frames with such pixels.
    """

    block: Block
    localizations: Localizations
    saturated_frames: int
    misfit: tuple[float, ...] = ()
    outliers: int = 0
    outlier_frames: int = 0


Workers = Callable[[Excerpt, Iterable[Block], Watcher], Iterator[Found]]
"""Localizes blocks of an excerpt in other processes and yields the results in the order of the blocks. It calls
the watcher repeatedly in the meantime, which can stop the work."""


def localize_block(
    source: OpenExcerpt,
    localize: WithinMemory,
    block: Block,
    read: BlockCounts,
    watch: Watcher = SILENT,
) -> Found:
    """Localize one block; the positions refer to the whole frame.

    read: its frames (`read_block`);  watch: is called with the number of frames done and can end the work
    (Interrupted).
    """
    pipeline = localize.pipeline
    light, around = light_of(pipeline, read)
    pixel_um = pipeline.experiment.microscope.pixel_um
    shift = (source.roi[0] * pixel_um, source.roi[1] * pixel_um, 0.0)
    explained = localize(light.photons, light.weight, around=around, watch=watch)
    found = explained.localizations.shift(xyz=shift, frames=block[0]).to("cpu")
    outliers = int(light.outliers.sum()), int((light.outliers > 0).sum())
    return Found(block, found, int(light.full.sum()), misfit_beyond_noise(explained.misfit), *outliers)
