"""Cluster: dask workers localize blocks of frames, on this machine or on the user's own cluster."""

from __future__ import annotations

import functools
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import torch

from ..errors import InputError, MissingPackage
from ..watch import SILENT, Watcher, advance
from .blocks import Found, Workers, localize_block
from .excerpt import Excerpt, OpenExcerpt
from .memory import WithinMemory
from .reading import read_block
from .recipe import Recipe
from .streaming import Block

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["cluster_workers"]

_BLOCKS_PER_WORKER = (
    3  # blocks submitted per worker: one is processed, the others wait so that it is never idle
)
_CONNECT_S = 60  # longest wait for the scheduler and its first worker, s
_POLL_S = 0.5  # time between two checks whether the user stopped the run, s
_COUNT_S = 5.0  # time between two counts of the workers while a result is waited for, s
_MOST_LATE = 5  # answers of the scheduler, one after the other, that may not come in time
_MOST_PER_PROCESSOR = 4  # local processes for each processor above which the number is taken for a slip
_NONE_LEFT = (
    "warning: no worker is connected any more: the work waits for one (start a dask worker, or stop with "
    "Ctrl-C and go on with `resume=True`)"
)
# Environment of local workers. Dask's default also makes the allocator return all freed memory to the system at
# once; requesting it again takes longer than the fit itself (measured: 2.5 times slower).
_WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1, "OPENBLAS_NUM_THREADS": 1}


@contextmanager
def cluster_workers(address: str, recipe: Recipe, *, watch: Watcher = SILENT) -> Iterator[Workers]:
    """Workers for `localize_movie`: ``local:N`` starts N processes here, else a scheduler's address.

    Each worker builds the pipeline from the recipe and reads the movie itself, so model and movie must have the
    same path on all workers; relative ones are those of this process. If a worker is lost, its block goes to
    another one; where none is left, `watch` is told so, and the work waits. With GPUs (recipe.device
    "cuda") the local workers are distributed over the devices.
    Raises InputError if dask is not installed, if no scheduler answers, or its connection is lost.
    """
    with _client(address) as client:
        with _lost_is_told():
            workers = _workers(client)
        watch.message(f"{workers} workers: {client.dashboard_link or address}")
        yield lambda excerpt, blocks, watch: _in_order(
            client, _named_anywhere(recipe), _placed_anywhere(excerpt), blocks, watch
        )


@contextmanager
def _client(address: str) -> Iterator[Client]:
    try:
        from dask import config
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MissingPackage("a cluster needs dask.distributed", "cluster") from error

    with ExitStack() as stack:
        kind, _, number = address.partition(":")
        if kind == "local":
            if not number.isdecimal() or int(number) < 1:
                raise InputError(
                    f"`cluster={address}` does not give a number of processes above 0",
                    "write local:N, N the number of processes on this machine",
                )
            processors = os.cpu_count() or 1
            if int(number) > _MOST_PER_PROCESSOR * processors:
                raise InputError(
                    f"`cluster={address}` asks for {int(number)} processes, and this machine has {processors} "
                    "processors",
                    f"write local:N with N up to {processors}: more processes than that make nothing faster",
                )
            stack.enter_context(config.set({"distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT}))
            cluster = LocalCluster(
                n_workers=int(number),
                threads_per_worker=1,
                memory_limit=0,
                silence_logs=logging.CRITICAL,
                dashboard_address="127.0.0.1:0",
            )
            target: Any = stack.enter_context(cluster)
        else:
            target = address
        try:
            stack.enter_context(_quiet())
            client = stack.enter_context(Client(target, timeout=_CONNECT_S))
            client.wait_for_workers(1, timeout=_CONNECT_S)
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(
                f"`cluster={address}`: no scheduler with workers answers there ({error})",
                "start one (dask scheduler, dask worker), or write local:N for processes on this machine",
            ) from error
        yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep dask's own log lines off the screen: what goes wrong is told here."""
    handlers = [(handler, handler.level) for handler in logging.getLogger("distributed").handlers]
    for handler, _ in handlers:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for handler, level in handlers:
            handler.setLevel(level)


def _workers(client: Client) -> int:
    """Number of connected workers; raises OSError where the scheduler does not answer."""
    return len(client.scheduler_info(n_workers=-1)["workers"])


class _Count:
    """Counts the workers; while a busy scheduler does not answer in time, the last count stands."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._last, self._late = 1, 0

    def __call__(self) -> int:
        try:
            self._last, self._late = self._count(), 0
        except TimeoutError:
            self._late += 1
            if self._late > _MOST_LATE:
                raise
        return self._last


def _named_anywhere(recipe: Recipe) -> Recipe:
    """The recipe for workers that were started in another folder."""
    model = Path(recipe.model)
    camera = recipe.camera
    if isinstance(camera, Mapping):
        camera = {key: _absolute(value) for key, value in camera.items()}
    elif camera is not None:
        camera = camera.with_(**{name: _absolute(path) for name, path in camera.maps_named().items()})
    return replace(
        recipe,
        model=str(model.absolute()) if model.is_file() else recipe.model,
        mask=None if recipe.mask is None else recipe.mask.absolute(),
        camera=camera,
    )


def _absolute(value: object) -> object:
    """The name of a file that is there, from the root on; anything else as it is."""
    return str(Path(value).absolute()) if isinstance(value, str) and Path(value).is_file() else value


def _placed_anywhere(excerpt: Excerpt) -> Excerpt:
    """The excerpt for workers that were started in another folder."""
    movie, defects = excerpt.movie, excerpt.defects
    return replace(
        excerpt,
        movie=Path(movie).absolute() if isinstance(movie, str | Path) else movie,
        defects=defects.absolute() if isinstance(defects, Path) else defects,
    )


def _in_order(
    client: Client, recipe: Recipe, excerpt: Excerpt, blocks: Iterable[Block], watch: Watcher
) -> Iterator[Found]:
    """Keep every worker busy, and yield the results in the order of the blocks."""
    from distributed import KilledWorker

    waiting: deque[Any] = deque()
    coming, run, host = iter(blocks), uuid4().hex, socket.gethostname()
    count = _Count(functools.partial(_workers, client))
    try:
        while True:
            with _lost_is_told():
                # The workers are counted each time, because their number can change.
                room = _BLOCKS_PER_WORKER * max(1, count())
                while len(waiting) < room and (block := next(coming, None)) is not None:
                    waiting.append(client.submit(_localize, recipe, excerpt, block, (run, host), pure=False))
            if not waiting:
                return
            yield _result(waiting.popleft(), watch, count)
    except KilledWorker as error:
        raise InputError(
            f"workers died again and again over the same frames ({error}): mostly they ran out of memory",
            "start fewer of them, and go on with `resume=True`",
        ) from error
    finally:
        with suppress(OSError, TimeoutError, CancelledError):
            client.cancel(list(waiting))


@contextmanager
def _lost_is_told() -> Iterator[None]:
    """Raise InputError where the scheduler is gone; only for what asks it, not for results of workers."""
    try:
        yield
    except InputError:
        raise
    except (OSError, TimeoutError, CancelledError) as error:
        raise InputError(
            "the connection to the scheduler of the cluster was lost",
            "start it again, and go on with `resume=True`: what is done is kept",
        ) from error


def _result(future: Any, watch: Watcher, count: Callable[[], int]) -> Found:
    """Wait for a worker's result; the watcher is called in the meantime and can stop the work.

    count: tells how many workers are connected.
    """
    # `result` with a timeout of its own fails now and then on a busy machine (distributed 2026.8).
    complete = threading.Event()
    future.add_done_callback(lambda _: complete.set())
    counted, none_left = time.monotonic(), False
    while not future.done():
        advance(watch)
        complete.wait(_POLL_S)
        if time.monotonic() - counted < _COUNT_S:
            continue
        with _lost_is_told():
            workers = count()
        counted = time.monotonic()
        if none_left != (workers == 0):
            none_left = workers == 0
            watch.message(_NONE_LEFT if none_left else f"{workers} workers again: the work goes on")
    with _lost_is_told() if future.status != "error" else nullcontext():
        return future.result()


def _localize(recipe: Recipe, excerpt: Excerpt, block: Block, run: tuple[str, str]) -> Found:
    """Localize one block, in a worker;  run: name of the run, like no other, and the machine that asks."""
    name, asks = run
    try:
        bench = _bench(recipe, excerpt, name)
        counts = read_block(bench.source, block, bench.localize.pipeline.context)
    except InputError as error:
        here = socket.gethostname()
        if here == asks:
            raise
        raise InputError(
            f"on the worker {here}: {error.what}",
            error.remedy or "model and movie must have the same path on all workers",
        ) from error
    return localize_block(bench.source, bench.localize, block, counts)


class _Bench:
    """A worker's pipeline and movie, opened once for a run.

    Workers outlive runs, and the next one may find another model or movie in the same file.
    """

    def __init__(self, recipe: Recipe, excerpt: Excerpt, run: str) -> None:
        del run  # which only tells one bench from another
        # With one thread each, results are identical to the last bit for any number of workers.
        torch.set_num_threads(1)
        if recipe.device == "cuda":
            recipe = recipe.on(f"cuda:{_number() % torch.cuda.device_count()}")
        self._open = ExitStack()
        self.source: OpenExcerpt = self._open.enter_context(excerpt.open())
        self.localize = WithinMemory(self.source.at_work(recipe.load()))


_bench = functools.lru_cache(maxsize=1)(_Bench)


def _number() -> int:
    """Index of this local worker; 0 on other clusters, where each worker has its own GPU."""
    from distributed import get_worker

    name = get_worker().name
    return name if isinstance(name, int) else 0
