"""Localize two planes of focus with one model: candidates of both at once, and input that does not fit."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import deepstorm3d as ds
from deepstorm3d.analysis.matching import match
from deepstorm3d.channels import ChannelPair, Transform
from deepstorm3d.cli import app
from deepstorm3d.errors import DoubtfulResult, InputError
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.field import Field
from deepstorm3d.io.movies.preparation import Prepared
from deepstorm3d.io.tables import read_list
from deepstorm3d.io.transforms import read_transform, write_transform
from deepstorm3d.jobs.channel_inputs import GivenTransform, both_pipelines
from deepstorm3d.jobs.channels_record import prepared_of, recorded_transform
from deepstorm3d.jobs.localize import ListFile
from deepstorm3d.jobs.localize_together import localize_together
from deepstorm3d.localizing.model import Model
from deepstorm3d.localizing.pipeline import Pipeline
from factories import untrained_model
from planes_recording import FRAMES, MIDDLE_UM, PIXEL, SIZE, TURNED, PlanesRecording, Proposals
from watchers import Recorder


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> PlanesRecording:
    return PlanesRecording(tmp_path_factory.mktemp("planes"))


@pytest.fixture
def proposals(recording: PlanesRecording, monkeypatch: pytest.MonkeyPatch) -> Proposals:
    made = Proposals(recording)
    monkeypatch.setattr(Pipeline, "propose", lambda self, frames: made(frames))
    return made


def test_both_signs_of_depth_are_found_and_errors_are_those_of_sigma(
    recording: PlanesRecording, proposals: Proposals, tmp_path: Path
) -> None:
    made = recording.localize(tmp_path / "both.hdf5")
    assert made.complete and made.frames == FRAMES and not made.warnings, made.warnings
    found, header = read_list(tmp_path / "both.hdf5")
    told = header.provenance
    assert told["channels"] == ["near.npy", "far.npy"] and told["method"] == "network"
    assert len(told["threshold"]) == len(told["cameras"]) == 2
    assert prepared_of(told) == [Prepared(), Prepared()]
    assert not list(tmp_path.glob("both.first*"))
    kept = read_transform(tmp_path / "both.transform.yaml")
    assert torch.allclose(kept.transform.matrix, TURNED.matrix, atol=1e-6)
    truth = recording.truth
    pairs = match(truth, found, tolerance_um=0.25, axial_um=0.5)
    # Three molecules were not proposed and six places without any were.
    assert len(pairs) >= len(truth) - 2 and len(found) <= len(pairs) + 2
    rows, true = found.select(pairs.found_index), truth.xyz[pairs.truth_index]
    error = (rows.xyz - true) / rows.sigma_xyz
    # The median square of 70 unit normals is 0.455 with a scatter of 0.1.
    assert bool((error.square().median(0).values < 0.95).all()), error.square().median(0).values
    assert bool((error.square().median(0).values > 0.18).all())
    for side in (true[:, 2] < MIDDLE_UM - 0.2, true[:, 2] > MIDDLE_UM + 0.2):
        assert int(side.sum()) > 10
        assert float((rows.xyz - true)[side, 2].abs().median()) < 0.05
    assert rows.share is not None and rows.sigma_share is not None
    assert float(((rows.share - 0.5) / rows.sigma_share).square().median()) < 1.0
    assert made.alone == () and made.filled >= 1 and made.removed >= 4


def test_shares_are_known_where_the_experiment_says_so(
    recording: PlanesRecording, proposals: Proposals, tmp_path: Path
) -> None:
    recording.localize(tmp_path / "known.hdf5")
    experiment = recording.experiment
    far = experiment.channels["far"].with_(light_known=False)
    assert experiment.known_shares == (0.5, 0.5)
    free = experiment.with_(channels={"far": far})
    assert free.known_shares is None
    model = Model(untrained_model(free, 0.5), device="cpu")
    other = ds.localize_channels(*recording.counts, model)
    known, _ = read_list(tmp_path / "known.hdf5")
    assert abs(len(known) - len(other)) <= 3
    assert float(known.sigma_xyz[:, 2].median()) < 0.95 * float(other.sigma_xyz[:, 2].median())
    # The same model, told otherwise.
    for made, wanted in (
        (recording.model.with_light_known(False), other),
        (model.with_light_known(True), known),
    ):
        told = ds.localize_channels(*recording.counts, made)
        torch.testing.assert_close(told.xyz, wanted.xyz, rtol=0, atol=1e-6)
    command = ["localize", *map(str, recording.paths), "--model", str(recording.file), "--light-free"]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "free.hdf5")])
    assert done.exit_code == 0, done.output
    rows, header = read_list(tmp_path / "free.hdf5")
    torch.testing.assert_close(rows.xyz, other.xyz, rtol=0, atol=1e-6)
    assert header.provenance["experiments"][0]["channels"]["far"]["light_known"] is False
    alone = Model(untrained_model(experiment.of_channel(0), 0.5), device="cpu")
    with pytest.raises(InputError, match="is of one channel, and knows no shares"):
        alone.with_light_known(True)
    done = CliRunner().invoke(app, [command[0], command[1], *command[3:], "--out", str(tmp_path / "one.hdf5")])
    assert done.exit_code == 2 and "--light-free is for two channels" in " ".join(done.output.split())


def test_the_network_sees_the_second_channel_on_the_first_ones_pixels(
    recording: PlanesRecording, proposals: Proposals, tmp_path: Path
) -> None:
    recording.localize(tmp_path / "both.hdf5")
    (seen,) = proposals.shown
    assert seen.shape == (FRAMES, 2, *SIZE)
    # What both planes show of one frame is more alike than the second one as its own camera has it.
    first, warped = seen.flatten(2).double().unbind(1)
    recorded = torch.from_numpy(recording.counts[1].astype(np.float64)).flatten(1)
    for one, there, camera in zip(first, warped, recorded, strict=True):
        alike, before = (float(torch.corrcoef(torch.stack([one, each]))[0, 1]) for each in (there, camera))
        assert alike > before + 0.1


def test_a_run_that_was_stopped_goes_on_to_the_same_list(
    recording: PlanesRecording, proposals: Proposals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepstorm3d.localizing.over_channels.block_frames", lambda *_, **__: 4)
    recording.localize(tmp_path / "whole.hdf5")
    monkeypatch.setattr("deepstorm3d.localizing.over_channels.blocks_at_once", lambda *_: 1)
    monkeypatch.setattr("deepstorm3d.localizing.watching._REPORT_S", 0.0)

    class Late(Recorder):
        """Stops in the second block."""

        @property
        def stopped(self) -> bool:
            return bool(self.steps) and self.steps[-1][0] > 4

    out = tmp_path / "both.hdf5"
    stopped = recording.localize(out, watch=Late())
    assert not stopped.complete and not out.exists()
    unfitted = ["--model", str(recording.file), "--out", str(out), "--no-refine", "--resume"]
    refused = CliRunner().invoke(app, ["localize", *map(str, recording.paths), *unfitted])
    assert refused.exit_code == 2 and "refined was True, now False" in " ".join(refused.output.split())
    together = both_pipelines([(recording.model.pipeline(), recording.model.file)]).together
    assert together is not None
    again = localize_together(recording.both(), together, GivenTransform(), ListFile(out, resume=True))
    assert again.complete and again.earlier == 4 and again.frames == FRAMES - 4 and again.earlier_rows > 0
    one, other = read_list(tmp_path / "whole.hdf5")[0], read_list(out)[0]
    for name, column in one.columns().items():
        assert torch.equal(column, other.columns()[name]), name


def test_in_memory_and_as_halves_of_one_camera(
    recording: PlanesRecording, proposals: Proposals, tmp_path: Path
) -> None:
    recording.localize(tmp_path / "both.hdf5")
    written, _ = read_list(tmp_path / "both.hdf5")
    found = ds.localize_channels(*recording.counts, recording.model)
    assert torch.allclose(found.xyz, written.xyz, atol=1e-5) and found.share is not None
    halves = ds.localize_channels(np.concatenate(recording.counts, axis=1), "top-bottom", recording.model)
    assert len(halves) == len(found) and float((halves.xyz - found.xyz).abs().max()) < 0.002


def test_another_threshold_in_memory(recording: PlanesRecording) -> None:
    loose = recording.model.at_threshold(0.125)
    assert loose.pipeline().localizer.threshold == 0.125
    assert recording.model.pipeline().localizer.threshold != 0.125
    with pytest.raises(InputError, match="a probability, 0 to 1, not 2"):
        recording.model.at_threshold(2.0)


def shifted(off: float) -> ChannelPair:
    """A transform that puts the images of the far plane that many µm too far along x."""
    away = TURNED.then(Transform.affine(torch.eye(2), torch.tensor([off, 0.0])))
    return ChannelPair(away, (0.0, 0.001), (Field(*SIZE, PIXEL), Field(*SIZE, PIXEL)))


def test_a_wrong_transform_is_told_by_how_far_the_second_channels_images_lie_from_it(
    recording: PlanesRecording, proposals: Proposals, tmp_path: Path
) -> None:
    made = recording.localize(tmp_path / "off.hdf5", GivenTransform(shifted(0.06), "t.yaml"))
    (told,) = [text for text in made.warnings if "do not lie at one place in both channels" in text]
    shift, sigma = made.mismatch.shift_um
    # 60 nm in the second channel's µm, turned back by 2°; to first order.
    assert float(shift[0]) == pytest.approx(-0.059, abs=0.015) and abs(float(shift[1])) < 0.015
    assert float(sigma.max()) < 0.02 and f"x {1000 * float(shift[0]):+.0f}" in told
    right = recording.localize(tmp_path / "right.hdf5", GivenTransform(shifted(0.0), "t.yaml"))
    assert not right.warnings and bool((right.mismatch.shift_um[0].abs() < 0.02).all())
    assert sum(right.misfit) < sum(made.misfit)


def test_a_transform_that_does_not_fit_the_model_is_refused_or_told(
    recording: PlanesRecording, proposals: Proposals, tmp_path: Path
) -> None:
    fields = (Field(*SIZE, PIXEL), Field(*SIZE, PIXEL))
    identity = torch.eye(2)

    def pair(matrix: Tensor, by: tuple[float, float], depth: float = 0.0) -> ChannelPair:
        return ChannelPair(Transform.affine(matrix, torch.tensor(by)), (depth, 0.0), fields)

    coarse = replace(shifted(0.0), fields=(Field(*SIZE, 0.16), Field(*SIZE, PIXEL)))
    out = tmp_path / "both.hdf5"
    for given, said in (
        (GivenTransform(coarse, "t.yaml"), "t.yaml was found with pixels of 160 nm in the first channel"),
        (GivenTransform(pair(identity, (50.0, 0.0)), "t.yaml"), "to places outside of the second one's frame"),
        (GivenTransform(mirrored=True), "says that the second channel is not mirrored"),
    ):
        with pytest.raises(InputError, match=said):
            recording.localize(out, given)
    assert not list(tmp_path.iterdir())
    mirror = pair(torch.diag(torch.tensor([-1.0, 1.0])), (4.7, 0.0), depth=0.3)
    told = " ".join(recording.localize(out, GivenTransform(mirror, "t.yaml")).warnings)
    assert "turned, mirrored or magnified against that of the training" in told
    assert "seem +300 nm deeper in the second channel than in the training" in told


def test_a_dark_channel_is_told(recording: PlanesRecording, proposals: Proposals) -> None:
    dark = np.random.default_rng(0).poisson(50.0, recording.counts[1].shape).astype(np.uint16)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ds.localize_channels(recording.counts[0], dark, recording.model)
    texts = [str(one.message) for one in told if issubclass(one.category, DoubtfulResult)]
    assert any("the second channel has" in text and "trained for 50 %" in text for text in texts), texts


def test_wrong_numbers_of_movies_models_and_frames(recording: PlanesRecording, tmp_path: Path) -> None:
    near, far = recording.counts
    with pytest.raises(InputError, match="sees 2 channels at the same time, these are frames of one"):
        recording.model.localize(near)
    with pytest.raises(InputError, match=r"has 12 frames, .* has 9: channels of one recording"):
        ds.localize_channels(near, far[:9], recording.model)
    alone = Model(untrained_model(recording.experiment.of_channel(0), 0.5), device="cpu")
    with pytest.raises(InputError, match=r"sees 2 channels at the same time \(first, far\)"):
        ds.localize_channels(near, far, (alone, recording.model))
    with pytest.raises(InputError, match="two models, or one for both, not 3"):
        ds.localize_channels(near, far, (alone, alone, alone))
    third = recording.experiment.with_(
        channels={"far": recording.experiment.channels["far"].with_(light=0.3), "back": Channel(light=0.3)}
    )
    with pytest.raises(InputError, match=r"has 3 channels \(first, far, back\), two are localized together"):
        ds.localize_channels(near, far, Model(untrained_model(third, 0.5), device="cpu"))


def test_the_command(recording: PlanesRecording, proposals: Proposals, tmp_path: Path) -> None:
    near, far = map(str, recording.paths)
    out = tmp_path / "found.hdf5"
    end = ["--model", str(recording.file), "--out", str(out)]
    run = CliRunner()
    done = run.invoke(app, ["localize", near, far, *end])
    assert done.exit_code == 0, done.output
    assert "seen in both channels" in " ".join(done.output.split())
    assert len(read_list(out)[0]) > 0.9 * len(recording.truth)
    transform = tmp_path / "t.yaml"
    write_transform(transform, shifted(0.0))
    again = run.invoke(app, ["localize", near, far, *end, "--transform", str(transform), "--overwrite"])
    assert again.exit_code == 0, again.output
    # The file of the first run is not left beside the list of the second.
    made = read_list(out)[1].provenance
    assert read_transform(tmp_path / "found.transform.yaml").depth == (0.0, 0.001)
    assert recorded_transform(made).depth == (0.0, 0.001)  # pyright: ignore[reportOptionalMemberAccess]
    third = run.invoke(app, ["localize", near, far, near, *end])
    assert third.exit_code == 2 and "unexpected extra argument" in third.output.lower()
    single = run.invoke(app, ["localize", near, *end, "--overwrite"])
    assert single.exit_code == 2 and "give the movies of both channels" in " ".join(single.output.split())
