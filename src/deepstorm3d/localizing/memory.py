"""How many blocks, frames and pixels are worked on at a time, and fewer when memory runs out."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from threading import Lock

import torch
from torch import Tensor

from ..devices import free_bytes
from ..emitters import Localizations
from ..errors import InputError
from ..experiment.experiment import Experiment
from ..fitting.joint import Explained, JointFit
from ..fitting.room import Room
from ..fitting.search import MatchedFilter
from ..watch import SILENT, Part, Watcher
from .out_of_memory import is_out_of_memory
from .pipeline import Pipeline
from .tiling import MARGIN_PX

__all__ = ["Blocks", "WithinMemory", "blocks_at_once", "bytes_of_frame", "bytes_per_pixel"]

_SHARE = 0.5  # fraction of the free memory that a batch may use
_COPIES = 4  # float32 copies of a molecule's image and derivatives that a step of the joint fit needs at a time
FIXED_BYTES = 80e6
"""What a frame of any size takes on the processor: measured as what small frames take beyond their pixels."""
_SMALLEST_TILE_PX = 96  # smallest side of a tile, px; below it the margins take most of the work


class WithinMemory:
    """A pipeline that works on fewer blocks, in smaller batches, then in smaller tiles, when memory runs out.

    It may be called by several threads; the fit of a frame with many molecules then waits until there is memory
    for it. A reduced size is kept for all later frames.
    watch: receives a message when the size is reduced;  at_once: calls that share the memory.
    """

    def __init__(self, pipeline: Pipeline, watch: Watcher = SILENT, *, at_once: int = 1) -> None:
        self._watch, self._at_once, self._changing, self._turn = watch, at_once, Lock(), Lock()
        self._size = _Size(pipeline, None, at_once == 1)

    @property
    def pipeline(self) -> Pipeline:
        """As it is used now."""
        return self._size.pipeline

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
        while True:
            size = self._measured(photons)
            try:
                with self._turn if size.alone and self._at_once > 1 else nullcontext():
                    return _in_batches(size, photons, weight, around, watch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).partition("\n")[0]
            # Outside the handler, because the exception's traceback would keep the memory in use.
            with self._changing:
                # Another thread may have made it smaller meanwhile.
                if self._size is size:
                    self._make_smaller(size, len(photons), reason)

    def _measured(self, photons: Tensor) -> _Size:
        """The size to work with; the first frames (B, H, W) show what fits."""
        with self._changing:
            if self._size.batch is None:
                pipeline, shape = self._size.pipeline, (photons.shape[1], photons.shape[2])
                free, each = free_bytes(pipeline.device), bytes_per_pixel(pipeline) * shape[0] * shape[1]
                # If the free memory is not known, the whole block is tried first.
                fitting = len(photons) if free is None else int(_SHARE * free / self._at_once / each)
                if free is not None and self._at_once > 1:
                    pipeline = self._with_room(pipeline, _SHARE * free, shape)
                self._size = replace(self._size, pipeline=pipeline, batch=max(1, fitting))
            return self._size

    def _with_room(self, pipeline: Pipeline, size: float, shape: tuple[int, int]) -> Pipeline:
        """The pipeline, whose fit of a frame waits for memory;  size: of all, bytes;  shape: of the frames."""
        if not isinstance(pipeline.fit, JointFit):
            return pipeline
        left = size - self._at_once * bytes_of_frame(pipeline, shape, None)
        return replace(pipeline, fit=replace(pipeline.fit, room=Room(max(0.0, left))))

    def _make_smaller(self, size: _Size, frames: int, reason: str) -> None:
        if size.pipeline.device.type == "cuda":
            torch.cuda.empty_cache()
        batch = min(size.batch or 1, frames)
        if not size.alone:
            self._size = replace(size, alone=True)
            self._watch.message("out of memory: going on with one block at a time")
            return
        if batch > 1:
            self._size = replace(size, batch=batch // 2)
            self._watch.message(f"out of memory: going on with {batch // 2} frames at a time")
            return
        tile_px = size.pipeline.tile_px // 2
        if tile_px < _SMALLEST_TILE_PX:
            raise InputError(
                f"not enough memory for one frame in tiles of {size.pipeline.tile_px} px ({reason})",
                "close other programs, choose a region (`roi`), or another device (`device=cpu`)",
            )
        self._size = replace(size, pipeline=replace(size.pipeline, tile_px=tile_px))
        self._watch.message(f"out of memory: going on in tiles of {tile_px} px")


@dataclass(frozen=True)
class _Size:
    """How much is worked on at a time.

    pipeline: with the size of its tiles;  batch: frames, None: not yet measured;  alone: one block at a time.
    """

    pipeline: Pipeline
    batch: int | None
    alone: bool


def _in_batches(
    size: _Size, photons: Tensor, weight: Tensor | None, around: Tensor | None, watch: Watcher
) -> Explained:
    batch = size.batch or len(photons)
    starts = range(0, len(photons), batch)
    batches = zip(
        starts,
        photons.split(batch),
        [None] * len(starts) if weight is None else weight.split(batch),
        [None] * len(starts) if around is None else around.split(batch),
        strict=True,
    )
    parts = [
        size.pipeline.explain(part, counted, around=seen, watch=Part(watch, start, len(part), len(photons)))
        for start, part, counted, seen in batches
    ]
    if len(parts) == 1:
        return parts[0]
    tables = [part.localizations.shift(frames=start) for start, part in zip(starts, parts, strict=True)]
    return Explained(Localizations.concat(tables), torch.cat([part.misfit for part in parts]))


@dataclass(frozen=True)
class Blocks:
    """Blocks of frames of a run.

    number: of blocks, None: not known (a movie that is recorded);  frames: of each;  size: height and width of
    a frame, px;  channels: in which each block has frames of this size;  waiting: whether the fit of a frame
    waits until there is memory for its molecules (`WithinMemory`).
    """

    number: int | None
    frames: int
    size: tuple[int, int]
    channels: int = 1
    waiting: bool = False


def blocks_at_once(pipeline: Pipeline, blocks: Blocks) -> int:
    """Number of blocks that are localized side by side: as many as PyTorch has threads, fewer where memory is
    short; on a GPU one.

    A frame is fitted by one thread, so that blocks of few large frames, one at a time, leave the others idle.
    Where one block at a time keeps more threads busy, it is one.
    """
    if pipeline.device.type != "cpu":
        return 1
    threads, free = torch.get_num_threads(), free_bytes(pipeline.device)
    if blocks.waiting:
        each = bytes_of_frame(pipeline, blocks.size, 0)
    else:
        # Of a block at least one tile of one frame is worked on at a time.
        height, width = _tile(pipeline, blocks.size)
        each = blocks.channels * bytes_per_pixel(pipeline) * height * width
    fitting = threads if free is None else int(_SHARE * free / each)
    most = min(threads, fitting, blocks.number or threads)
    return most if most > 1 and most >= min(blocks.frames, threads) else 1


def bytes_of_frame(pipeline: Pipeline, size: tuple[int, int], molecules: float | None) -> float:
    """Memory for the work on one frame (H, W) on the processor, of which a tile is worked on at a time, bytes.

    molecules: in the tile (None: only what the pixels take).  A third more than measured (RESULTS.md, section
    14): the network's features or all depths of the search, and what the fit takes for its molecules.
    """
    experiment, fit = pipeline.experiment, pipeline.fit
    height, width = _tile(pipeline, size)
    needed = experiment.network.bytes_on_processor(experiment.z_um)
    if not isinstance(fit, JointFit):
        return FIXED_BYTES + needed * height * width
    pixels = FIXED_BYTES + max(needed, MatchedFilter.bytes_per_pixel(fit.z_um)) * height * width
    return pixels if molecules is None else pixels + fit.bytes_of((height, width), molecules)


def _tile(pipeline: Pipeline, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of what is worked on at a time of a frame (H, W)."""
    largest = pipeline.tile_px + 2 * MARGIN_PX
    return min(size[0], largest), min(size[1], largest)


def bytes_per_pixel(pipeline: Pipeline) -> float:
    """Memory for a camera pixel of a batch, bytes: for the network, and for the fit in the densest scene.

    An upper guess, for a GPU and for several channels or dyes.
    """
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
