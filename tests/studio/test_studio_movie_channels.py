"""The panel "Movie" with two channels: what is shown is what the front door finds in both together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import deepstorm3d as ds
from channel_recording import PIXEL, SIZE, ChannelRecording, turned
from deepstorm3d.errors import InputError
from deepstorm3d.localizer.modelfile import save_model_file
from deepstorm3d.studio.folder import Folder
from deepstorm3d.studio.movie.explained import Question
from deepstorm3d.studio.movie.explained_channels import ChannelsExplainer
from deepstorm3d.studio.movie.look import FrameLook
from deepstorm3d.studio.movie.same import command_line, python_lines
from deepstorm3d.studio.movie.verdict import verdict_of
from deepstorm3d.studio.training.localize_form import LocalizeForm
from deepstorm3d.watch import SILENT
from factories import untrained_model

# Numbers of an untrained network: what a user would be told of them is not the subject.
pytestmark = pytest.mark.filterwarnings("ignore::deepstorm3d.errors.DoubtfulResult")

FRAME = 1


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> ChannelRecording:
    return ChannelRecording(tmp_path_factory.mktemp("channels"))


@pytest.fixture
def look(recording: ChannelRecording) -> Iterator[FrameLook]:
    """Both movies open, without a model: nothing is asked yet."""
    look = FrameLook()
    look.open(recording.movies[0])
    look.open_second(recording.movies[1])
    yield look
    look.close()


def asked(look: FrameLook, recording: ChannelRecording) -> None:
    """Ask with the models and the transform of the recording, by the network alone: it is untrained."""
    first, second = map(str, recording.model_files)
    look.use(refine=False, second_model=second, transform=recording.transform)
    look.use(model=first)
    look.show(FRAME)


def test_both_frames_are_shown_from_two_movies_or_from_the_halves_of_one(
    look: FrameLook, recording: ChannelRecording
) -> None:
    for channel, counts in enumerate(recording.counts):
        np.testing.assert_array_equal(look.counts(FRAME, channel), counts[FRAME])
    before = look.version
    np.save(recording.folder / "both.npy", np.concatenate(recording.counts, axis=2))
    look.open(recording.folder / "both.npy")
    assert not look.asked.has_two and look.size == (2 * SIZE[1], SIZE[0])
    look.split("left-right")
    for channel, counts in enumerate(recording.counts):
        np.testing.assert_array_equal(look.counts(FRAME, channel), counts[FRAME])
    assert look.size == (SIZE[1], SIZE[0]) and look.version != before


def test_the_network_s_answer_is_of_each_channel(look: FrameLook, recording: ChannelRecording) -> None:
    asked(look, recording)
    answer = look.network.wait()
    assert answer.result is not None, answer.error
    shown = answer.result
    assert len(shown.further) == 1 and shown.model.shape == shown.further[0].model.shape == SIZE
    for number, found in enumerate((shown.found, shown.further[0].found)):
        alone = recording.models[number].localize(
            ds.Excerpt(recording.movies[number], frames=(FRAME, FRAME + 1)), refine=False
        )
        assert len(found)
        torch.testing.assert_close(found.xyz, alone.xyz, atol=1e-3, rtol=0)
    assert verdict_of(shown).text.startswith("First channel: deviance")
    assert "Second channel: deviance" in verdict_of(shown).text


def test_with_a_transform_the_fit_is_that_of_both_together(
    look: FrameLook, recording: ChannelRecording
) -> None:
    asked(look, recording)
    look.network.wait()
    question = look._question_of(look.fit)
    explain = ChannelsExplainer()
    try:
        shown = explain(question, SILENT)
    finally:
        explain.close()
    assert shown.fitted and shown.found.share is not None
    first, second = (ds.Excerpt(path, frames=(FRAME, FRAME + 1)) for path in recording.movies)
    found = ds.localize_channels(first, second, recording.models, transform=recording.transform)
    assert len(found) == len(shown.found) > 0
    torch.testing.assert_close(shown.found.xyz, found.xyz, atol=1e-4, rtol=0)
    # In the second channel the same molecules lie where the transform takes them, deeper by its offset.
    there = turned().transform.apply(shown.found.xyz[:, :2])
    torch.testing.assert_close(shown.further[0].found.xyz[:, :2].double(), there, atol=1e-5, rtol=0)
    assert shown.pixel_um == shown.further[0].pixel_um == PIXEL


def test_a_model_of_both_channels_needs_no_transform(recording: ChannelRecording, tmp_path: Path) -> None:
    model = untrained_model(recording.setup, 0.5)
    save_model_file(model, tmp_path / "both.pt")
    asked = Question(recording.movies[0], FRAME, model=str(tmp_path / "both.pt"), second=recording.movies[1])
    explain = ChannelsExplainer()
    try:
        shown = explain(asked, SILENT)
    finally:
        explain.close()
    first, second = (ds.Excerpt(path, frames=(FRAME, FRAME + 1)) for path in recording.movies)
    found = ds.localize_channels(first, second, ds.Model(model, device="cpu"))
    assert shown.fitted and len(shown.further) == 1
    assert len(found) == len(shown.found) > 0
    torch.testing.assert_close(shown.found.xyz, found.xyz, atol=1e-3, rtol=0)


def test_movies_of_other_lengths_are_refused_and_the_one_before_stays(
    look: FrameLook, recording: ChannelRecording
) -> None:
    np.save(recording.folder / "short.npy", recording.counts[1][:1])
    with pytest.raises(InputError, match=r"short\.npy has 1 frames, A\.npy has 2"):
        look.open_second(recording.folder / "short.npy")
    np.testing.assert_array_equal(look.counts(FRAME, 1), recording.counts[1][FRAME])
    with pytest.raises(InputError, match="in one channel"):
        look.use(model="tetrapod", refine=False)
        look.look_at_sample()
        answer = look.sample.wait()
        assert answer.error is not None
        raise answer.error


def test_the_same_is_told_as_a_command_and_taken_over_by_the_form(
    look: FrameLook, recording: ChannelRecording
) -> None:
    asked(look, recording)
    look.use(refine=True)
    folder = Folder(recording.folder)
    words = ("localize", "A.npy", "B.npy", "--model", "0.pt", "--model", "1.pt")
    assert command_line(look.asked, folder) == " ".join(
        ("deepstorm3d", *words, "--transform", "transform.yaml", "--out", "found.hdf5")
    )
    compile(python_lines(look.asked, folder), "same", "exec")
    form = LocalizeForm().taken_from(look.asked, folder)
    assert form.two_channels
    assert form.arguments(folder) == (
        *("localize", "A.npy", "B.npy", "--transform", "transform.yaml"),
        *("--model", "0.pt", "--model", "1.pt", "--out", "found.hdf5"),
    )


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"second": "C.npy"}, "there is no 'C.npy'"),
        ({"second": "B.npy", "split": "left-right"}, "not both"),
        ({"second": "B.npy", "roi": "0,0,16,16"}, "a region is for one channel"),
        ({"transform": "transform.yaml"}, "for two channels"),
        ({"second": "B.npy", "second_model": "9.pt"}, "there is no '9.pt'"),
    ],
)
def test_two_channels_that_could_not_be_localized_are_refused_in_words(
    recording: ChannelRecording, entries: dict[str, str], words: str
) -> None:
    folder = Folder(recording.folder)
    form = LocalizeForm(movie="A.npy", model="0.pt", second="", out="new.hdf5")
    form.changed(second="B.npy").check(folder)
    with pytest.raises(InputError, match=words):
        form.changed(**entries).check(folder)
