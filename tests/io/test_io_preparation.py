"""Frames turned and less their minimum or median: exact, and the same whatever blocks they are read in."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deepstorm3d.errors import InputError
from deepstorm3d.io import Movie, Prepared, open_movie, prepare
from deepstorm3d.io.movies import preparation as preparation_module
from deepstorm3d.io.movies.movie_source import Source, check_range
from deepstorm3d.io.movies.preparation import Subtracted
from deepstorm3d.spec import spec_from_mapping


class Frames(Source):
    """A movie in memory."""

    def __init__(self, frames: NDArray[Any], gaps: tuple[tuple[int, int], ...] = ()) -> None:
        self.path, self.frames, self.gaps = Path("memory.tif"), frames, gaps
        self.dtype, self.largest = frames.dtype, 0

    @property
    def shape(self) -> tuple[int, int, int]:
        frames, height, width = self.frames.shape
        return frames, height, width

    def read(self, start: int, stop: int) -> NDArray[Any]:
        check_range(self, start, stop)
        self.largest = max(self.largest, stop - start)
        return self.frames[start:stop].copy()


def random_frames(count: int, dtype: str = "uint16") -> NDArray[Any]:
    values = np.random.default_rng(0).poisson(100, (count, 6, 7))
    return (values - (150 if dtype.startswith("int") else 0)).astype(dtype)


def in_windows(frames: NDArray[Any], edges: list[int], statistic: str) -> NDArray[Any]:
    """The plain definition: each window less its own statistic."""
    take = np.min if statistic == "minimum" else np.median
    parts = [frames[a:b] - take(frames[a:b].astype(np.float64), axis=0) for a, b in pairwise(edges)]
    return np.concatenate(parts)


@pytest.mark.parametrize("statistic", ["minimum", "median"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize(
    ("count", "edges"),
    [(30, [0, 10, 20, 30]), (37, [0, 10, 20, 37]), (19, [0, 19]), (4, [0, 4]), (20, [0, 10, 20])],
)
def test_each_window_is_less_its_own_statistic(
    statistic: str, dtype: str, count: int, edges: list[int]
) -> None:
    frames = random_frames(count, dtype)
    movie = prepare(Frames(frames), Prepared(subtract=statistic, window=10))  # pyright: ignore[reportArgumentType]
    block = movie.read(0, count)
    assert block.dtype == movie.dtype
    assert movie.dtype == (frames.dtype if statistic == "minimum" and dtype[0] == "u" else np.float32)
    np.testing.assert_allclose(block, in_windows(frames, edges, statistic), atol=1e-4)
    if statistic == "minimum":
        assert block.min() == 0
    else:
        assert block.min() < 0


@given(st.lists(st.integers(0, 37), min_size=1, max_size=8), st.sampled_from(["minimum", "median"]))
@settings(max_examples=40, deadline=None)
def test_neither_blocks_nor_their_order_change_a_frame(cuts: list[int], statistic: Any) -> None:
    frames = random_frames(37)
    whole = Subtracted(Frames(frames), statistic, window=10).read(0, 37)
    movie = Subtracted(Frames(frames), statistic, window=10)
    for a, b in zip([0, *cuts], [*cuts, 37], strict=True):
        a, b = min(a, b), max(a, b)
        np.testing.assert_array_equal(movie.read(a, b), whole[a:b])


@pytest.mark.parametrize("statistic", ["minimum", "median"])
def test_a_movie_without_change_is_nothing(statistic: Any) -> None:
    frames = np.repeat(random_frames(1), 25, axis=0)
    assert not Subtracted(Frames(frames), statistic, window=10).read(0, 25).any()


@pytest.mark.parametrize("statistic", ["minimum", "median"])
def test_frames_in_gaps_do_not_count(statistic: Any) -> None:
    frames = random_frames(30)
    kept = np.r_[0:4, 8:18, 23:30]
    holed = frames.copy()
    holed[4:8] = holed[18:23] = 0
    movie = Subtracted(Frames(holed, gaps=((4, 8), (18, 23))), statistic, window=10)
    assert list(movie.gaps) == [(4, 8), (18, 23)]
    read = np.concatenate([movie.read(0, 4), movie.read(8, 18), movie.read(23, 30)])
    edges = [0, *(int((kept < edge).sum()) for edge in (10, 20, 30))]
    np.testing.assert_allclose(read, in_windows(frames[kept], edges, statistic), atol=1e-4)


def test_a_window_with_one_frame_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="of frames 10 to 19 only one can be read"):
        Subtracted(Frames(random_frames(30), gaps=((10, 19),)), "minimum", window=10)
    with pytest.raises(InputError, match="of frames 0 to 0 only one can be read"):
        Subtracted(Frames(random_frames(1)), "median").read(0, 1)


def test_a_large_window_is_gone_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = random_frames(60)
    expected = Subtracted(Frames(frames), "median", window=30).read(0, 60)
    monkeypatch.setattr(preparation_module, "_HELD_BYTES", 30 * 7 * 2 * 2)  # two rows of a window
    monkeypatch.setattr(preparation_module, "_READ_BYTES", 5 * 6 * 7 * 2)
    source = Frames(frames)
    movie = Subtracted(source, "median", window=30)
    np.testing.assert_array_equal(movie.read(0, 4), expected[:4])
    assert source.largest == 5


def test_the_median_of_a_window_holds_no_more_than_it_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    np.save(tmp_path / "m.npy", np.zeros((400, 128, 128), np.uint16))
    monkeypatch.setattr(preparation_module, "_HELD_BYTES", 2**20)
    monkeypatch.setattr(preparation_module, "_READ_BYTES", 2**18)
    with prepare(open_movie(tmp_path / "m.npy"), Prepared(subtract="median", window=400)) as movie:  # 13 MB
        tracemalloc.start()
        try:
            movie.read(0, 2)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 2.5 * 2**20


@pytest.mark.parametrize(
    ("flip", "transpose", "expected"),
    [
        ("none", False, [[1, 2, 3], [4, 5, 6]]),
        ("horizontal", False, [[3, 2, 1], [6, 5, 4]]),
        ("vertical", False, [[4, 5, 6], [1, 2, 3]]),
        ("both", False, [[6, 5, 4], [3, 2, 1]]),
        ("none", True, [[1, 4], [2, 5], [3, 6]]),
        ("horizontal", True, [[4, 1], [5, 2], [6, 3]]),  # turned by a quarter to the right
        ("vertical", True, [[3, 6], [2, 5], [1, 4]]),
    ],
)
def test_frames_are_transposed_then_mirrored(flip: Any, transpose: bool, expected: list[list[int]]) -> None:
    frames = np.arange(1, 7, dtype=np.uint16).reshape(1, 2, 3).repeat(4, axis=0)
    movie: Movie = prepare(Frames(frames), Prepared(flip=flip, transpose=transpose))
    block = movie.read(1, 3)
    assert movie.shape == (4, *np.shape(expected)) and block.flags["C_CONTIGUOUS"]
    assert block[1].tolist() == expected


def test_turning_and_subtracting_do_not_depend_on_each_other() -> None:
    frames = random_frames(30)
    both = prepare(Frames(frames), Prepared(flip="both", transpose=True, subtract="median", window=10))
    turned = Frames(prepare(Frames(frames), Prepared(flip="both", transpose=True)).read(0, 30))
    expected = prepare(turned, Prepared(subtract="median", window=10))
    np.testing.assert_array_equal(both.read(0, 30), expected.read(0, 30))
    assert both.shape == (30, 7, 6) and both.path == Path("memory.tif")


def test_settings_that_change_nothing_leave_the_movie_as_it_is() -> None:
    movie = Frames(random_frames(3))
    assert prepare(movie, Prepared()) is movie


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"flip": "left"}, "flip"),
        ({"window": 1}, "window.*2"),
        ({"subtract": "mean"}, "subtract"),
        ({"flop": 1}, "flip"),
    ],
)
def test_settings_that_make_no_sense_are_named(given: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        spec_from_mapping(Prepared, given)


def test_frames_that_stay_as_they_come_are_known_for_a_movie_that_grows() -> None:
    assert Prepared().final(37) == 37
    median = Prepared(subtract="median", window=10)
    assert [median.final(frames) for frames in (0, 9, 10, 19, 20, 29, 30, 35)] == [0, 0, 0, 0, 10, 10, 20, 20]
    frames = random_frames(58)
    expected = Subtracted(Frames(frames), "median", window=10).read(0, 58)
    for now in (20, 29, 33, 50):
        final = median.final(now)
        np.testing.assert_array_equal(
            Subtracted(Frames(frames[:now]), "median", window=10).read(0, final), expected[:final]
        )
