"""The panel "Movie" with two channels: what is shown is what the front door finds in both together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import deepstorm3d as ds
from channel_recording import PIXEL, SIZE, ChannelRecording, turned
from deepstorm3d.calibration.movie_statistics.settings import EstimateSettings
from deepstorm3d.channels import Transform
from deepstorm3d.errors import InputError
from deepstorm3d.io.movies.preparation import Prepared
from deepstorm3d.io.transforms import write_transform
from deepstorm3d.localizer.modelfile import save_model_file
from deepstorm3d.localizing.excerpt import Excerpt, OpenExcerpt
from deepstorm3d.studio.folder import Folder
from deepstorm3d.studio.movie.explained import Question
from deepstorm3d.studio.movie.explained_channels import ChannelsExplainer
from deepstorm3d.studio.movie.look import FrameLook
from deepstorm3d.studio.movie.same import command_line, python_lines
from deepstorm3d.studio.movie.verdict import verdict_of
from deepstorm3d.studio.setup import setup as set_up
from deepstorm3d.studio.setup.same import estimate_command
from deepstorm3d.studio.setup.setup import Setup
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
        # Some nm: where the network computes in bfloat16, a last digit of a pixel moves it by that.
        torch.testing.assert_close(found.xyz, alone.xyz, atol=0.01, rtol=0)
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
    assert python_lines(look.asked, folder).splitlines()[2:] == [
        "models = [ds.load_model('0.pt'), ds.load_model('1.pt')]",
        "first, second = 'A.npy', 'B.npy'",
        "found = ds.localize_channels(first, second, models, transform='transform.yaml')",
    ]
    form = LocalizeForm().taken_from(look.asked, folder)
    assert form.two_channels
    assert form.arguments(folder) == (
        *("localize", "A.npy", "B.npy", "--transform", "transform.yaml"),
        *("--model", "0.pt", "--model", "1.pt", "--out", "found.hdf5"),
    )


def test_the_python_reads_the_frames_as_they_are_looked_at(recording: ChannelRecording) -> None:
    at = recording.folder
    asked = Question(
        recording.movies[0],
        prepared=Prepared(flip="horizontal", transpose=True, subtract="median", window=100),
        pixel_um=PIXEL,
        model="tetrapod",
        mask=at / "mask.npy",
        camera=(("gain", 2.0),),
        threshold=0.3,
        second=recording.movies[1],
    )
    read = "prepared=Prepared(flip='horizontal', transpose=True, subtract='median', window=100), pixel_um=0.11"
    lines = python_lines(asked, Folder(at))
    compile(lines, "same", "exec")
    assert lines.splitlines() == [
        "import deepstorm3d as ds",
        "from deepstorm3d.io.movies.preparation import Prepared",
        "",
        "models = [ds.load_model('tetrapod', mask='mask.npy').at_threshold(0.3)]",
        f"first, second = ds.Excerpt('A.npy', {read}), ds.Excerpt('B.npy', {read})",
        "found = ds.localize_channels(first, second, models, camera={'gain': 2.0})",
    ]
    halves = python_lines(replace(asked, second=None, split="left-right"), Folder(at))
    assert f"first, second = ds.Excerpt('A.npy', {read}), 'left-right'" in halves
    one = python_lines(replace(asked, second=None), Folder(at))
    assert f"part = ds.Excerpt('A.npy', frames=(0, 1), {read})" in one
    # The arguments are those of the front door.
    part: dict[str, object] = {}
    exec(one.replace("ds.load_model('tetrapod', mask='mask.npy')", "None").rpartition("\n")[0], part)
    assert part["part"] == replace(asked.excerpt, movie="A.npy", frames=(0, 1))


def test_a_region_of_two_channels_is_refused_in_words(look: FrameLook) -> None:
    with pytest.raises(InputError, match="a region is for one channel"):
        look.choose_region((0, 0, 16, 16))
    assert look.asked.roi is None
    look.open_second(None)
    look.choose_region((0, 0, 16, 16))
    assert look.asked.roi == (0, 0, 16, 16)


def test_another_threshold_opens_no_movie_again(
    recording: ChannelRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    original = Excerpt.open

    def counted(excerpt: Excerpt) -> AbstractContextManager[OpenExcerpt]:
        opened.append(excerpt.name)
        return original(excerpt)

    monkeypatch.setattr(Excerpt, "open", counted)
    first, second = map(str, recording.model_files)
    asked = Question(
        recording.movies[0], FRAME, model=first, refine=False, second=recording.movies[1], second_model=second
    )
    explain = ChannelsExplainer()
    try:
        one, none = (explain(replace(asked, threshold=level), SILENT) for level in (None, 1.0))
        assert len(one.found) > len(none.found) == 0 and none.threshold == 1.0
        explain(replace(asked, transform=recording.transform), SILENT)
    finally:
        explain.close()
    assert opened == ["A.npy", "B.npy"]


def test_only_molecules_inside_its_frame_are_counted_in_a_channel(
    recording: ChannelRecording, tmp_path: Path
) -> None:
    far = Transform.affine(torch.eye(2), torch.tensor([0.5 * SIZE[1] * PIXEL, 0.0]))
    write_transform(tmp_path / "far.yaml", replace(turned(), transform=far))
    first, second = map(str, recording.model_files)
    asked = Question(recording.movies[0], FRAME, model=first, second=recording.movies[1], second_model=second)
    explain = ChannelsExplainer()
    try:
        shown = explain(replace(asked, transform=tmp_path / "far.yaml"), SILENT)
    finally:
        explain.close()
    channel = shown.further[0]
    inside = int((channel.found.xyz[:, 0] < (SIZE[1] - 0.5) * PIXEL).sum())
    assert channel.report.localizations == inside < len(channel.found) == len(shown.found)


@pytest.mark.parametrize("model", ["0.pt", ""])
def test_both_channels_are_estimated_with_the_model_of_the_command(
    recording: ChannelRecording, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    seen: list[EstimateSettings] = []

    def estimate(movies: Any, experiment: Any, settings: list[EstimateSettings], **more: Any) -> None:
        seen.extend(settings)

    monkeypatch.setattr(set_up, "estimate_channels", estimate)
    setup = Setup(Folder(recording.folder))
    ds.write_experiment(recording.setup.with_(channels={}), recording.folder / "setup.yaml")
    setup.read("setup.yaml")
    asked = Question(recording.movies[0], second=recording.movies[1])
    setup.estimate_both(asked, model=model)
    setup.work.wait()
    said = estimate_command(asked, setup.folder, "setup.yaml", model)
    assert [each.pipeline is not None for each in seen] == ["--model 0.pt" in said] * 2 == [bool(model)] * 2


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
