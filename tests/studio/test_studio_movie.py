"""The panel "Movie" without a browser: what is shown of a frame is what the front door finds in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import deepstorm3d as ds
from deepstorm3d.errors import InputError
from deepstorm3d.studio.folder import Folder
from deepstorm3d.studio.movie.look import FrameLook
from deepstorm3d.studio.movie.panel_answer import waiting
from deepstorm3d.studio.movie.same import camera_pairs, command_line, python_lines
from deepstorm3d.studio.movie.verdict import verdict_of

EMITTERS = 6


@pytest.fixture(scope="module")
def model() -> ds.Model:
    return ds.load_model("tetrapod", device="cpu")


@pytest.fixture(scope="module")
def movie(model: ds.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames, _ = ds.simulate(model.experiment, frames=3, emitters=EMITTERS, seed=2)
    path = tmp_path_factory.mktemp("movie") / "movie.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path


@pytest.fixture(scope="module")
def look(movie: Path) -> Iterator[FrameLook]:
    """Looking at the movie with the built-in model; each test sets what it needs."""
    look = FrameLook()
    look.open(movie)
    look.use(model="tetrapod")
    yield look
    look.close()


def test_network_and_fit_show_what_the_front_door_finds(look: FrameLook, model: ds.Model, movie: Path):
    look.use(threshold=None, refine=True)
    look.show(1)
    part = ds.Excerpt(movie, frames=(1, 2))
    for latest, refine in ((look.network, False), (look.fit, True)):
        shown = latest.wait().result
        assert shown is not None and shown.fitted == refine
        found = model.localize(part, refine=refine)
        assert torch.equal(shown.found.xyz, found.xyz) and torch.equal(shown.found.frame, found.frame)
    assert look.shown is shown and len(shown.found) == EMITTERS
    assert verdict_of(shown).light == "good" and "The molecules explain" in verdict_of(shown).text
    empty = replace(shown, report=replace(shown.report, localizations=0))
    assert "No molecule, and the background explains" in verdict_of(empty).text


def test_a_threshold_shows_what_the_front_door_finds_with_it(look: FrameLook, model: ds.Model, movie: Path):
    look.show(0)
    counts = []
    for threshold in (0.05, 0.2, 0.4):
        look.use(threshold=threshold, refine=False)
        shown = look.network.wait().result
        assert shown is not None
        found = model.localize(ds.Excerpt(movie, frames=(0, 1)), threshold=threshold, refine=False)
        assert torch.equal(shown.found.xyz, found.xyz)
        counts.append(len(shown.found))
    assert counts[0] > counts[2]


def test_a_region_and_a_turn_are_those_of_the_front_door(look: FrameLook, model: ds.Model, movie: Path):
    look.orient(flip="horizontal", transpose=False, subtract="none", nm=None)
    look.use(roi=(10, 5, 110, 115), threshold=None, refine=False)
    look.show(2)
    shown = look.network.wait().result
    assert shown is not None and shown.corner == (10, 5)
    assert shown.model.shape == (110, 100)
    part = ds.Excerpt(movie, frames=(2, 3), roi=(10, 5, 110, 115), prepared=look.asked.prepared)
    assert torch.allclose(shown.found.xyz, model.localize(part, refine=False).xyz, atol=1e-5)
    np.testing.assert_array_equal(look.counts(2), ds.read_movie(movie)[2][:, ::-1])
    look.orient(flip="none", transpose=False, subtract="none", nm=None)
    assert look.asked.roi is None


def test_a_wrong_camera_turns_the_light_red_and_says_why(look: FrameLook):
    look.use(camera=(("gain", 60.0),), refine=False)
    answer = look.network.wait()
    look.use(camera=())
    assert answer.result is not None
    verdict = verdict_of(answer.result)
    assert verdict.light == "bad" and "gain" in verdict.text


def test_a_frame_that_contradicts_the_model_is_never_called_explained(look: FrameLook):
    look.show(0)
    look.use(threshold=None, refine=False)
    shown = look.network.wait().result
    assert shown is not None and not shown.doubts
    doubtful = replace(shown, doubts=("the background is 149 photons a pixel, the model knows 10 to 20",))
    verdict = verdict_of(doubtful)
    assert verdict.light == "doubt" and "The background is 149 photons" in verdict.text
    # Frames far brighter than any that the model was trained on.
    look.use(camera=(("baseline", -30_000.0),))
    brighter = look.network.wait()
    look.use(camera=())
    assert brighter.result is not None and brighter.result.doubts
    assert verdict_of(brighter.result).light in ("doubt", "bad")


def test_an_error_belongs_to_its_question_alone(look: FrameLook):
    look.use(model="no such model", refine=False)
    look.network.wait()
    assert isinstance(look.error, InputError) and look.shown is None
    look.use(model="tetrapod")
    look.network.wait()
    assert look.error is None and look.shown is not None


def test_frames_beyond_the_ends_are_the_first_and_the_last(look: FrameLook):
    look.show(99)
    assert look.asked.frame == 2
    look.show(-5)
    assert look.asked.frame == 0


def test_a_file_that_is_no_movie_leaves_the_open_one(look: FrameLook, movie: Path):
    text = movie.with_name("notes.tif")
    text.write_text("not a movie")
    with pytest.raises(InputError):
        look.open(text)
    assert look.movie is not None and look.movie.path == movie
    assert look.counts(0).shape == (121, 121)


def test_the_command_says_all_that_was_chosen(look: FrameLook, movie: Path):
    asked = replace(
        look.asked,
        threshold=0.3,
        refine=False,
        camera=camera_pairs("baseline=100, gain=2.2"),
        roi=(0, 0, 64, 64),
    )
    line = command_line(asked, Folder(movie.parent))
    assert line == (
        "deepstorm3d localize movie.tif --model tetrapod --camera baseline=100 --camera gain=2.2 "
        "--threshold 0.3 --no-refine --roi 0,0,64,64 --out found.hdf5"
    )
    compile(python_lines(asked, Folder(movie.parent)), "same", "exec")


def test_files_are_named_as_a_command_in_the_folder_takes_them(look: FrameLook, movie: Path):
    asked = replace(look.asked, model=str(movie.parent / "own.pt"), mask=movie.parent / "mask.npy", camera=())
    folder = Folder(movie.parent)
    assert "--model own.pt --mask mask.npy" in command_line(asked, folder)
    assert "ds.load_model('own.pt', mask='mask.npy')" in python_lines(asked, folder)


def test_camera_values_are_pairs():
    with pytest.raises(InputError, match="key=value"):
        camera_pairs("baseline 100")


def test_the_sample_says_whether_the_model_fits(look: FrameLook):
    look.use(threshold=None, refine=False, camera=())
    look.look_at_sample()
    sampled = look.sample.wait(120).result
    assert sampled is not None and sampled.fits
    assert any("verdict" in line for line in sampled.lines)
    assert set(sampled.pictures) == {"frame_0", "frame_1", "frame_2", "histogram"}
    assert all(png.startswith(b"\x89PNG") for png in sampled.pictures.values())


def test_a_sample_needs_movie_and_model():
    with pytest.raises(InputError, match="choose a movie and a model"):
        FrameLook().look_at_sample()


def test_a_file_that_is_no_model_is_refused_with_and_without_a_movie(movie: Path, tmp_path: Path):
    wrong = tmp_path / "a.pt"
    wrong.write_text("name: a", encoding="utf-8")
    look = FrameLook()
    with pytest.raises(InputError, match=r"a\.pt"):
        look.choose_model(str(wrong))
    assert look.asked.model == ""
    look.choose_model("tetrapod")
    look.choose_model("")
    try:
        look.open(movie)
        look.choose_model(str(wrong))
        look.network.wait()
        assert isinstance(look.error, InputError) and look.shown is None
        # No frame was searched: that nothing was found would be another result.
        assert waiting(look) == "not searched"
    finally:
        look.close()
