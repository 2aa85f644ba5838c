"""Choice of batch and tile sizes that fit into memory, and smaller ones when it runs out."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..devices import free_bytes
from ..emitters import Localizations
from ..errors import InputError
from ..experiment.experiment import Experiment
from ..fitting.joint import Explained, JointFit
from ..watch import SILENT, Part, Watcher
from .out_of_memory import is_out_of_memory
from .pipeline import Pipeline
from .tiling import MARGIN_PX

__all__ = ["WithinMemory", "blocks_at_once", "bytes_per_pixel"]

_SHARE = 0.5  # fraction of the free memory that a batch may use
_COPIES = 4  # float32 copies of a molecule's image and derivatives that a step of the joint fit needs at a time
_SMALLEST_TILE_PX = 96  # smallest side of a tile, px; below it the margins take most of the work


class WithinMemory:
    """A pipeline that uses smaller batches, then smaller tiles, when memory runs out.

    A reduced size is kept for all later frames.
    watch: receives a message when the size is reduced;  at_once: calls that share the memory.
    """

    def __init__(self, pipeline: Pipeline, watch: Watcher = SILENT, *, at_once: int = 1) -> None:
        self.pipeline, self._watch, self._at_once = pipeline, watch, at_once
        self._batch: int | None = None

    def __call__(
        self,
        photons: Tensor,
        weight: Tensor | None = None,
        *,
        around: Tensor | None = None,
        watch: Watcher = SILENT,
    ) -> Explained:
        """The result of `Pipeline.explain` for frames (B, H, W); raises InputError if one tile does not fit.

        weight: (B, H, W), 0 at excluded pixels;  around: as there;  watch: is called with the number of frames
        done and can end the work (Interrupted).
        """
        if self._batch is None:
            free = free_bytes(self.pipeline.device)
            bytes_of_frame = bytes_per_pixel(self.pipeline) * photons.shape[1] * photons.shape[2]
            # If the free memory is not known, the whole block is tried first.
            self._batch = max(
                1, len(photons) if free is None else int(_SHARE * free / self._at_once / bytes_of_frame)
            )
        while True:
            try:
                return self._in_batches(photons, weight, around, watch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).partition("\n")[0]
            # Outside the handler, because the exception's traceback would keep the memory in use.
            self._make_smaller(len(photons), reason)

    def _in_batches(
        self, photons: Tensor, weight: Tensor | None, around: Tensor | None, watch: Watcher
    ) -> Explained:
        assert self._batch is not None
        starts = range(0, len(photons), self._batch)
        batches = zip(
            starts,
            photons.split(self._batch),
            [None] * len(starts) if weight is None else weight.split(self._batch),
            [None] * len(starts) if around is None else around.split(self._batch),
            strict=True,
        )
        parts = [
            self.pipeline.explain(part, counted, around=seen, watch=Part(watch, start, len(part), len(photons)))
            for start, part, counted, seen in batches
        ]
        if len(parts) == 1:
            return parts[0]
        tables = [part.localizations.shift(frames=start) for start, part in zip(starts, parts, strict=True)]
        return Explained(Localizations.concat(tables), torch.cat([part.misfit for part in parts]))

    def _make_smaller(self, frames: int, reason: str) -> None:
        if self.pipeline.device.type == "cuda":
            torch.cuda.empty_cache()
        batch = min(self._batch or 1, frames)
        if batch > 1:
            self._batch = batch // 2
            self._watch.message(f"out of memory: going on with {self._batch} frames at a time")
            return
        tile_px = self.pipeline.tile_px // 2
        if tile_px < _SMALLEST_TILE_PX:
            raise InputError(
                f"not enough memory for one frame in tiles of {self.pipeline.tile_px} px ({reason})",
                "close other programs, choose a region (`roi`), or another device (`device=cpu`)",
            )
        self.pipeline = dataclasses.replace(self.pipeline, tile_px=tile_px)
        self._watch.message(f"out of memory: going on in tiles of {tile_px} px")


def blocks_at_once(pipeline: Pipeline, size: tuple[int, int]) -> int:
    """Number of blocks that are localized side by side: as many as PyTorch has threads, fewer where memory is
    short; on a GPU one.

    A frame is fitted by one thread, so that a block of few large frames alone would leave the others idle.
    size: height and width of a frame, px.
    """
    if pipeline.device.type != "cpu":
        return 1
    threads, free = torch.get_num_threads(), free_bytes(pipeline.device)
    if free is None:
        return threads
    # Of a block at least one tile of one frame is worked on at a time.
    height, width = (min(side, pipeline.tile_px + 2 * MARGIN_PX) for side in size)
    return max(1, min(threads, int(_SHARE * free / (bytes_per_pixel(pipeline) * height * width))))


def bytes_per_pixel(pipeline: Pipeline) -> float:
    """Memory for a camera pixel of a batch, bytes: for the network, and for the fit in the densest scene."""
    experiment, fit = pipeline.experiment, pipeline.fit
    needed = experiment.network.bytes_per_pixel
    if isinstance(fit, JointFit):
        unknowns = 4 + fit.fit_blur
        needed += _densest(experiment) * _COPIES * 4 * unknowns * fit.whole.patch_px**2
    return needed


def _densest(experiment: Experiment) -> float:
    """Mean number of molecules per camera pixel in the densest scene."""
    height, width = experiment.frame_px
    area = torch.full((64,), height * width * experiment.microscope.pixel_um**2)
    generator = torch.Generator().manual_seed(0)
    drawn = [scene.emitters.count.draw(area, generator) for scene in experiment.scenes.values()]
    return max(float(count.double().mean()) for count in drawn) / (height * width)
