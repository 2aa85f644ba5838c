"""What an argument of Python cannot be is refused by a sentence, and nothing is written or drawn from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import deepstorm3d as ds
from deepstorm3d.rendering.sections import Box

SIDE = ds.mask("quickstart").shape[0]


@pytest.fixture(scope="module")
def found() -> ds.Localizations:
    g = torch.Generator().manual_seed(0)
    xyz = torch.rand(60, 3, generator=g) * torch.tensor([6.0, 6.0, 1.0])
    return ds.Localizations.proposals(xyz, torch.arange(60) % 10, torch.ones(60))


@pytest.fixture(scope="module")
def truth(found: ds.Localizations) -> ds.Emitters:
    return ds.Emitters(found.xyz, found.frame, torch.full((60,), 3000.0), torch.arange(60))


MASKS: dict[str, tuple[Any, str]] = {
    "of one dimension": (np.zeros(SIDE), "one image of phase"),
    "of three": (torch.zeros(2, SIDE, SIDE), "one image of phase"),
    "not finite": (np.full((SIDE, SIDE), np.nan), "NaN or infinite"),
    "a field": (np.exp(1j * np.ones((SIDE, SIDE))), "complex"),
    "a field in torch": (torch.ones(SIDE, SIDE, dtype=torch.complex64), "complex"),
    "in degrees": (np.full((SIDE, SIDE), 90), "cannot be radians"),
    "far too large": (np.full((SIDE, SIDE), 256.5), "cannot be radians"),
    "words": (np.full((SIDE, SIDE), "a"), "not numbers"),
}


@pytest.mark.parametrize(("given", "why"), MASKS.values(), ids=MASKS)
def test_a_mask_given_as_an_array_is_checked_as_one_in_a_file(given: Any, why: str) -> None:
    light = {"photons": 1000, "background": 10}
    for call in (
        lambda: ds.psf("quickstart", [0.5], mask=given),
        lambda: ds.crlb("quickstart", [[3, 3, 0.5]], mask=given, **light),
        lambda: ds.limit("quickstart", {"mine": given}, sweep=ds.Sweep(depths=2, emitters=())),
    ):
        with pytest.raises(ds.InputError, match=why):
            call()


def test_masks_to_compare_have_names() -> None:
    with pytest.raises(ds.InputError, match="each needs a name"):
        ds.limit("quickstart", ["tetrapod"])


@pytest.mark.parametrize(
    "given",
    [
        *({"depths": value} for value in (0, -1, 3.0)),
        *({"photons": value} for value in ((0,), (-1,), (float("nan"),), (float("inf"),), (), 1e3)),
        *({"background": value} for value in ((-1,), (float("nan"),), (), 10.0)),
    ],
    ids=str,
)
def test_a_sweep_over_what_cannot_be_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ds.InputError):
        ds.Sweep(**given)
    # Of arrays, and of no background, there is a bound.
    assert ds.Sweep(photons=np.array([1e3, 2e3]), background=(0,)).depths == 41


NO_CAMERA = r"no camera has pixels|shape of a frame"
FOO: Any = "foo"


Call = Callable[[ds.Localizations, ds.Emitters], object]
REFUSED: dict[str, tuple[Call, str]] = {
    "link in µm": (lambda found, _: ds.link(found, radius_nm=0.05), "0.05 µm are 50"),
    "evaluate in µm": (lambda found, truth: ds.evaluate(found, truth, tolerance_nm=0.15), "0.15 µm are 150"),
    "evaluate within 0": (lambda found, truth: ds.evaluate(found, truth, tolerance_nm=0), "above 0 nm"),
    "evaluate within NaN": (lambda found, truth: ds.evaluate(found, truth, tolerance_nm=np.nan), "above 0 nm"),
    "evaluate dim": (lambda found, truth: ds.evaluate(found, truth, min_photons=np.nan), "0 or more, not nan"),
    "drift in 0": (lambda found, _: ds.drift(found, frames_per_segment=0), "1 frame or more"),
    "drift in -1": (lambda found, _: ds.drift(found, frames_per_segment=-1), "1 frame or more"),
    "filter by a number": (lambda found, _: ds.filter(found, 5), "condition must be a text, not 5"),
    "rendering a truth": (lambda _, truth: ds.plot.rendering(truth), "must be Localizations, not Emitters"),
    "rendering a file": (lambda *_: ds.plot.rendering("found.hdf5"), "must be Localizations, not 'found.hdf5'"),
    "rendering foo": (
        lambda found, _: ds.plot.rendering(found, colour=FOO),
        "dye, molecule or none, not 'foo'",
    ),
    "rendering by foo": (lambda found, _: ds.plot.rendering(found, method=FOO), "not by the word 'foo'"),
    "section of w": (
        lambda found, _: ds.plot.section(found, "w", between_um=(0, 1)),
        "across must be x, y or z, not 'w'",
    ),
    "section in nm": (lambda found, _: ds.plot.section(found, between_um=(400, 600)), "in µm, not nm"),
    "mask of one dimension": (lambda *_: ds.plot.mask(np.zeros(5)), "one image of phase"),
    "overlay in nm": (lambda found, _: ds.plot.overlay(torch.ones(8, 8), found, pixel_um=110), "110000 nm"),
    "beside in nm": (lambda found, _: ds.plot.beside(found, torch.ones(8, 8), pixel_um=110), "110000 nm"),
    "an experiment for a model": (
        lambda found, _: ds.regenerate(found, np.ones((1, 32, 32)), ds.preset("quickstart")),
        "model must be Model, not Experiment",
    ),
    "emitters of arrays": (
        lambda found, _: ds.Emitters(found.xyz.numpy(), found.frame, found.photons, found.frame),
        "xyz of a table is a tensor",
    ),
    "frames with decimals": (
        lambda found, _: ds.Emitters(found.xyz, found.frame + 0.5, found.photons, found.frame),
        "frame holds whole numbers",
    ),
}


@pytest.mark.parametrize(("call", "why"), REFUSED.values(), ids=REFUSED)
def test_what_an_argument_cannot_be_is_refused_with_the_reason(
    found: ds.Localizations, truth: ds.Emitters, call: Call, why: str
) -> None:
    with pytest.raises(ds.InputError, match=why):
        call(found, truth)


def test_a_section_without_rows_is_told(found: ds.Localizations) -> None:
    with pytest.warns(ds.DoubtfulResult, match="z goes from 0"):
        ds.plot.section(found, between_um=(2.0, 3.0))


@pytest.mark.parametrize("ending", ["csv", "hdf5", "h5"])
def test_a_list_is_not_written_with_pixels_or_a_shape_that_no_camera_has(
    found: ds.Localizations, truth: ds.Emitters, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"list.{ending}"
    right: dict[str, Any] = {"pixel_um": 0.1, "frames": 10, "shape": (64, 64)}
    for wrong in (
        {"pixel_um": 110},
        {"pixel_um": 0.0},
        {"pixel_um": np.nan},
        {"shape": (4, 64, 64)},
        {"shape": (0, 8)},
    ):
        with pytest.raises(ds.InputError, match=NO_CAMERA):
            ds.write_table(path, found, **{**right, **wrong})
        with pytest.raises(ds.InputError, match=NO_CAMERA):
            ds.write_truth(tmp_path / "truth.csv", truth, **{**right, **wrong})
    for other in (truth, found.to_pandas()):
        with pytest.raises(ds.InputError, match="must be Localizations, not"):
            ds.write_table(path, other, **right)
    assert not list(tmp_path.iterdir())


NO_MOVIES: dict[str, Any] = {
    "None": None,
    "a number": 3,
    "frames one by one": iter([np.ones((8, 8))]),
    "a set": {1},
}


@pytest.mark.parametrize(
    "given", [*NO_MOVIES.values(), pd.DataFrame(np.ones((8, 8)))], ids=[*NO_MOVIES, "a table"]
)
def test_what_is_no_movie_is_refused_wherever_one_is_taken(given: Any) -> None:
    model = ds.load_model("astigmatic", device="cpu")
    for call in (
        lambda: model.localize(given, refine=False),
        lambda: model.localize(ds.Excerpt(given), refine=False),
        lambda: ds.estimate(given, "quickstart"),
        lambda: ds.estimate(np.ones((4, 64, 64)), "quickstart", dark=given if given is not None else 3),
        lambda: ds.regenerate(ds.Localizations.empty(), given, model),
        lambda: ds.measure_psf(given, "quickstart"),
    ):
        with pytest.raises(ds.InputError):
            call()


@pytest.mark.parametrize("given", ["emccd", 3, [100, 2.2], 0, ""], ids=repr)
def test_what_is_no_camera_is_refused_with_what_one_is(given: Any, found: ds.Localizations) -> None:
    model, movie = ds.load_model("astigmatic", device="cpu"), np.ones((1, 32, 32), np.uint16)
    for call in (
        lambda: model.localize(movie, camera=given, refine=False),
        lambda: model.pipeline(camera=given),
        lambda: ds.regenerate(found, movie, model, camera=given),
    ):
        with pytest.raises(ds.InputError, match="camera"):
            call()


@pytest.mark.parametrize("given", [(0,), "a", "ab", None, (0, 1, 2), 3, (0, "a"), (0, np.nan)], ids=repr)
def test_two_planes_are_two_numbers(given: Any, found: ds.Localizations) -> None:
    with pytest.raises(ds.InputError):
        ds.plot.section(found, between_um=given)
    with pytest.raises(ds.InputError, match="two positions, from and to"):
        Box(x=given)


@pytest.mark.parametrize("given", [5, "yes", (1, 2), (0, 0, 0, 9), ("a", 0, 9, 9), 2.5], ids=repr)
def test_the_border_of_the_challenge_is_four_edges(
    given: Any, found: ds.Localizations, truth: ds.Emitters
) -> None:
    with pytest.raises(ds.InputError, match="challenge"):
        ds.evaluate(found, truth, challenge=given)
    right = ds.evaluate(found, truth, challenge=np.array([0, 0, 6.0, 6.0]))
    assert right.score.tp <= ds.evaluate(found, truth, challenge=1).score.tp


@pytest.mark.parametrize("seed", [2**70, -(2**70), 2**63])
def test_a_seed_that_no_generator_takes_is_refused(seed: int) -> None:
    with pytest.raises(ds.InputError, match="seed"):
        ds.simulate("quickstart", emitters=1, seed=seed)


@pytest.mark.parametrize("shape", [64, None, "ab", (64.5, 64), ("64", 64), (64,)], ids=repr)
def test_a_shape_is_two_whole_numbers(
    shape: Any, found: ds.Localizations, truth: ds.Emitters, tmp_path: Path
) -> None:
    right: dict[str, Any] = {"pixel_um": 0.1, "frames": 10}
    for call in (
        lambda shape: ds.write_table(tmp_path / "a.hdf5", found, shape=shape, overwrite=True, **right),
        lambda shape: ds.write_truth(tmp_path / "a.csv", truth, shape=shape, overwrite=True, **right),
    ):
        with pytest.raises(ds.InputError, match="shape"):
            call(shape)
        call((58, 58))


def test_frames_that_a_movie_has_not_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "movie.npy", np.zeros((40, 8, 8), np.uint16))
    told = "0:100 are not in the movie, which has frames 0:40"
    with ds.open_movie(tmp_path / "movie.npy") as movie, pytest.raises(ds.InputError, match=told):
        movie.read(0, 100)
