"""Experiments, models and assignments of earlier versions: they mean today what they meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from deepstorm3d.errors import InputError
from deepstorm3d.experiment.configure import find_experiment
from deepstorm3d.experiment.earlier import FORMAT_VERSION, with_key_of_today
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import read_experiment, write_experiment
from deepstorm3d.experiment.optics import psf_source
from deepstorm3d.experiment.presets import PRESETS, preset
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.catalogue import find_model
from deepstorm3d.localizing.pipeline import experiment_of
from deepstorm3d.optics.field_aberrations import FieldSpec
from deepstorm3d.optics.measured import MeasuredPSFSpec
from deepstorm3d.optics.psf_spec import PSFSpec
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.optics.vectorial import VectorialPSFSpec
from deepstorm3d.training.state import refuse_another, settings

STORED = Path(__file__).parents[1] / "stored"
MODELS = Path(__file__).parents[2] / "benchmarks" / "models"
# What the files in `stored` were written for, by the program as it was at format version 1.
PSFS: dict[str, PSFSpec] = {
    "scalar": ScalarPSFSpec(
        patch_px=31,
        apodized=True,
        aberrations={5: 0.1, 11: -0.2},
        field=FieldSpec(rises={7: (0.3, -0.1)}),
        transmission={4: -0.2},
    ),
    "vectorial": VectorialPSFSpec(
        pupil_oversampling=2, dipole=(45.0, 30.0), polarizer="x", supercritical=False
    ),
    "measured": MeasuredPSFSpec(patch_px=27, blur_px=0.9, path="psf.tif", sha256="ab" * 32),
}


def stored(kind: str) -> dict[str, Any]:
    return yaml.safe_load((STORED / f"experiment-1-{kind}.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", PSFS)
def test_a_stored_experiment_loads_unchanged_and_is_written_in_the_form_of_today(kind: str, tmp_path: Path):
    experiment = read_experiment(STORED / f"experiment-1-{kind}.yaml")
    assert experiment.psf == PSFS[kind]
    assert experiment.format_version == FORMAT_VERSION == 2
    old, new = stored(kind), experiment.to_mapping()
    assert old["format_version"] == 1 and "model" in old["psf"]
    as_json = yaml.safe_load(yaml.safe_dump({name: new[name] for name in new}))
    for scene in as_json["scenes"].values():
        # Not yet a key then: every frame had molecules of its own.
        assert scene["emitters"].pop("blinking") == {"kind": "none"}
        assert scene.pop("steady_background") is True
    # Nor this: a network saw the frame only.
    assert as_json["network"].pop("context") == 0
    # Every experiment had one channel.
    assert as_json.pop("channels") == {} and as_json.pop("dyes") == {}
    # Every mask learned, by the network's loss alone.
    assert as_json["design"].pop("hold") == [] and as_json["design"].pop("bound_weight") == 0
    assert {name for name in as_json if as_json[name] != old[name]} == {"format_version", "psf"}
    write_experiment(experiment, tmp_path / "new.yaml")
    text = (tmp_path / "new.yaml").read_text(encoding="utf-8")
    assert f"  kind: {kind}\n" in text and "model:" not in text and "format_version: 2" in text
    assert read_experiment(tmp_path / "new.yaml") == experiment


@pytest.mark.parametrize(("blinking", "steady"), [("exponential", False), ("none", True)])
def test_a_movie_of_an_earlier_experiment_keeps_the_background_of_each_frame(blinking: str, steady: bool):
    """Before the key a movie of molecules that last had another background in every frame."""
    mapping = preset("quickstart").to_mapping()
    for scene in mapping["scenes"].values():
        scene["emitters"]["blinking"] = {"kind": blinking}
        assert scene.pop("steady_background") is True
    scenes = Experiment.model_validate(mapping).scenes.values()
    assert all(scene.steady_background is steady for scene in scenes)


def test_keys_that_had_no_effect_are_gone_and_a_psf_without_a_name_is_scalar():
    aside = {
        "model": "scalar",
        "vectorial": {"polarizer": "y"},
        "measured": {"path": "psf.tif"},
        "patch_px": 21,
    }
    assert Experiment.model_validate({"psf": aside}).psf == ScalarPSFSpec(patch_px=21)
    assert Experiment.model_validate({"psf": {"patch_px": 61, "apodized": True}}).psf == ScalarPSFSpec(
        patch_px=61, apodized=True
    )
    assert Experiment.model_validate({"psf": {"vectorial": {"polarizer": "y"}}}).psf == ScalarPSFSpec()
    turned = {"model": "vectorial", "apodized": True}
    assert Experiment.model_validate({"psf": turned}).psf == VectorialPSFSpec()


def test_aberrations_beside_measured_planes_are_refused_as_ever():
    with pytest.raises(ValueError, match="aberrations"):
        Experiment.model_validate({"psf": {"model": "measured", "aberrations": {5: 0.1}}})


def test_a_file_of_a_newer_version_is_refused_with_what_to_do(tmp_path: Path):
    path = tmp_path / "new.yaml"
    write_experiment(preset("quickstart"), path)
    newer = path.read_text(encoding="utf-8").replace("format_version: 2", "format_version: 3")
    path.write_text(newer, encoding="utf-8")
    with pytest.raises(InputError, match=r"new.yaml: format_version is 3, .* up to 2: install a newer"):
        read_experiment(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("psf.model=vectorial", "psf.kind=vectorial"),
        ("psf.vectorial.polarizer=x", "psf.polarizer=x"),
        (" psf.measured.path = psf.tif", "psf.path= psf.tif"),
        ("psf.patch_px=31", "psf.patch_px=31"),
        ("name=psf.model=1", "name=psf.model=1"),
    ],
)
def test_an_assignment_to_a_key_of_old_is_one_to_the_key_of_today(old: str, new: str):
    assert with_key_of_today(old) == new


def test_assignments_of_old_and_of_today_give_the_same_psf():
    old = find_experiment("telomeres", ["psf.model=vectorial", "psf.vectorial.polarizer=x", "psf.blur_px=1.2"])
    new = find_experiment("telomeres", ["psf.blur_px=1.2", "psf.polarizer=x", "psf.kind=vectorial"])
    assert old == new
    # What both kinds have in common keeps its value.
    assert new.psf == preset("telomeres").psf.to_kind(VectorialPSFSpec, polarizer="x", blur_px=1.2)
    file = STORED / "experiment-1-vectorial.yaml"
    assert read_experiment(file, ["psf.kind=scalar"]).psf == PSFS["vectorial"].to_kind(ScalarPSFSpec)


def test_models_of_old_hold_the_experiments_they_were_trained_for():
    files = [MODELS / name / "model.pt" for name in ("storm", "telomeres-learned")]
    for model in [find_model("tetrapod"), *(load_model_file(path) for path in files if path.exists())]:
        assert model.experiment["format_version"] == 1
        experiment = experiment_of(model)
        assert isinstance(experiment.psf, ScalarPSFSpec)
        psf, mapping = experiment.psf, model.experiment["psf"]
        for name in ("patch_px", "blur_px", "pupil_oversampling"):
            assert getattr(psf, name) == mapping[name]
        assert experiment.mask.to_mapping() == model.experiment["mask"]
    built_in = find_model("tetrapod")
    source = psf_source(experiment_of(built_in), phase=built_in.mask)
    assert torch.isfinite(source().detach()).all()


@pytest.mark.parametrize("kind", PSFS)
def test_a_training_begun_before_can_be_resumed_and_another_experiment_cannot(kind: str, tmp_path: Path):
    experiment = read_experiment(STORED / f"experiment-1-{kind}.yaml")
    begun = settings(experiment.training, stored(kind))
    refuse_another(begun, experiment.training, experiment.to_mapping(), tmp_path)
    other = experiment.with_(psf=experiment.psf.with_(patch_px=21))
    with pytest.raises(InputError, match=r"other settings \(psf\)"):
        refuse_another(begun, experiment.training, other.to_mapping(), tmp_path)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_of_the_version_of_today(name: str):
    assert preset(name).to_mapping()["format_version"] == FORMAT_VERSION
