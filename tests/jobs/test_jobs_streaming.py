"""Blocks on their way: order, overlap, errors of every stage, and work that does not fit into memory."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import deepstorm3d.devices as devices
from deepstorm3d.devices import free_bytes
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.presets import preset
from deepstorm3d.fitting.joint import Explained, JointFit
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.voxel import VoxelSpec
from deepstorm3d.localizing.memory import WithinMemory, bytes_per_pixel
from deepstorm3d.localizing.streaming import StageTimes, block_frames, blocks_of, read_ahead, write_behind
from watchers import Recorder


def test_blocks_cover_every_frame_once():
    assert list(blocks_of(3, 20, 4)) == [(3, 7), (7, 11), (11, 15), (15, 19), (19, 20)]
    assert list(blocks_of(3, 3, 4)) == []


def test_a_block_is_smaller_with_the_fit_and_larger_on_a_gpu():
    size, cpu, gpu = (64, 64), torch.device("cpu"), torch.device("cuda")
    fitted, plain = block_frames(size, cpu, fitted=True), block_frames(size, cpu, fitted=False)
    assert fitted < plain < block_frames(size, gpu, fitted=True) < block_frames(size, gpu, fitted=False)
    assert block_frames((4000, 4000), cpu, fitted=True) == 1


def test_blocks_arrive_in_order_while_the_next_are_read():
    reading = threading.Event()

    def read(block: tuple[int, int]) -> int:
        if block[0] == 1:
            reading.set()
        return block[0]

    arrived = []
    for block, value in read_ahead(blocks_of(0, 5, 1), read):
        if block[0] == 0:
            assert reading.wait(5), "the second block was not read while the first was at work"
        arrived.append((block, value))
    assert arrived == [((k, k + 1), k) for k in range(5)]


def test_an_error_of_the_reader_comes_with_its_block():
    def read(block: tuple[int, int]) -> int:
        if block[0] == 2:
            raise InputError("frame 2 is damaged")
        return block[0]

    arrived = []
    with pytest.raises(InputError, match="frame 2"):
        for block, _ in read_ahead(blocks_of(0, 5, 1), read):
            arrived.append(block[0])
    assert arrived == [0, 1]


def test_nothing_is_read_after_the_consumer_stops():
    read: list[int] = []
    blocks = read_ahead(blocks_of(0, 100, 1), lambda block: read.append(block[0]))
    next(blocks)
    blocks.close()  # type: ignore[attr-defined]
    time.sleep(0.05)
    assert len(read) <= 4


def test_results_are_written_in_order_and_the_writers_error_is_raised():
    written: list[int] = []
    with write_behind(written.append) as hand_over:
        for number in range(20):
            hand_over(number)
    assert written == list(range(20))

    def full(number: int) -> None:
        raise InputError("the disk is full")

    with pytest.raises(InputError, match="full"), write_behind(full) as hand_over:
        hand_over(0)
        hand_over(1)
    with pytest.raises(InputError, match="full"), write_behind(full) as hand_over:
        hand_over(0)


def test_stages_are_timed():
    times = StageTimes()
    with times.of("reading"):
        time.sleep(0.01)
    assert times.reading >= 0.01
    assert times.localizing == times.writing == 0


@dataclass
class Hungry:
    """A pipeline that runs out of memory above a number of pixels."""

    pixels: int
    error: Exception
    tile_px: int = 768
    device = torch.device("cpu")
    experiment = preset("quickstart")
    fit = None

    def explain(
        self, photons: torch.Tensor, weight: object = None, *, around: object = None, watch: object = None
    ) -> Explained:
        side = min(self.tile_px, photons.shape[-1])
        if len(photons) * side**2 > self.pixels:
            raise self.error
        frames = torch.arange(len(photons))
        # One row a frame, at the frame's own brightness: tells whether frames kept their order.
        rows = Localizations.proposals(torch.zeros(len(photons), 3), frames, photons[:, 0, 0].clone())
        return Explained(rows, photons[:, 0, 0])


ERRORS = (
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to allocate"
    ),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`"),
    MemoryError(),
)


@pytest.mark.parametrize("error", ERRORS)
def test_batches_shrink_until_they_fit_and_nothing_is_lost(error: Exception):
    watch = Recorder()
    said = watch.messages
    localize = WithinMemory(Hungry(3 * 64**2, error), watch=watch)  # type: ignore[arg-type]
    photons = torch.arange(10.0)[:, None, None].expand(10, 64, 64)
    found = localize(photons).localizations
    assert found.frame.tolist() == list(range(10))
    assert found.probability.tolist() == list(range(10))
    assert "2 frames at a time" in said[-1]
    said.clear()
    localize(photons)
    assert not said


def test_then_tiles_shrink_and_at_last_it_says_what_to_do():
    watch = Recorder()
    said = watch.messages
    localize = WithinMemory(Hungry(200**2, ERRORS[0]), watch=watch)  # type: ignore[arg-type]
    assert len(localize(torch.zeros(1, 768, 768)).localizations) == 1
    assert said[-1].endswith("tiles of 192 px")
    with pytest.raises(InputError, match=r"one frame in tiles of 96 px.*`roi`"):
        WithinMemory(Hungry(10, ERRORS[0]))(torch.zeros(1, 768, 768))  # type: ignore[arg-type]


def test_blocks_side_by_side_make_room_once_and_first_by_turns():
    together, watch = threading.Barrier(4, timeout=20), Recorder()

    class Crowded(Hungry):
        """The first attempts of four threads fail at a time."""

        def explain(self, photons: torch.Tensor, *arguments: Any, **options: Any) -> Explained:
            if threading.current_thread() not in begun:
                begun.add(threading.current_thread())
                together.wait()
            return super().explain(photons, *arguments, **options)

    begun = set[threading.Thread]()
    localize = WithinMemory(Crowded(400**2, ERRORS[0]), watch=watch, at_once=4)  # type: ignore[arg-type]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(localize, [torch.zeros(1, 768, 768)] * 4))
    assert [len(each.localizations) for each in found] == [1] * 4
    assert [text.partition("going on ")[2] for text in watch.messages] == [
        "with one block at a time",
        "in tiles of 384 px",
    ]


def test_a_container_may_have_less_memory_than_its_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    monkeypatch.setattr(devices, "_MEMORY_REPORT", tmp_path / "meminfo")
    monkeypatch.setattr(devices, "_CONTAINER", tmp_path)
    cpu = torch.device("cpu")
    assert free_bytes(cpu) == 4000 * 1024
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 300000\nother 1\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(cpu) == 4000 * 1024
    (tmp_path / "memory.max").write_text("1000000\n")
    assert free_bytes(cpu) == 400_000


@pytest.mark.parametrize("error", [ValueError("unrecognized configuration name"), AttributeError("sysconf")])
def test_where_the_system_does_not_tell_its_memory_all_of_a_block_is_tried(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def silent(name: str) -> int:
        raise error

    monkeypatch.setattr(os, "sysconf", silent)
    monkeypatch.setattr(devices, "_MEMORY_REPORT", tmp_path / "none")
    assert free_bytes(torch.device("cpu")) is None
    watch = Recorder()
    said = watch.messages
    localize = WithinMemory(Hungry(10 * 64**2, ERRORS[0]), watch=watch)  # type: ignore[arg-type]
    assert len(localize(torch.zeros(10, 64, 64)).localizations) == 10
    assert not said


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    for error in (RuntimeError("shapes differ"), ValueError("out of memory")):
        with pytest.raises(type(error), match=str(error)):
            WithinMemory(Hungry(0, error))(torch.zeros(1, 8, 8))  # type: ignore[arg-type]


def test_a_heavier_network_and_a_fit_begin_with_fewer_frames():
    def room(network: Any, fit: Any) -> float:
        pipeline = Hungry(0, ERRORS[0])
        pipeline.experiment, pipeline.fit = pipeline.experiment.with_(network=network), fit
        return bytes_per_pixel(pipeline)  # type: ignore[arg-type]

    plain = room(CoarseSpec(), None)
    # 121 planes of 4 × 4 voxels are 7.7 kB, and six of them are held at a time.
    assert room(VoxelSpec(planes=121), None) > 6 * 121 * 16 * 4 > plain
    fit = JointFit(*[SimpleNamespace(patch_px=95)] * 2, Bounds((0, 1)), (0, 1), fit_blur=True)  # type: ignore[arg-type]
    assert room(CoarseSpec(), fit) > plain
