"""Blocks spread over dask workers: the same table, also where a worker is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import deepstorm3d
from deepstorm3d.camera import ScmosCamera
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.presets import preset
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.train import build_localizer
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import ModelFile, save_model_file
from deepstorm3d.localizing import cluster
from deepstorm3d.localizing.cluster import cluster_workers
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.recipe import Recipe
from deepstorm3d.watch import Silent
from factories import write_movie
from watchers import Recorder

pytest.importorskip("distributed")
# Between its processes dask leaves sockets for the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of random weights: it finds nonsense, but always the same nonsense."""
    experiment = preset("quickstart").with_(network=CoarseSpec(channels=8, skip=4, dilations=(1, 2)))
    localizer = build_localizer(experiment)
    localizer.measure_normalisation(torch.full((1, 8, 8), 20.0) + torch.rand(1, 8, 8))
    path = tmp_path_factory.mktemp("cluster") / "model.pt"
    save_model_file(ModelFile(experiment.to_mapping(), localizer.state_dict(), 0.02, None, {}), path)
    return path


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cluster") / "m.tif"
    counts = np.random.default_rng(0).poisson(20, (24, 64, 64)).astype(np.uint16)
    write_movie(path, counts)
    return path


def test_a_killed_worker_changes_nothing(
    model: Path, movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepstorm3d.localizing.streaming._PIXELS", 2 * 64 * 64)
    recipe, excerpt = Recipe(str(model), refine=False), Excerpt(movie, (1, 24))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = localize_movie(excerpt, recipe.load(), ListFile(tmp_path / "alone.csv"))
    finally:
        torch.set_num_threads(threads)
    killed: list[int] = []

    class KillOnce(Silent):
        def progress(self, done: int, total: int, note: str = "") -> None:
            if not killed:
                from distributed import default_client

                killed.append(next(iter(default_client().run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

    watch = Recorder()
    with cluster_workers("local:2", recipe, watch=watch) as workers:
        summary = localize_movie(
            excerpt, recipe.load(), ListFile(tmp_path / "spread.csv"), workers=workers, watch=KillOnce()
        )
    assert killed
    assert watch.messages[0].startswith("2 workers")
    assert summary.frames == alone.frames == 23
    assert summary.localizations == alone.localizations > 0
    assert (tmp_path / "spread.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()


def test_an_error_in_a_worker_is_the_users_own(model: Path, tmp_path: Path) -> None:
    """What a worker cannot read is told as without a cluster."""
    recipe = Recipe(str(model), refine=False)
    frames = np.full((6, 64, 64), 20, dtype=np.float32)
    frames[2, 5, 5] = np.nan
    import tifffile

    tifffile.imwrite(tmp_path / "nan.tif", frames)
    with cluster_workers("local:1", recipe) as workers:
        with pytest.raises(InputError, match="frame 2 has 1 of 4096 pixels NaN"):
            localize_movie(
                Excerpt(tmp_path / "nan.tif"), recipe.load(), ListFile(tmp_path / "o.csv"), workers=workers
            )
        # No frame was done: nothing is left that the corrected command would have to go on from.
        assert [path.name for path in tmp_path.iterdir()] == ["nan.tif"]
        from distributed import default_client

        # With dask's own value a worker takes 2.5 times as long: see `_WORKER_ENVIRONMENT`.
        assert set(default_client().run(os.environ.get, "MALLOC_TRIM_THRESHOLD_").values()) == {None}


def test_a_movie_that_grows_is_not_spread(model: Path, movie: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`follow_s` and `cluster` exclude each other"):
        localize_movie(
            Excerpt(movie, follow_s=1.0),
            Recipe(str(model), refine=False).load(),
            ListFile(tmp_path / "o.csv"),
            workers=lambda excerpt, blocks, watch: iter(()),
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("address", ["local", "local:0", "local:many", "local:4000"])
def test_a_wrong_number_of_workers_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="local:N"), cluster_workers(address, Recipe("tetrapod")):
        pass


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepstorm3d.localizing.cluster._CONNECT_S", 0.5)
    with (
        pytest.raises(InputError, match=r"tcp://127.0.0.1:9.*no scheduler"),
        cluster_workers("tcp://127.0.0.1:9", Recipe("tetrapod")),
    ):
        pass


class _SlowFuture:
    """A future of dask on a busy machine: its `result` with a timeout fails, as in distributed 2026.8."""

    status = "finished"

    def __init__(self) -> None:
        self._calls: list[Any] = []
        self._ready = threading.Event()

    def add_done_callback(self, call: Any) -> None:
        self._calls.append(call)

    def done(self) -> bool:
        return self._ready.is_set()

    def finish(self) -> None:
        self._ready.set()
        for call in self._calls:
            call(self)

    def result(self, timeout: float | None = None) -> str:
        if timeout is not None:
            raise UnboundLocalError("cannot access local variable 'result'")
        assert self._ready.is_set()
        return "found"


def test_a_result_is_waited_for_without_a_timeout_of_dask() -> None:
    future, watch = _SlowFuture(), Recorder()
    later = threading.Timer(0.8, future.finish)
    later.start()
    assert cluster._result(future, watch, lambda: 1) == "found"  # pyright: ignore[reportArgumentType]
    later.join()
    assert watch.asked >= 2


def test_that_no_worker_is_left_is_told_once_and_that_there_is_one_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deepstorm3d.localizing.cluster._COUNT_S", 0.0)
    monkeypatch.setattr("deepstorm3d.localizing.cluster._POLL_S", 0.01)
    future, watch = _SlowFuture(), Recorder()
    counts = [1, 0, 0, 0, 2, 2]

    def count() -> int:
        if len(counts) == 1:
            future.finish()
        return counts.pop(0)

    assert cluster._result(future, watch, count) == "found"
    assert [text.split(":")[0] for text in watch.messages] == ["warning", "2 workers again"]
    assert "no worker is connected" in watch.messages[0]


def test_answers_of_a_busy_scheduler_that_come_late_do_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepstorm3d.localizing.cluster._COUNT_S", 0.0)
    monkeypatch.setattr("deepstorm3d.localizing.cluster._POLL_S", 0.01)
    future, late = _SlowFuture(), [True, True, False, True, True, True]

    def answer() -> int:
        if not late:
            future.finish()
        elif late.pop(0):
            raise TimeoutError
        return 2

    watch = Recorder()
    assert cluster._result(future, watch, cluster._Count(answer)) == "found"
    assert not watch.messages
    late += [True] * 100
    with pytest.raises(InputError, match="connection to the scheduler"):
        cluster._result(_SlowFuture(), watch, cluster._Count(answer))


def test_a_scheduler_lost_before_the_first_block_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def scheduler_info(self, n_workers: int) -> dict[str, Any]:
            raise OSError(n_workers)

    @contextmanager
    def client(address: str) -> Iterator[Gone]:
        assert address
        yield Gone()

    monkeypatch.setattr(cluster, "_client", client)
    with (
        pytest.raises(InputError, match="connection to the scheduler"),
        cluster_workers("tcp://127.0.0.1:9", Recipe("tetrapod")),
    ):
        pass


def test_relative_maps_of_a_camera_are_those_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("gain.npy", np.ones((4, 4)))
    whole = str(tmp_path / "gain.npy")
    camera = cluster._named_anywhere(Recipe("tetrapod", camera=ScmosCamera(gain="gain.npy"))).camera
    assert camera == ScmosCamera(gain=whole)
    assert cluster._named_anywhere(Recipe("tetrapod", camera={"gain": "gain.npy"})).camera == {"gain": whole}


def _address(named: Path) -> str:
    """What a scheduler writes to a file once it listens."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with suppress(OSError, json.JSONDecodeError):
            return json.loads(named.read_text())["address"]
        time.sleep(0.05)
    raise TimeoutError("the scheduler did not start")


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A scheduler and a worker in processes of their own, the worker started in another folder."""
    # The workers import the package under test, wherever they are started.
    paths = [str(Path(deepstorm3d.__file__).absolute().parents[1]), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    named = tmp_path / "scheduler.json"

    def begin(module: str, *words: str, cwd: Path | str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", module, "--scheduler-file", str(named), "--no-dashboard", *words]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=cwd, env=env, stdout=quiet, stderr=quiet)

    begun = [
        begin("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", cwd=tmp_path),
        begin("distributed.cli.dask_worker", "--nthreads", "1", cwd="/"),
    ]
    try:
        yield begun[0], _address(named)
    finally:
        for process in begun:
            process.kill()
            process.wait()


def test_relative_names_are_those_of_the_user_and_a_lost_scheduler_is_told(
    scheduler: tuple[subprocess.Popen[bytes], str],
    model: Path,
    movie: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deepstorm3d.localizing.streaming._PIXELS", 2 * 64 * 64)
    monkeypatch.chdir(movie.parent)
    recipe = Recipe(os.path.relpath(model), refine=False)
    process, address = scheduler

    class KillScheduler(Silent):
        def progress(self, done: int, total: int, note: str = "") -> None:
            if done > 0:
                process.kill()

    with cluster_workers(address, recipe) as workers:
        file = ListFile(tmp_path / "lost.csv")
        localize_movie(Excerpt(movie.name), recipe.load(), ListFile(tmp_path / "all.csv"), workers=workers)
        with pytest.raises(InputError, match=r"connection to the scheduler.*lost.*`resume=True`"):
            localize_movie(Excerpt(movie.name), recipe.load(), file, workers=workers, watch=KillScheduler())
    again = ListFile(tmp_path / "lost.csv", resume=True)
    assert localize_movie(Excerpt(movie), recipe.load(), again).complete
    assert (tmp_path / "lost.csv").read_bytes() == (tmp_path / "all.csv").read_bytes()
