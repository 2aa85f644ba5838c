"""Cluster: dask workers localize blocks of frames, on this machine or on the user's own cluster."""

from __future__ import annotations

import functools
import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
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
# Environment of local workers. Dask's default also makes the allocator return all freed memory to the system at
# once; requesting it again takes longer than the fit itself (measured: 2.5 times slower).
_WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1, "OPENBLAS_NUM_THREADS": 1}


@contextmanager
def cluster_workers(address: str, recipe: Recipe, *, watch: Watcher = SILENT) -> Iterator[Workers]:
    """Workers for `localize_movie`: ``local:N`` starts N processes here, else a scheduler's address.

    Each worker builds the pipeline from the recipe and reads the movie itself, so model and movie must have the
    same path on all workers. If a worker is lost, its block goes to another one. With GPUs (recipe.device
    "cuda") the local workers are distributed over the devices.
    Raises InputError if dask is not installed, or if no scheduler answers.
    """
    with _client(address) as client:
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        watch.message(f"{workers} workers: {client.dashboard_link or address}")
        yield lambda excerpt, blocks, watch: _in_order(client, recipe, excerpt, blocks, watch)


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
            client = stack.enter_context(Client(target, timeout=_CONNECT_S))
            client.wait_for_workers(1, timeout=_CONNECT_S)
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(
                f"`cluster={address}`: no scheduler with workers answers there ({error})",
                "start one (dask scheduler, dask worker), or write local:N for processes on this machine",
            ) from error
        yield client


def _in_order(
    client: Client, recipe: Recipe, excerpt: Excerpt, blocks: Iterable[Block], watch: Watcher
) -> Iterator[Found]:
    """Keep every worker busy, and yield the results in the order of the blocks."""
    from distributed import KilledWorker

    waiting: deque[Any] = deque()
    coming, run = iter(blocks), uuid4().hex
    try:
        while True:
            # The workers are counted each time, because their number can change.
            room = _BLOCKS_PER_WORKER * max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
            while len(waiting) < room and (block := next(coming, None)) is not None:
                waiting.append(client.submit(_localize, recipe, excerpt, block, run, pure=False))
            if not waiting:
                return
            yield _result(waiting.popleft(), watch)
    except KilledWorker as error:
        raise InputError(
            f"workers died again and again over the same frames ({error}): mostly they ran out of memory",
            "start fewer of them, and go on with `resume=True`",
        ) from error
    finally:
        client.cancel(list(waiting))


def _result(future: Any, watch: Watcher) -> Found:
    """Wait for a worker's result; the watcher is called in the meantime and can stop the work."""
    # `result` with a timeout of its own fails now and then on a busy machine (distributed 2026.8).
    complete = threading.Event()
    future.add_done_callback(lambda _: complete.set())
    while not future.done():
        advance(watch)
        complete.wait(_POLL_S)
    return future.result()


def _localize(recipe: Recipe, excerpt: Excerpt, block: Block, run: str) -> Found:
    """Localize one block, in a worker;  run: name of the run, like no other."""
    bench = _bench(recipe, excerpt, run)
    counts = read_block(bench.source, block, bench.localize.pipeline.context)
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
