"""Blocks localized side by side: order, overlap, errors at their turn, and a stop that ends all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import deepstorm3d.localizing.memory as memory
import deepstorm3d.localizing.run as run
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError, Interrupted
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.localizing.blocks import Found
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.in_order import in_order
from deepstorm3d.localizing.memory import Blocks, blocks_at_once, bytes_of_frame, bytes_per_pixel
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.watch import Watcher, advance
from factories import model_of_noise, tiny_experiment
from watchers import Recorder

PATIENCE_S = 20


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


def test_results_come_in_order_whichever_is_done_first():
    done = [threading.Event() for _ in range(6)]

    def work(number: int, _: Watcher) -> int:
        if number % 2 == 0:
            assert done[number + 1].wait(PATIENCE_S), "the next piece was not begun"
        done[number].set()
        return number

    assert list(in_order(work, numbers(6), 2, Recorder())) == list(range(6))


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_each_thread_computes_with_one_thread_and_the_others_are_given_back():
    results = in_order(lambda *_: torch.get_num_threads(), numbers(3), 2, Recorder())
    seen = []
    for each in results:
        seen.append(each)
        assert torch.get_num_threads() == 2
    assert seen == [1, 1, 1]
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen[-1] == 2


def test_what_is_done_is_yielded_while_the_camera_is_waited_for():
    arrived = threading.Event()

    def camera() -> Iterator[int]:
        yield 0
        assert arrived.wait(PATIENCE_S), "frame 0 was kept back"
        yield 1

    found = []
    for number in in_order(lambda number, _: number, camera(), 2, Recorder()):
        found.append(number)
        arrived.set()
    assert found == [0, 1]


@pytest.mark.parametrize("whose", ["work", "reader"])
def test_an_error_is_raised_when_its_turn_comes(whose: str):
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise InputError("frame 1 is damaged")

    def coming() -> Iterator[int]:
        yield 0
        if whose == "reader":
            fail()
        yield 1

    def work(number: int, _: Watcher) -> int:
        if number == 1:
            fail()
        assert failed.wait(PATIENCE_S)
        return number

    results = in_order(work, coming(), 2, Recorder())
    assert next(results) == 0
    with pytest.raises(InputError, match="frame 1"):
        next(results)


@pytest.mark.parametrize("how", ["stopped", "closed"])
def test_the_works_under_way_end_early(how: str):
    watch, ended, begun = Recorder(), list[int](), threading.Event()

    def work(number: int, own: Watcher) -> int:
        if number == 1:
            begun.set()
        assert begun.wait(PATIENCE_S)
        while number:
            try:
                advance(own)
            except Interrupted:
                ended.append(number)
                raise
            time.sleep(0.01)
        return number

    results = in_order(work, numbers(100), 2, watch)
    assert next(results) == 0
    if how == "closed":
        results.close()
    else:
        watch.stop_at = 0
        with pytest.raises(Interrupted):
            next(results)
    assert sorted(ended) in ([1], [1, 2])


def test_progress_is_that_of_all_pieces_and_a_sentence_is_said_once():
    told, heard = threading.Barrier(2, timeout=PATIENCE_S), threading.Event()

    class Listening(Recorder):
        def progress(self, done: int, total: int, note: str = "") -> None:
            super().progress(done, total, note)
            if done == 7:
                heard.set()

    watch = Listening()

    def work(number: int, own: Watcher) -> int:
        own.message("compiled once")
        own.progress(3 + number, 10)
        told.wait()
        assert heard.wait(PATIENCE_S)
        return number

    assert list(in_order(work, numbers(2), 2, watch)) == [0, 1]
    assert watch.messages == ["compiled once"]
    assert (7, 20, "") in watch.steps


@pytest.mark.usefixtures("two_threads")
def test_large_frames_of_which_a_block_holds_one_use_all_threads(monkeypatch: pytest.MonkeyPatch):
    """A frame is fitted by one thread: a block of one frame at a time would leave the others idle."""
    counts = np.random.default_rng(0).poisson(20, (4, 48, 40)).astype(np.uint16)
    photons = torch.poisson(torch.full((1, 48, 40), 20.0), generator=torch.Generator().manual_seed(3))
    pipeline = load_pipeline(model_of_noise(tiny_experiment(), photons), refine=False)
    together, before = threading.Barrier(2, timeout=PATIENCE_S), run.localize_block

    def both_at_work(*arguments: Any) -> Found:
        together.wait()
        return before(*arguments)

    monkeypatch.setattr(run, "localize_block", both_at_work)
    monkeypatch.setattr(run, "block_frames", lambda *_, **__: 1)
    with Excerpt(counts).open() as opened:
        found = list(run.Run(opened, pipeline).blocks())
    assert [each.block for each in found] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    whole = pipeline.localize(pipeline.to_photons(torch.from_numpy(counts.astype(np.float32))))
    assert torch.equal(Localizations.concat([each.localizations for each in found]).xyz, whole.xyz)


@pytest.mark.usefixtures("two_threads")
def test_one_piece_at_a_time_has_all_threads_and_the_watcher_itself():
    watch = Recorder()
    results = in_order(
        lambda number, own: (number, own is watch, torch.get_num_threads()), numbers(2), 1, watch
    )
    assert list(results) == [(0, True, 2), (1, True, 2)]


@pytest.mark.usefixtures("two_threads")
def test_as_many_blocks_as_threads_and_memory_allow(monkeypatch: pytest.MonkeyPatch):
    experiment = tiny_experiment()
    pipeline = SimpleNamespace(device=torch.device("cpu"), experiment=experiment, fit=None, tile_px=768)
    each = int(bytes_per_pixel(pipeline) * 100 * 200)  # type: ignore[arg-type]

    def at_once(free: int | None, *, number: int | None = 9, frames: int = 1, channels: int = 1, px: int = 100):
        monkeypatch.setattr(memory, "free_bytes", lambda _: free)
        return blocks_at_once(pipeline, Blocks(number, frames, (px, 2 * px), channels))  # type: ignore[arg-type]

    assert at_once(None) == at_once(100 * each) == at_once(100 * each, number=None) == 2
    assert at_once(3 * each) == at_once(0) == 1
    assert at_once(5 * each) == 2 and at_once(5 * each, channels=2) == 1
    # Of a frame of any size one tile is worked on at a time.
    assert at_once(1000 * each, px=50_000) == 2
    # One block has all threads, and where memory is short a block of many frames keeps more of them busy.
    assert at_once(None, number=1) == 1
    torch.set_num_threads(4)
    assert at_once(5 * each) == 2 and at_once(5 * each, frames=8) == 1 and at_once(None, frames=8) == 4
    pipeline.device = torch.device("cuda")
    assert at_once(100 * each) == 1


@pytest.mark.usefixtures("two_threads")
def test_blocks_whose_fits_wait_are_as_many_as_their_pixels_allow(monkeypatch: pytest.MonkeyPatch):
    """How many molecules a frame has is known once the network has seen it: then its fit waits for memory."""
    psf = SimpleNamespace(patch_px=95)
    fit = JointFit(psf, psf, Bounds((0, 1)), (0, 1), fit_blur=True)  # type: ignore[arg-type]
    pipeline: Any = SimpleNamespace(
        device=torch.device("cpu"), experiment=tiny_experiment(), fit=fit, tile_px=768
    )
    each, size = int(bytes_of_frame(pipeline, (2048, 2048), 0)), (2048, 2048)
    assert each == int(bytes_of_frame(pipeline, (960, 960), 0))
    monkeypatch.setattr(memory, "free_bytes", lambda _: 5 * each)
    assert blocks_at_once(pipeline, Blocks(9, 1, size, waiting=True)) == 2
    assert blocks_at_once(pipeline, Blocks(9, 1, size)) == 1


@pytest.mark.usefixtures("two_threads")
def test_frames_whose_fits_wait_for_each_other_give_the_same_list(monkeypatch: pytest.MonkeyPatch):
    counts = np.random.default_rng(0).poisson(20, (4, 48, 40)).astype(np.uint16)
    photons = torch.poisson(torch.full((1, 48, 40), 20.0), generator=torch.Generator().manual_seed(3))
    pipeline = load_pipeline(model_of_noise(tiny_experiment(), photons))
    inside, most, before, change = [0], [0], JointFit._fit, threading.Lock()

    def counted(fit: JointFit, *arguments: Any) -> Any:
        with change:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        found = before(fit, *arguments)
        with change:
            inside[0] -= 1
        return found

    monkeypatch.setattr(JointFit, "_fit", counted)
    monkeypatch.setattr(run, "block_frames", lambda *_, **__: 1)
    monkeypatch.setattr(run, "blocks_at_once", lambda *_: 2)
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1)
    with Excerpt(counts).open() as opened:
        found = list(run.Run(opened, pipeline).blocks())
    assert most == [1]
    whole = pipeline.localize(pipeline.to_photons(torch.from_numpy(counts.astype(np.float32))))
    assert torch.equal(Localizations.concat([each.localizations for each in found]).xyz, whole.xyz)


def test_a_stop_is_heard_where_results_are_always_ready():
    watch, found = Recorder(), list[int]()
    with pytest.raises(Interrupted):
        for number in in_order(lambda number, _: number, numbers(1000), 2, watch):
            found.append(number)
            if number == 9:
                watch.stop_at = 0
    assert found == list(range(10))


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("threads", [1, 2])
def test_nothing_is_read_once_the_movie_is_closed_after_an_error(monkeypatch: pytest.MonkeyPatch, threads: int):
    torch.set_num_threads(threads)
    closed, late = threading.Event(), list[int]()

    class Closing(np.ndarray):
        """Frames that take a while to read."""

        def __getitem__(self, place: Any) -> Any:
            if closed.is_set():
                late.append(1)
            time.sleep(0.02)
            return super().__getitem__(place)

    def fail(*_: object) -> Found:
        raise InputError("frame 0 is damaged")

    counts = np.full((40, 48, 40), 20, np.uint16).view(Closing)
    pipeline = load_pipeline(model_of_noise(tiny_experiment(), torch.full((1, 48, 40), 20.0)), refine=False)
    monkeypatch.setattr(run, "localize_block", fail)
    monkeypatch.setattr(run, "block_frames", lambda *_, **__: 1)
    with pytest.raises(InputError, match="damaged") as kept, Excerpt(counts, defects="none").open() as opened:
        try:
            list(run.Run(opened, pipeline).blocks())
        finally:
            closed.set()
    time.sleep(0.2)
    assert kept.traceback and not late
