"""The report of a list of two channels: frames of both, shares, dyes with what they claim, and molecules."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from channel_recording import PIXEL, SIZE, ChannelRecording, turned
from deepstorm3d.cli import app
from deepstorm3d.emitters import Localizations
from deepstorm3d.io.movies.preparation import Prepared
from deepstorm3d.io.tables import TableHeader, read_list, write_list
from deepstorm3d.io.tables.dye_names import dye_names
from deepstorm3d.io.transforms import mapping_of
from deepstorm3d.jobs.channel_inputs import second_movie
from deepstorm3d.jobs.report import Overlays, SecondChannel, write_report
from deepstorm3d.jobs.report.overlays import overlay_section
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.camera_change import change_camera
from deepstorm3d.localizing.excerpt import Excerpt

pytestmark = pytest.mark.usefixtures("coarse_pictures")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> ChannelRecording:
    return ChannelRecording(tmp_path_factory.mktemp("channels"))


def write(path: Path, table: Localizations, recording: ChannelRecording, **more: object) -> Path:
    """As `localize` and `dyes` write a list of two channels."""
    setups = [recording.setup.of_channel(number).to_mapping() for number in range(2)]
    made = {"movie": "A.npy", "channels": ["A.npy", "B.npy"], "experiments": setups, **more}
    write_list(path, table, TableHeader(PIXEL, 2, SIZE, made))
    return path


def test_shares_and_set_ups_of_both_channels_are_told(recording: ChannelRecording, tmp_path: Path) -> None:
    source = write(tmp_path / "both.hdf5", recording.found, recording)
    titles = write_report(source, tmp_path / "r.html", resolution=False)
    assert "Channels" in titles and "Dyes" not in titles and "Molecules over their frames" not in titles
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "10 of 10 rows have a share" in page
    assert "Microscope, channel 1" in page and "Microscope, channel 2" in page


def test_dyes_are_listed_with_what_they_claim(recording: ChannelRecording, tmp_path: Path) -> None:
    dye = torch.tensor([1, 1, 1, 1, 1, 1, 2, 2, 2, 0])
    sure = torch.tensor([0.9] * 6 + [0.7] * 3 + [0.6])
    table = replace(recording.found, dye=dye, dye_probability=sure)
    step = {"step": "dyes", "dyes": {"red": 0.28, "far red": 0.62}, "scatter": [0.011, 0.022]}
    source = write(tmp_path / "dyes.hdf5", table, recording, steps=[step])
    assert "Dyes" in write_report(source, tmp_path / "r.html", resolution=False)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    for words in ("far red", "0.620", "0.022", "10.00 %", "30.00 %", "none, or in doubt"):
        assert words in page, words
    # Six of 0.1 and three of 0.3.
    assert "16.67 % are expected to be wrong" in page


def test_dyes_told_apart_in_one_channel_are_listed_by_their_names(
    recording: ChannelRecording, tmp_path: Path
) -> None:
    """As `dyes --model` writes its list, filtered afterwards."""
    dye, sure = torch.tensor([1] * 6 + [2] * 3 + [0]), torch.tensor([0.9] * 6 + [0.7] * 3 + [0.6])
    table = replace(recording.found, share=None, sigma_share=None, dye=dye, dye_probability=sure)
    made = {"movie": "A.npy", "dyes": ["orange", "dark red"], "steps": [{"step": "filter"}]}
    write_list(tmp_path / "one.hdf5", table, TableHeader(PIXEL, 2, SIZE, made))
    assert dye_names(read_list(tmp_path / "one.hdf5")[1]) == ["orange", "dark red"]
    titles = write_report(tmp_path / "one.hdf5", tmp_path / "r.html", resolution=False)
    assert "Dyes" in titles and "Channels" not in titles
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    for words in ("dark red", "10.00 %", "30.00 %", "16.67 % are expected", "as far as the PSFs of the dyes"):
        assert words in page, words
    assert "scatter beyond" not in page


def test_molecules_over_their_frames_are_counted(recording: ChannelRecording, tmp_path: Path) -> None:
    table = replace(recording.found, molecule=torch.tensor([0, 1, 2, 3, 4, 0, 1, 2, 5, 6]))
    source = write(tmp_path / "over.hdf5", table, recording)
    assert "Molecules over their frames" in write_report(source, tmp_path / "r.html", resolution=False)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "7 molecules in 10 rows, 1.43 frames each on average; 4 were found in one frame only" in page


def test_the_command_draws_both_channels(recording: ChannelRecording, tmp_path: Path) -> None:
    source, out = write(tmp_path / "both.hdf5", recording.found, recording), tmp_path / "r.html"
    movies = [word for path in recording.movies for word in ("--movie", str(path))]
    options = [*movies, *recording.options(), "--frames", "1", "--no-resolution", "--out", str(out)]
    wrong = CliRunner().invoke(app, ["report", str(source), *options, "--split", "left-right"])
    assert wrong.exit_code != 0 and "--split is for one movie" in " ".join(wrong.output.split())
    done = CliRunner().invoke(app, ["report", str(source), *options, "--transform", str(recording.transform)])
    assert done.exit_code == 0, done.output
    page = out.read_text(encoding="utf-8")
    assert "A.npy: 5 localizations" in page and "B.npy: 5 localizations" in page
    assert "of the molecules&#39; light (in the list: 30.0%)" in page


def test_frames_are_read_as_the_list_records_it_of_each_channel(
    recording: ChannelRecording, tmp_path: Path
) -> None:
    """Stored as mirrored, with other baselines than the models', and given a dye."""
    movies, cameras = [tmp_path / name for name in ("A.npy", "B.npy")], []
    for number, path in enumerate(movies):
        level = 50 * (number + 1)
        np.save(path, recording.counts[number][:, :, ::-1] + level)
        before = recording.setup.of_channel(number).camera
        cameras.append(change_camera(before, {"kind": "scmos", "baseline": level}).to_mapping())
    flipped = Prepared(flip="horizontal").to_mapping()
    more = {"prepared": [flipped] * 2, "cameras": cameras, "transform": mapping_of(turned())}
    made = {**more, "steps": [{"step": "dyes"}]}
    source = write(tmp_path / "dyed.hdf5", recording.found, recording, **made)
    first, second = map(load_model_file, recording.model_files)
    overlays = Overlays(movies[0], first, count=1, second=SecondChannel(movies[1], second))
    section = overlay_section(*read_list(source), overlays, source)
    told = re.findall(r"deviance ([0-9.]+) per pixel", section.figures[0].caption)
    assert len(told) == 2 and all(0.85 < float(value) < 1.15 for value in told), told


def test_the_pixel_that_is_said_of_the_first_movie_is_not_the_seconds(recording: ChannelRecording) -> None:
    pipeline = recording.models[1].pipeline(refine=False)
    experiment = pipeline.experiment
    coarse = experiment.with_(microscope=experiment.microscope.with_(camera_pitch=16.0))
    first = Excerpt(recording.movies[0], pixel_um=PIXEL)
    second = second_movie(first, recording.movies[1], replace(pipeline, experiment=coarse))
    assert second.excerpt.pixel_um == coarse.microscope.pixel_um != PIXEL
    as_stored = second_movie(replace(first, pixel_um=None), recording.movies[1], pipeline)
    assert as_stored.excerpt.pixel_um is None
