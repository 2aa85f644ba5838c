"""Two planes of focus and molecules that last: `localize A B --over-frames`, stopped or not, and in memory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import deepstorm3d as ds
from deepstorm3d.analysis.matching import match
from deepstorm3d.chip import Region
from deepstorm3d.cli import app
from deepstorm3d.emitters import Localizations
from deepstorm3d.field import Field
from deepstorm3d.fitting.sites import tiles
from deepstorm3d.fitting.sites.channels_over_frames import ChannelsOverFrames
from deepstorm3d.io.tables import read_list, read_table
from deepstorm3d.jobs.channel_inputs import GivenTransform, both_pipelines
from deepstorm3d.jobs.localize import ListFile
from deepstorm3d.jobs.localize_together import localize_together
from deepstorm3d.localizing import over_frames
from deepstorm3d.localizing.pipeline import Pipeline
from deepstorm3d.simulation.counts import FixedCount
from deepstorm3d.simulation.lifetimes import ExponentialBlinking
from deepstorm3d.simulation.photons import FixedPhotons
from planes_recording import PlanesRecording, Proposals
from watchers import Recorder


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> PlanesRecording:
    return PlanesRecording(
        tmp_path_factory.mktemp("lasting"),
        None,
        count=FixedCount(count=2),
        photons=FixedPhotons(photons=16_000.0),
        blinking=ExponentialBlinking(mean_frames=4.0),
    )


@pytest.fixture(autouse=True)
def proposals(recording: PlanesRecording, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short windows, and the true places in place of the network."""
    made = Proposals(recording, missing=0, false=0)
    monkeypatch.setattr(Pipeline, "propose", lambda self, frames: made(frames))
    monkeypatch.setattr(over_frames, "WINDOW_FRAMES", 5)


def rms_um(recording: PlanesRecording, found: Localizations) -> float:
    pairs = match(recording.truth, found, tolerance_um=0.25, axial_um=0.5)
    assert len(pairs) > 0.8 * len(recording.truth)
    off = found.xyz[pairs.found_index] - recording.truth.xyz[pairs.truth_index]
    return float(off.square().mean().sqrt())


def test_the_command_gives_a_molecule_one_position_however_it_was_stopped(
    recording: PlanesRecording, tmp_path: Path
) -> None:
    command = ["localize", *map(str, recording.paths), "--model", str(recording.file)]
    for name, more in (
        ("frames.hdf5", ["--separate"]),
        ("whole.hdf5", ["--over-frames"]),
        ("whole.csv", []),
    ):
        done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / name), *more])
        assert done.exit_code == 0, done.output
    single, (whole, header) = read_table(tmp_path / "frames.hdf5"), read_list(tmp_path / "whole.hdf5")
    assert header.provenance["over_frames"]["fitted"] is True and "transform" in header.provenance
    alone = read_list(tmp_path / "frames.hdf5")[1].provenance["over_frames"]
    assert alone == {"fitted": False, "reason": "single frames, as asked", "lasting": None}
    assert single.molecule is None and whole.molecule is not None and whole.share is not None
    assert len(whole.molecule.unique()) < 0.7 * len(whole)
    for number in whole.molecule.unique():
        rows = whole.select(whole.molecule == number)
        assert bool((rows.xyz == rows.xyz[0]).all()) and len(rows.frame.unique()) == len(rows)
    assert rms_um(recording, whole) < 0.8 * rms_um(recording, single)
    assert float(whole.sigma_xyz.mean()) < 0.8 * float(single.sigma_xyz.mean())
    assert torch.allclose(read_table(tmp_path / "whole.csv").xyz, whole.xyz, atol=2e-4)

    class Late(Recorder):
        """Stops in the second window of the second pass."""

        @property
        def stopped(self) -> bool:
            return bool(self.steps) and self.steps[-1][2] == "over frames" and self.steps[-1][0] >= 5

    together = both_pipelines([(recording.model.pipeline(), recording.model.file)]).together
    assert together is not None
    out = tmp_path / "again.hdf5"
    channels = recording.both()
    stopped = localize_together(
        channels, together, GivenTransform(), ListFile(out), over_frames=True, watch=Late()
    )
    assert not stopped.complete and not out.exists()
    # A run that begins anew leaves nothing of that second pass, which `resume` would take for its own.
    anew = tmp_path / "anew.hdf5"
    for path in tmp_path.glob("again.*"):
        shutil.copy(path, tmp_path / path.name.replace("again", "anew"))
    localize_together(
        channels, together, GivenTransform(), ListFile(anew, overwrite=True), watch=Recorder(stop_at=0)
    )
    assert any(tmp_path.glob("again.part.molecules.*")) and not any(tmp_path.glob("anew.part.molecules.*"))
    done = CliRunner().invoke(app, [*command, "--out", str(out), "--over-frames", "--resume"])
    assert done.exit_code == 0, done.output
    again = read_table(out)
    for name, column in whole.columns().items():
        assert torch.equal(column, again.columns()[name]), name
    memory = ds.channels_over_frames(tmp_path / "frames.hdf5", *recording.counts, recording.model)
    assert memory.molecule is not None and len(memory) == len(whole)
    assert float((memory.xyz - whole.xyz).abs().max()) < 1e-4


def test_without_the_joint_fit_there_is_none_over_frames(recording: PlanesRecording, tmp_path: Path) -> None:
    command = ["localize", *map(str, recording.paths), "--model", str(recording.file), "--no-refine"]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "f.hdf5"), "--over-frames"])
    assert done.exit_code == 2 and "needs the joint fit of each frame" in " ".join(done.output.split())
    assert not list(tmp_path.iterdir())


def test_a_field_in_tiles_has_the_molecules_of_the_whole(
    recording: PlanesRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, model = recording.counts, recording.model
    single = ds.localize_channels(*counts, model.with_over_frames(False))
    assert single.molecule is None
    with pytest.raises(ds.InputError, match="give both the same"):
        ds.localize_channels(*counts, [model, model.with_over_frames(False)])
    whole = ds.channels_over_frames(single, *counts, model)
    # By itself too, where the list shows that molecules last.
    torch.testing.assert_close(ds.localize_channels(*counts, model).xyz, whole.xyz, rtol=0, atol=1e-5)
    monkeypatch.setattr(tiles, "_MOST_SITES", 1)
    monkeypatch.setattr(tiles, "_SHORTEST_PX", 22)
    regions = list[Region]()
    of_region = ChannelsOverFrames.tile

    def told(self: ChannelsOverFrames, field: Field, region: Region, *more: Any) -> Any:
        regions.append(region)
        return of_region(self, field, region, *more)

    monkeypatch.setattr(ChannelsOverFrames, "tile", told)
    found = ds.channels_over_frames(single, *counts, model)
    assert len(set(regions)) >= 2
    assert found.molecule is not None and whole.molecule is not None and found.share is not None
    assert torch.equal(found.frame, whole.frame)
    assert len(found.molecule.unique()) == len(whole.molecule.unique())
    far = torch.cdist(whole.xyz, found.xyz) + 1e3 * (whole.frame[:, None] != found.frame)
    assert float(((found.xyz[far.argmin(1)] - whole.xyz) / whole.sigma_xyz).abs().max()) < 0.5
