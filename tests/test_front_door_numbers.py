"""Numbers of arrays are as good as Python's own, in every public function; doubts name who called it."""

from __future__ import annotations

import inspect
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import deepstorm3d as ds
from deepstorm3d.front_door import PUBLIC, doubt, plain, public


def test_every_public_function_takes_its_arguments_at_the_door():
    functions = [each for name in ds._HOMES if inspect.isfunction(each := getattr(ds, name))]
    functions += [ds.Model.localize, ds.Model.at_threshold]
    bare = [function.__name__ for function in functions if not hasattr(function, PUBLIC)]
    assert not bare, f"decorate with `public`: {bare}"
    assert len(functions) > 30


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (np.int64(3), 3),
        (np.uint16(3), 3),
        (np.float64(0.1), 0.1),
        (np.float32(0.11), 0.11),
        (np.bool_(True), True),
        (np.array(7), 7),
        (torch.tensor(7), 7),
        (torch.tensor(0.5), 0.5),
        (np.str_("x_nm"), "x_nm"),
        ((np.int32(1), None), (1, None)),
        ([np.float32(0.2), "a"], [0.2, "a"]),
        ({"baseline": np.float32(100)}, {"baseline": 100.0}),
        (None, None),
    ],
)
def test_a_number_of_an_array_is_pythons_own(given: Any, meant: Any):
    assert plain(given) == meant and type(plain(given)) is type(meant)


def test_arrays_and_learning_tensors_stay_what_they_are():
    for each in (np.zeros(3), torch.zeros(2), torch.tensor(1.0, requires_grad=True), ds.Localizations.empty()):
        assert plain(each) is each


@public
def taking(frames: int, shape: tuple[int, int] = (1, 1), *, pixel_um: float | None = None) -> tuple[Any, ...]:
    """What arrives."""
    return frames, shape, pixel_um


def test_what_is_meant_arrives():
    arrived = taking(np.float32(4), np.array([64, 32]), pixel_um=np.float32(0.11))  # type: ignore[arg-type]
    assert repr(arrived) == "(4, (64, 32), 0.11)"
    assert repr(taking(torch.tensor(4), torch.tensor([64, 32]))) == "(4, (64, 32), None)"  # type: ignore[arg-type]
    with pytest.raises(ds.InputError, match=r"frames must be a whole number, not 4\.5"):
        taking(4.5)  # type: ignore[arg-type]


def test_a_public_function_can_be_sent_to_another_process():
    assert pickle.loads(pickle.dumps(ds.simulate)) is ds.simulate


def rows(number: int = 40) -> tuple[ds.Localizations, ds.Emitters]:
    _, truth = ds.simulate("quickstart", frames=10, emitters=number // 10, seed=2)
    return ds.Localizations.proposals(truth.xyz, truth.frame, torch.ones(len(truth))), truth


def test_simulations_are_counted_and_seeded_by_numbers_of_an_array():
    expected = ds.simulate("quickstart", 2, emitters=3, seed=1)[0]
    kinds: Any = (np.int64, np.uint8, torch.tensor)
    for made in kinds:
        frames, emitters, seed = map(made, (2, 3, 1))
        again = ds.simulate("quickstart", frames, emitters=emitters, seed=seed)[0]
        np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("ending", ["hdf5", "csv", "h5"])
def test_a_list_is_written_with_numbers_of_its_own_columns(tmp_path: Path, ending: str):
    found, _ = rows()
    computed: dict[str, Any] = {"column": found["frame"].max() + 1, "tensor": found.frame.max() + 1}
    for name, frames in computed.items():
        path = tmp_path / f"{name}.{ending}"
        ds.write_table(
            path,
            found,
            pixel_um=np.float32(0.11),  # type: ignore[arg-type]
            frames=frames,
            shape=np.array([64, 64]),  # type: ignore[arg-type]
        )
        torch.testing.assert_close(ds.read_table(path).xyz, found.xyz, atol=1e-5, rtol=0)


def test_rules_take_numbers_of_an_array():
    found, truth = rows()
    assert len(ds.link(found, radius_nm=np.array([5, 5], np.float32), dark=np.float32(2)))  # type: ignore[arg-type]
    scored = ds.evaluate(found, truth, tolerance_nm=np.int64(100), challenge=np.bool_(True))  # type: ignore[arg-type]
    assert scored.score.tp
    edges = np.array([0.0, 0.0, 7.0, 7.0])
    assert ds.evaluate(found, truth, challenge=edges).score.ignored_truth  # type: ignore[arg-type]


def test_a_movie_has_the_frames_of_its_rows(tmp_path: Path):
    found, truth = rows()
    for write, table, name in ((ds.write_table, found, "f.hdf5"), (ds.write_truth, truth, "t.csv")):
        with pytest.raises(ds.InputError, match=r"rows of frame 9, .*the movie has 5 frames.*at least 10"):
            write(tmp_path / name, table, pixel_um=0.11, frames=5, shape=(64, 64))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_data_frame_is_no_list():
    found, truth = rows()
    frame: Any = found.to_pandas()
    for verb in (
        lambda: ds.evaluate(frame, truth),
        lambda: ds.evaluate(found, frame),
        lambda: ds.filter(frame, "photons > 5"),
        lambda: ds.link(frame, radius_nm=5),
        lambda: ds.read_table(frame),
    ):
        with pytest.raises(ds.InputError, match="a file, not DataFrame"):
            verb()


def test_pixels_of_a_movie_that_are_masked_are_not_read_as_if_they_were_none():
    counts = np.arange(2 * 64 * 64).reshape(2, 64, 64)
    with pytest.raises(ds.InputError, match="pixels of the array are masked"):
        _ = ds.Excerpt(np.ma.masked_array(counts, mask=counts > 50)).source
    _ = ds.Excerpt(np.ma.masked_array(counts)).source


def test_counts_of_half_precision_are_read_in_one_that_holds_them(tmp_path: Path):
    counts = np.full((2, 8, 8), 1000, np.float16)
    np.save(tmp_path / "m.npy", counts)
    for movie in (ds.Excerpt(counts), ds.Excerpt(tmp_path / "m.npy")):
        with movie.open() as opened:
            assert opened.movie.dtype == opened.read(0, 2).dtype == np.float32


def test_doubts_name_the_line_that_called_the_program():
    @public
    def verb(number: int) -> int:
        doubt(["once", "twice"])
        return number

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        verb(1)
    assert [str(each.message) for each in told] == ["once", "twice"]
    assert {each.filename for each in told} == {__file__}
