"""config --camera: data sheets to start from, named in the file; nothing is invented where they are silent."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deepstorm3d.camera import EmccdCamera, ScmosCamera
from deepstorm3d.cli import app
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.camera_sheets import CAMERA_SHEETS, camera_sheet
from deepstorm3d.experiment.configure import configure_experiment
from deepstorm3d.experiment.files import read_experiment
from deepstorm3d.spec import spec_from_mapping


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["config", *(str(word) for word in words)])


@pytest.mark.parametrize("name", CAMERA_SHEETS)
def test_every_sheet_is_a_camera_and_its_figures_agree_with_each_other(name: str):
    sheet = CAMERA_SHEETS[name]
    kind = EmccdCamera if sheet.kind == "emccd" else ScmosCamera
    camera = spec_from_mapping(kind, sheet.camera)
    assert camera.saturation == 2**sheet.bits - 1
    if sheet.electrons_per_count is not None:
        # A full pixel just fits into the counts: a conversion turned upside down would not.
        assert 0.8 < sheet.full_well / (sheet.electrons_per_count * camera.saturation) < 1.1
        assert float(camera.gain) * sheet.electrons_per_count == pytest.approx(1, rel=1e-3)
    assert "data sheet" in sheet.remarks() and sheet.source in sheet.remarks()


def test_the_file_names_camera_and_source(tmp_path: Path):
    out = tmp_path / "e.yaml"
    done = call("--preset", "quickstart", "--camera", "orca-flash4-v3", "--out", out)
    assert done.exit_code == 0, done.stderr
    camera = read_experiment(out).camera
    assert camera == ScmosCamera(baseline=100, gain=2.174, read_noise=1.6)
    head = out.read_text(encoding="utf-8").split("\n\n")[0]
    assert "# Camera: Hamamatsu ORCA-Flash4.0 V3 (standard scan)." in head
    assert "to start from: Hamamatsu data sheet, C13440-20CU" in head
    assert read_experiment(out).microscope.camera_pitch == 11.0
    assert "camera's pixels are 6.5 µm" in " ".join(done.stderr.split())


def test_the_pitch_comes_along_where_it_is_asked_for(tmp_path: Path):
    out = tmp_path / "e.yaml"
    done = call("--preset", "storm", "--camera", "orca-quest", "--with-pitch", "--out", out)
    assert done.exit_code == 0, done.stderr
    assert read_experiment(out).microscope.camera_pitch == 4.6
    told = " ".join(done.stderr.split())
    assert "camera_pitch is" not in told and "has no background" in told
    assert "give --camera too" in call("--preset", "storm", "--with-pitch", "--out", tmp_path / "o.yaml").stderr


def test_what_a_data_sheet_does_not_say_is_asked_for(tmp_path: Path):
    sheet, out = camera_sheet("prime-95b"), tmp_path / "e.yaml"
    with pytest.raises(InputError, match=r"does not say gain, .*`camera\.gain=\.\.\.`"):
        configure_experiment("quickstart", out, camera=sheet)
    assert not out.exists()
    made = configure_experiment("quickstart", out, camera=sheet, assignments=["camera.gain=1.2"])
    assert made.camera == ScmosCamera(baseline=100, gain=1.2, read_noise=1.6)
    with pytest.raises(InputError, match="does not say em_gain, gain, baseline"):
        configure_experiment("quickstart", tmp_path / "o.yaml", camera=camera_sheet("ixon-ultra-897"))


def test_the_list_is_shown_and_an_unknown_name_refused(tmp_path: Path):
    shown = call("--camera", "list")
    assert shown.exit_code == 0
    assert all(name in shown.stdout for name in ("orca-fusion-bt", "zyla-4.2", "ixon-ultra-888"))
    wrong = call("--preset", "quickstart", "--camera", "orca", "--out", tmp_path / "e.yaml")
    assert "orca-flash4-v3" in wrong.stderr
