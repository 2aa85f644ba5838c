"""The network's list alone of two planes of focus: its places unchanged, light of linear fits in both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import deepstorm3d as ds
from channel_recording import ChannelRecording
from deepstorm3d.analysis.matching import match
from deepstorm3d.channels import ChannelPair, Transform
from deepstorm3d.cli import app
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.field import Field
from deepstorm3d.io.tables import read_list
from deepstorm3d.io.transforms import write_transform
from deepstorm3d.localizing.pipeline import Pipeline
from planes_recording import FRAMES, PIXEL, SIZE, PlanesRecording, Proposals

pytestmark = pytest.mark.filterwarnings("ignore::deepstorm3d.errors.DoubtfulResult")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> PlanesRecording:
    return PlanesRecording(tmp_path_factory.mktemp("planes"))


def proposed(monkeypatch: pytest.MonkeyPatch, made: Any) -> None:
    monkeypatch.setattr(Pipeline, "propose", lambda self, frames: made(frames))


def test_light_at_the_true_places_is_the_true_light_within_its_sigma(
    recording: PlanesRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Proposals(recording, missing=0, false=0, off_um=0.0)
    proposed(monkeypatch, made)
    found = ds.localize_channels(*recording.counts, recording.model, method="proposals")
    assert torch.equal(found.xyz, made.rows.select(made.rows.frame.argsort(stable=True)).xyz)
    assert found.sigma_source == "crlb" and found.share is not None and found.sigma_share is not None
    pairs = match(recording.truth, found, tolerance_um=0.01, axial_um=0.01)
    assert len(pairs) == len(recording.truth)
    rows, true = found.select(pairs.found_index), recording.truth.photons[pairs.truth_index]
    # The places are given, so the light is known better than its bound for unknown places says.
    assert rows.share is not None and rows.sigma_share is not None
    for error in ((rows.photons - true) / rows.sigma_photons, (rows.share - 0.5) / rows.sigma_share):
        assert 0.1 < float(error.square().median()) < 0.9, float(error.square().median())
        assert abs(float(error.median())) < 0.35
    refined = ds.localize_channels(*recording.counts, recording.model)
    again = match(recording.truth, refined, tolerance_um=0.25, axial_um=0.5)
    where = torch.full((len(recording.truth),), -1)
    where[again.truth_index] = again.found_index
    both = where[pairs.truth_index] >= 0
    one, other = rows.select(both), refined.select(where[pairs.truth_index][both])
    # That of the fit also knows the neighbours, of which the median molecule has hardly any, and the channels'
    # shares of the light, which tells depth.
    ratio = (one.sigma_xyz / other.sigma_xyz).median(0).values
    assert bool(((ratio > 0.75) & (ratio < 1.3)).all()), ratio
    assert float((one.background / other.background).median()) == pytest.approx(1.0, abs=0.05)


def test_a_place_that_the_second_channel_does_not_show_has_the_light_of_the_first_alone(
    recording: PlanesRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed(monkeypatch, Proposals(recording, missing=0, false=0, off_um=0.0))
    half = SIZE[1] // 2
    far = recording.counts[1][:, :, :half]
    whole = ds.localize_channels(*recording.counts, recording.model, method="proposals")
    found = ds.localize_channels(recording.counts[0], far, recording.model, method="proposals")
    assert found.sigma_share is not None and found.share is not None and whole.share is not None
    beyond = found.xyz[:, 0] > (half + 2) * PIXEL
    assert bool(beyond.any()) and not bool(beyond.all())
    assert bool((found.sigma_share[beyond] == 0).all()) and bool((found.share[beyond] < 0.2).all())
    assert bool((found.sigma_xyz[beyond] >= 0.999 * whole.sigma_xyz[beyond]).all())
    assert bool((found.sigma_share[found.xyz[:, 0] < (half - 4) * PIXEL] > 0).all())


def test_frames_without_proposals(recording: PlanesRecording, monkeypatch: pytest.MonkeyPatch) -> None:
    proposed(monkeypatch, lambda frames: Localizations.empty())
    assert len(ds.localize_channels(*recording.counts, recording.model, method="proposals")) == 0
    first, second = (ds.Excerpt(counts, frames=(0, 1)) for counts in recording.counts)
    found = ds.localize_channels(first, second, recording.model)
    assert len(found) >= 0.5 * int((recording.truth.frame == 0).sum())


def test_the_command_writes_the_same_and_tells_how_the_list_was_made(
    recording: PlanesRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed(monkeypatch, Proposals(recording))
    monkeypatch.setattr("deepstorm3d.localizing.over_channels.block_frames", lambda *_, **__: 5)
    memory = ds.localize_channels(*recording.counts, recording.model, method="proposals")
    for name in ("found.hdf5", "found.csv"):
        out = tmp_path / name
        command = ["localize", *map(str, recording.paths), "--model", str(recording.file), "--no-refine"]
        done = CliRunner().invoke(app, [*command, "--out", str(out)])
        assert done.exit_code == 0, done.output
        found, header = read_list(out)
        assert len(found) == len(memory) and found.sigma_source == "crlb"
        assert torch.allclose(found.xyz, memory.xyz, atol=1e-4)
        assert torch.allclose(found.photons, memory.photons, rtol=1e-3, atol=0.1)
        if name.endswith("hdf5"):
            assert header.provenance["refined"] is False and header.provenance["method"] == "network"
    assert int(memory.frame.max()) == FRAMES - 1


def test_two_models_without_the_fit_are_refused_with_the_reason(
    recording: PlanesRecording, tmp_path: Path
) -> None:
    single = ChannelRecording(tmp_path)
    why = "which rows of the two lists are one molecule is decided by the joint fit"
    with pytest.raises(InputError, match=why):
        ds.localize_channels(*single.counts, single.models, method="proposals")
    command = ["localize", *map(str, single.movies), *single.options(), "--no-refine"]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "found.hdf5")])
    said = " ".join(done.output.split())
    assert done.exit_code == 2 and why in said and "--no-refine" in said
    assert not list(tmp_path.glob("found*"))


def test_another_transform_moves_where_the_light_is_measured(
    recording: PlanesRecording, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proposed(monkeypatch, Proposals(recording, missing=0, false=0, off_um=0.0))
    field = Field(*SIZE, PIXEL)
    away = ChannelPair(Transform.affine(torch.eye(2), torch.tensor([1.0, 0.8])), (0.0, 0.0), (field, field))
    write_transform(tmp_path / "t.yaml", away)
    right = ds.localize_channels(*recording.counts, recording.model, method="proposals")
    wrong = ds.localize_channels(
        *recording.counts, recording.model, transform=tmp_path / "t.yaml", method="proposals"
    )
    assert right.share is not None and wrong.share is not None
    assert float(wrong.share.median()) < 0.7 * float(right.share.median())
    assert np.isclose(float(right.share.median()), 0.5, atol=0.03)
