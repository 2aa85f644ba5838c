"""Regenerate in two channels: the true list explains both frames, a wrong transform only the first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import deepstorm3d as ds
from channel_recording import PIXEL, SHARE, SIZE, ChannelRecording, turned
from deepstorm3d.channels import Transform
from deepstorm3d.cli import app
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import TableHeader, write_list, write_table
from deepstorm3d.io.transforms import mapping_of, write_transform
from deepstorm3d.jobs.regenerate_channels import transform_beside
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.model import Model
from factories import untrained_model

pytestmark = pytest.mark.usefixtures("coarse_pictures")

FRAME = 1


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> ChannelRecording:
    return ChannelRecording(tmp_path_factory.mktemp("channels"))


def test_the_true_list_explains_both_channels_and_their_shares(recording: ChannelRecording) -> None:
    made = ds.regenerate_channels(
        recording.found, *recording.counts, recording.models, recording.transform, frame=FRAME
    )
    for frame in made.frames:
        assert 0.9 < frame.report.deviance_per_pixel < 1.1
        # Nothing but noise is left, in units of the noise.
        assert float(frame.residual.std()) == pytest.approx(1.0, abs=0.06)
    assert made.shares[1] == pytest.approx(SHARE, abs=0.02)
    assert made.listed == pytest.approx(SHARE)
    assert "of the molecules' light (in the list: 30.0%)" in str(made)
    figure = ds.plot.channel_overlays(made.frames)
    panels = [axes for axes in figure.axes if axes.images]
    shown = [np.asarray(axes.images[0].get_array()) for axes in panels]
    assert {image.shape for image in shown} == {SIZE} and len(shown) == 6
    assert any(np.allclose(image, made.frames[1].photons.numpy()) for image in shown)


def test_the_same_from_the_halves_of_one_camera(recording: ChannelRecording) -> None:
    whole = np.concatenate(recording.counts, axis=2)
    halves = ds.regenerate_channels(
        recording.found, whole, "left-right", recording.models, turned(), frame=FRAME
    )
    two = ds.regenerate_channels(recording.found, *recording.counts, recording.models, turned(), frame=FRAME)
    for one, other in zip(halves.frames, two.frames, strict=True):
        assert one.report.deviance_per_pixel == pytest.approx(other.report.deviance_per_pixel, abs=1e-6)
        assert one.report.localizations == other.report.localizations
    assert [frame.name.rsplit(",")[-1] for frame in halves.frames] == [" channel 1", " channel 2"]


def test_a_wrong_transform_leaves_the_second_channel_unexplained(recording: ChannelRecording) -> None:
    wrong = replace(turned(), transform=Transform.affine(torch.eye(2), torch.tensor([0.5, 0.5])))
    made = ds.regenerate_channels(recording.found, *recording.counts, recording.models, wrong, frame=FRAME)
    first, second = (frame.report.deviance_per_pixel for frame in made.frames)
    assert first < 1.1 and second > 1.3
    assert [name for name, _ in made.assessments] == [made.frames[1].name]


def test_one_model_of_both_channels_knows_the_transform(recording: ChannelRecording) -> None:
    model = Model(untrained_model(recording.setup, 0.5), device="cpu")
    made = ds.regenerate_channels(recording.found, *recording.counts, model, frame=FRAME)
    two = ds.regenerate_channels(recording.found, *recording.counts, recording.models, turned(), frame=FRAME)
    for one, other in zip(made.frames, two.frames, strict=True):
        assert one.report.deviance_per_pixel == pytest.approx(other.report.deviance_per_pixel, abs=1e-3)
    with pytest.raises(InputError, match="do not say where the second channel shows"):
        ds.regenerate_channels(recording.found, *recording.counts, recording.models, frame=FRAME)


def test_one_channel_in_python_is_what_the_command_draws(recording: ChannelRecording) -> None:
    made = ds.regenerate(recording.found, recording.counts[0], recording.models[0], frame=FRAME)
    assert 0.9 < made.report.deviance_per_pixel < 1.1
    of_frame = int((recording.found.frame == FRAME).sum())
    assert made.report.localizations == of_frame == len(made.light)


def test_the_command_takes_the_transform_beside_the_list(recording: ChannelRecording, tmp_path: Path) -> None:
    locs, out = tmp_path / "both.hdf5", tmp_path / "both.png"
    write_table(locs, recording.found, pixel_um=PIXEL, frames=2, shape=SIZE)
    movies = list(map(str, recording.movies))
    command = ["regenerate", str(locs), *movies, *recording.options(), "--frame", str(FRAME), "--out", str(out)]
    without = CliRunner().invoke(app, command)
    told = " ".join(without.output.split())
    assert without.exit_code != 0 and "no both.transform.yaml" in told and "--transform" in told
    write_transform(tmp_path / "both.transform.yaml", turned())
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    assert "A.npy: 5 localizations" in told and "in the list: 30.0%" in told
    assert out.stat().st_size > 0


def test_a_given_transform_goes_before_the_one_beside(recording: ChannelRecording, tmp_path: Path) -> None:
    write_transform(tmp_path / "a.transform.yaml", replace(turned(), depth=(0.2, 0.01)))
    header = TableHeader(PIXEL, 2, SIZE)
    assert transform_beside(tmp_path / "a.hdf5", None, header).depth[0] == pytest.approx(0.2)
    assert transform_beside(tmp_path / "a.hdf5", recording.transform, header).depth[0] == pytest.approx(0.05)
    # What the list records goes before a file beside it, which may be of an earlier run.
    recorded = replace(header, provenance={"transform": mapping_of(turned())})
    assert transform_beside(tmp_path / "a.hdf5", None, recorded).depth[0] == pytest.approx(0.05)
    with pytest.raises(InputError, match=r"no b\.transform\.yaml"):
        transform_beside(tmp_path / "b.hdf5", None, header)


def test_the_transform_that_the_file_of_a_list_records_is_taken(
    recording: ChannelRecording, tmp_path: Path
) -> None:
    locs = tmp_path / "both.hdf5"
    write_list(locs, recording.found, TableHeader(PIXEL, 2, SIZE, {"transform": mapping_of(turned())}))
    made = ds.regenerate_channels(locs, *recording.counts, recording.models, frame=FRAME)
    assert made.frames[1].report.deviance_per_pixel < 1.1


def test_a_region_is_explained_by_the_rows_inside_it(recording: ChannelRecording) -> None:
    box = (6, 4, 44, 38)
    first, second = (Excerpt(counts, roi=box) for counts in recording.counts)
    made = ds.regenerate_channels(recording.found, first, second, recording.models, turned(), frame=FRAME)
    for frame in made.frames:
        assert frame.photons.shape == (34, 38) and frame.report.deviance_per_pixel < 1.15
