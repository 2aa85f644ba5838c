"""Localize two channels of one recording: movies or halves, given and found transforms, wrong input."""

from __future__ import annotations

import copy
import shutil
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

import deepstorm3d as ds
import deepstorm3d.localizing.over_channels as over_channels
from deepstorm3d.analysis.matching import match
from deepstorm3d.channels import ChannelPair, Transform
from deepstorm3d.cli import app
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import DoubtfulResult, InputError
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.field import Field
from deepstorm3d.io.movies.preparation import Prepared
from deepstorm3d.io.tables import read_list
from deepstorm3d.io.transforms import write_transform
from deepstorm3d.jobs.channel_inputs import ChannelInput, GivenTransform, halves_as_channels
from deepstorm3d.jobs.localize import ListFile
from deepstorm3d.jobs.localize_channels import localize_channels
from deepstorm3d.localizer.modelfile import save_model_file
from deepstorm3d.localizing.excerpt import Excerpt, OpenExcerpt
from deepstorm3d.localizing.model import Model
from factories import tiny_experiment, untrained_model
from watchers import Recorder

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*the model was trained for 20"),
    pytest.mark.filterwarnings("ignore:.*lies beyond the pairs"),
]

SIZE = (40, 44)
PIXEL = 0.11
FRAMES = 10


def mirrored() -> ChannelPair:
    """The second channel shows the first mirrored, turned by 3° and 1.01 times as large."""
    matrix = torch.tensor([[-1.0086, -0.0523], [-0.0523, 1.0086]])
    transform = Transform.affine(matrix, torch.tensor([(SIZE[1] - 1) * PIXEL + 0.1, 0.12]))
    return ChannelPair(transform, (0.0, 0.001), (Field(*SIZE, PIXEL), Field(*SIZE, PIXEL)))


class Recording:
    """Movies of both channels with 70 % of the light in the first one, the models, and what is there."""

    def __init__(self, folder: Path) -> None:
        self.transform = folder / "transform.yaml"
        write_transform(self.transform, mirrored())
        base = tiny_experiment(frame_px=SIZE)
        setup = base.with_(channels={"red": Channel(light=0.3, transform=str(self.transform))})
        movies, self.truth = ds.simulate_channels(setup, FRAMES, emitters=4, seed=5)
        self.counts: tuple[NDArray[Any], NDArray[Any]] = (movies["first"], movies["red"])
        self.models = tuple(Model(untrained_model(setup.of_channel(number), 0.5)) for number in range(2))
        self.paths = tuple(folder / f"{name}.npy" for name in ("A", "B"))
        for path, counts in zip(self.paths, self.counts, strict=True):
            np.save(path, counts)

    def inputs(self, *movies: Any) -> tuple[ChannelInput, ChannelInput]:
        first, second = (
            ChannelInput(Excerpt(movie), model.pipeline(method="pursuit"))
            for movie, model in zip(movies or self.paths, self.models, strict=True)
        )
        return first, second


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return Recording(tmp_path_factory.mktemp("channels"))


@pytest.fixture(scope="module")
def written(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lists") / "both.hdf5"
    first, second = (
        replace(one, pipeline=replace(one.pipeline, model_sha256=64 * "a")) for one in recording.inputs()
    )
    made = localize_channels((first, second), GivenTransform(mirrored()), ListFile(out))
    assert made.complete and made.frames == FRAMES
    # The models were made for the light of both channels together.
    assert all("the model was trained for 20" in text for text in made.warnings), made.warnings
    return out


def test_an_error_before_any_frame_is_done_leaves_no_list_of_both(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise InputError("the joint fit fails")

    monkeypatch.setattr("deepstorm3d.jobs.localize_channels.partial", lambda *_: fails)
    out = tmp_path / "both.hdf5"
    with pytest.raises(InputError, match="the joint fit fails"):
        localize_channels(recording.inputs(), GivenTransform(mirrored()), ListFile(out))
    assert not [path.name for path in tmp_path.glob("both.*") if ".part" in path.name]


def rms_um(truth: Emitters, found: Localizations) -> float:
    pairs = match(truth, found, tolerance_um=0.25)
    assert len(pairs) >= 0.9 * len(truth)
    return float((found.xyz[pairs.found_index] - truth.xyz[pairs.truth_index]).square().mean().sqrt())


def test_both_channels_are_more_exact_than_the_first_and_know_the_share(
    written: Path, recording: Recording
) -> None:
    found, header = read_list(written)
    first, _ = read_list(written.with_name("both.first.hdf5"))
    assert rms_um(recording.truth, found) < 0.95 * rms_um(recording.truth, first)
    assert found.share is not None and found.sigma_share is not None
    assert header.provenance["channels"] == ["A.npy", "B.npy"]
    pairs = match(recording.truth, found, tolerance_um=0.25)
    share, sigma = found.share[pairs.found_index], found.sigma_share[pairs.found_index]
    known = (sigma > 0) & (sigma < 0.1)
    assert int(known.sum()) >= 0.8 * len(share)
    assert abs(float(share[known].mean()) - 0.3) < 0.02
    # 30 and more squares of a unit normal; three σ of their mean.
    assert 0.4 < float(((share[known] - 0.3) / sigma[known]).square().mean()) < 1.9
    photons = found.photons[pairs.found_index]
    assert abs(float(photons.median()) / float(recording.truth.photons.median()) - 1) < 0.1


@pytest.mark.usefixtures("told_at_once")
def test_a_run_that_was_stopped_goes_on_to_the_same_list(
    written: Path, recording: Recording, tmp_path: Path
) -> None:
    out = tmp_path / "both.hdf5"

    made = localize_channels(recording.inputs(), GivenTransform(mirrored()), ListFile(out), watch=InThirdPass())
    assert not made.complete and not out.exists()
    again = localize_channels(recording.inputs(), GivenTransform(mirrored()), ListFile(out, resume=True))
    assert again.complete
    one, other = read_list(written)[0], read_list(out)[0]
    for name, column in one.columns().items():
        assert torch.equal(column, other.columns()[name]), name


def test_in_memory_with_a_transform_that_is_found(written: Path, recording: Recording) -> None:
    with pytest.warns(DoubtfulResult, match="mirror"):
        found = ds.localize_channels(*recording.counts, recording.models, method="pursuit")
    given, _ = read_list(written)
    assert len(found) == len(given)
    assert rms_um(recording.truth, found) < 1.2 * rms_um(recording.truth, given)


def test_two_halves_of_one_camera(written: Path, recording: Recording) -> None:
    whole = np.concatenate(recording.counts, axis=2)
    found = ds.localize_channels(
        whole, "left-right", recording.models, method="pursuit", transform=recording.transform
    )
    given, _ = read_list(written)
    assert len(found) == len(given)
    assert float((found.xyz - given.xyz).abs().max()) < 0.002


def test_channels_of_different_lengths_are_told(recording: Recording, tmp_path: Path) -> None:
    short = recording.inputs(recording.paths[0], recording.counts[1][:-3])
    with pytest.raises(InputError, match=r"A\.npy has 10 frames, .* has 7"):
        localize_channels(short, GivenTransform(mirrored()), ListFile(tmp_path / "both.hdf5"))


def test_what_cannot_be_fitted_together_is_refused_before_any_work(recording: Recording, tmp_path: Path):
    first, second = recording.inputs()
    later = replace(second, excerpt=replace(second.excerpt, frames=(1, 4)))
    early = replace(first, excerpt=replace(first.excerpt, frames=(0, 3)))
    bare = replace(second, pipeline=replace(second.pipeline, fit=None))
    out = ListFile(tmp_path / "both.hdf5")
    for channels, said in (((early, later), "begin with 0"), ((first, bare), "is decided by the joint fit")):
        with pytest.raises(InputError, match=said):
            localize_channels(channels, GivenTransform(mirrored()), out)
    with pytest.raises(InputError, match="for one channel"):
        halves_as_channels(
            replace(first.excerpt, roi=(0, 0, 16, 16)), (first.pipeline, second.pipeline), "left-right"
        )
    assert not list(tmp_path.iterdir())


def test_a_transform_of_another_kind_than_was_said_is_refused(recording: Recording, tmp_path: Path):
    given = GivenTransform(mirrored(), "t.yaml", mirrored=False)
    with pytest.raises(InputError, match="says that the second channel is mirrored"):
        localize_channels(recording.inputs(), given, ListFile(tmp_path / "both.hdf5"))


def test_lists_of_an_earlier_run_are_not_taken_for_those_of_this_one(
    written: Path, recording: Recording, tmp_path: Path
):
    out = tmp_path / "both.hdf5"
    for name in ("both.hdf5", "both.first.hdf5", "both.second.hdf5"):
        shutil.copy(written.with_name(name), tmp_path / name)

    class Never(Recorder):
        """Stops at once."""

        @property
        def stopped(self) -> bool:
            return True

    made = localize_channels(
        recording.inputs(), GivenTransform(mirrored()), ListFile(out, overwrite=True), watch=Never()
    )
    assert not made.complete
    assert not any(tmp_path.glob("both.first.hdf5")) and not any(tmp_path.glob("both.second*"))
    shutil.copy(written.with_name("both.first.hdf5"), tmp_path / "both.first.hdf5")
    part = [replace(one, excerpt=replace(one.excerpt, frames=(0, 5))) for one in recording.inputs()]
    with pytest.raises(InputError, match="is a list of frames"):
        localize_channels(
            (part[0], part[1]), GivenTransform(mirrored()), ListFile(out, resume=True, overwrite=True)
        )


@pytest.fixture
def told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is told also of work that takes less than half a second."""
    monkeypatch.setattr("deepstorm3d.localizing.watching._REPORT_S", 0.0)


class InThirdPass(Recorder):
    """Stops when both channels are localized alone and some frames in both."""

    @property
    def stopped(self) -> bool:
        return bool(self.steps) and 3 * self.steps[-1][0] > 2 * self.steps[-1][1]


def other_threshold(channel: ChannelInput) -> ChannelInput:
    localizer = copy.copy(channel.pipeline.localizer)
    localizer.threshold = 0.25
    return replace(channel, pipeline=replace(channel.pipeline, localizer=localizer))


def other_camera(channel: ChannelInput) -> ChannelInput:
    camera = channel.pipeline.camera.with_(saturation=4000.0)
    return replace(channel, pipeline=replace(channel.pipeline, camera=camera))


OTHERWISE: dict[str, Callable[[ChannelInput], ChannelInput]] = {
    "threshold": other_threshold,
    "camera.saturation": other_camera,
    "roi": lambda one: replace(one, excerpt=replace(one.excerpt, roi=(0, 0, 40, 40))),
    "prepared.subtract": lambda one: replace(
        one, excerpt=replace(one.excerpt, prepared=Prepared(subtract="median"))
    ),
    "defects": lambda one: replace(one, excerpt=replace(one.excerpt, defects="none")),
    "model_sha256": lambda one: replace(one, pipeline=replace(one.pipeline, model_sha256=64 * "b")),
    "experiment.seed": lambda one: replace(
        one, pipeline=replace(one.pipeline, experiment=one.pipeline.experiment.with_(seed=9))
    ),
}


@pytest.mark.parametrize("setting", OTHERWISE)
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("ending", [".hdf5", ".csv"])
def test_a_run_goes_on_with_no_list_that_was_made_otherwise(
    written: Path, recording: Recording, tmp_path: Path, setting: str, number: int, ending: str
):
    for name in ("first", "second"):
        shutil.copy(written.with_name(f"both.{name}.hdf5"), tmp_path)
    changed = list(recording.inputs())
    changed[number] = OTHERWISE[setting](changed[number])
    out = ListFile(tmp_path / f"both{ending}", resume=True)
    told = "first" if number == 0 else "second"
    with pytest.raises(InputError, match=rf"both\.{told}\.hdf5 was begun with other settings: {setting}"):
        localize_channels((changed[0], changed[1]), GivenTransform(mirrored()), out)


@pytest.mark.usefixtures("told_at_once")
def test_a_csv_of_both_channels_goes_on_to_the_same_rows(written: Path, recording: Recording, tmp_path: Path):
    out = tmp_path / "both.csv"
    given = GivenTransform(mirrored())
    assert not localize_channels(recording.inputs(), given, ListFile(out), watch=InThirdPass()).complete
    assert localize_channels(recording.inputs(), given, ListFile(out, resume=True)).complete
    one, other = read_list(written)[0], read_list(out)[0]
    torch.testing.assert_close(one.xyz, other.xyz, atol=1e-6, rtol=0)


def test_lists_of_each_channel_are_not_replaced_unasked(written: Path, recording: Recording, tmp_path: Path):
    shutil.copy(written.with_name("both.second.hdf5"), tmp_path)
    with pytest.raises(InputError, match=r"both\.second\.hdf5 exists"):
        localize_channels(recording.inputs(), GivenTransform(mirrored()), ListFile(tmp_path / "both.hdf5"))
    assert [path.name for path in tmp_path.iterdir()] == ["both.second.hdf5"]


def test_a_dark_channel_is_told(recording: Recording) -> None:
    dark = np.random.default_rng(0).poisson(6.0, recording.counts[1].shape).astype(np.uint16)
    with pytest.raises(InputError, match=r"no transform can be found: .* shows no molecule"):
        ds.localize_channels(recording.counts[0], dark, recording.models, method="pursuit")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = ds.localize_channels(
            recording.counts[0], dark, recording.models, method="pursuit", transform=recording.transform
        )
    assert any("shows no molecule, the other channel" in str(one.message) for one in told)
    assert found.share is not None and float(found.share.max()) < 0.1


def test_the_command(written: Path, recording: Recording, tmp_path: Path) -> None:
    names = []
    for number, model in enumerate(recording.models):
        names += ["--model", str(tmp_path / f"{number}.pt")]
        save_model_file(model.file, tmp_path / f"{number}.pt")
    out = tmp_path / "found.hdf5"
    movies = list(map(str, recording.paths))
    options = ["--method", "pursuit", "--transform", str(recording.transform), "--out", str(out)]
    done = CliRunner().invoke(app, ["localize", *movies, *names, *options])
    assert done.exit_code == 0, done.output
    assert "seen in both channels" in " ".join(done.output.split())
    assert len(read_list(out)[0]) == len(read_list(written)[0])


def test_blocks_of_channels_side_by_side_are_read_one_after_the_other(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both channels may be halves of one movie, whose file no two threads may read at a time."""
    given: dict[str, Any] = {"method": "pursuit", "transform": recording.transform}
    alone = ds.localize_channels(*recording.counts, recording.models, **given)
    before, reading, places = OpenExcerpt.read, threading.Lock(), list[int]()

    def read(self: OpenExcerpt, begin: int, end: int) -> Any:
        assert reading.acquire(blocking=False), "two threads read"
        try:
            time.sleep(0.01)
            places.append(begin)
            return before(self, begin, end)
        finally:
            reading.release()

    monkeypatch.setattr(OpenExcerpt, "read", read)
    monkeypatch.setattr(over_channels, "block_frames", lambda *_, **__: 1)
    monkeypatch.setattr(over_channels, "blocks_at_once", lambda *_: 3)
    found = ds.localize_channels(*recording.counts, recording.models, **given)
    assert len(places) > 3
    assert torch.equal(found.frame, alone.frame)
    torch.testing.assert_close(found.xyz, alone.xyz, rtol=0, atol=1e-5)
