"""Experiments: complete, commented files that come back as they were; presets; masks known by their hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from deepstorm3d.errors import InputError
from deepstorm3d.experiment.configure import find_experiment
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import read_experiment, write_experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import PRESETS, preset
from deepstorm3d.io.masks import mask_sha256
from deepstorm3d.kinds import Kinds
from deepstorm3d.optics.masks import AstigmaticMask, FileMask, VortexMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.psf_spec import PSFSpec
from deepstorm3d.simulation.priors import Scene
from deepstorm3d.spec import Spec, spec_from_mapping, to_yaml


@pytest.fixture
def phase() -> Tensor:
    size = Microscope().mask_px
    return torch.rand(size, size, generator=torch.Generator().manual_seed(0)) * 6 - 3


@pytest.fixture
def mask_file(tmp_path: Path, phase: Tensor) -> Path:
    np.save(tmp_path / "mask.npy", phase.numpy())
    return tmp_path / "mask.npy"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_comes_back_from_yaml_and_from_its_file(name: str, tmp_path: Path) -> None:
    experiment = preset(name)
    assert experiment.name == name
    assert spec_from_mapping(Experiment, yaml.safe_load(to_yaml(experiment))) == experiment
    assert spec_from_mapping(Experiment, experiment.to_mapping()) == experiment
    write_experiment(experiment, tmp_path / "experiment.yaml")
    assert read_experiment(tmp_path / "experiment.yaml") == experiment


@pytest.mark.parametrize("name", PRESETS)
def test_the_file_holds_every_key_with_its_unit_and_meaning(name: str, tmp_path: Path) -> None:
    write_experiment(preset(name), tmp_path / "experiment.yaml")
    text = (tmp_path / "experiment.yaml").read_text(encoding="utf-8")
    assert text.startswith("# An experiment of deepstorm3d")
    keys = [line for line in text.splitlines() if ":" in line and not line.startswith("#")]
    silent = [line.split(":")[0].strip() for line in keys if "#" not in line]
    # A name that the user chose (a scene, a channel) and the name of a kind explain themselves.
    assert set(silent) <= {"kind", *preset(name).scenes, *preset(name).channels}
    for comment in ("# µm: emission wavelength in vacuum", "# px: height and width of a simulated frame"):
        assert comment in text


def test_presets_are_the_published_set_ups() -> None:
    storm, telomeres = preset("storm"), preset("telomeres")
    assert storm.microscope.wavelength == 0.67 and storm.microscope.focus == 1.5
    assert storm.z_um == (0.0, 4.0) and telomeres.z_um == (2.0, 6.0)
    assert storm.microscope.image_period_px == pytest.approx(203, abs=0.05)
    assert telomeres.microscope.image_period_px == pytest.approx(329.5, abs=0.1)
    assert telomeres.microscope.pixel_um == pytest.approx(0.11)
    assert telomeres.frame_px == (121, 121)
    assert storm.scene().emitters.min_photons == 6000
    assert telomeres.blur_px == (0.75, 1.25)
    assert preset("psf-learning").microscope.focus == 2.5
    assert preset("quickstart").z_um == (0.0, 1.2)


def test_an_unknown_preset_is_told_what_may_be_meant_or_what_there_is() -> None:
    with pytest.raises(InputError, match=r"no preset 'Stom'; did you mean 'storm'\?"):
        preset("Stom")
    with pytest.raises(InputError, match=r"no preset 'x'; there are: quickstart, astigmatic, storm"):
        preset("x")


def test_assignments_change_values_when_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    write_experiment(preset("telomeres"), path)
    changed = read_experiment(
        path, ["training.steps=7", "microscope.n_sample=1.36", "scenes.nucleus.emitters.count.high=9"]
    )
    assert changed.training.steps == 7
    assert changed.microscope.n_sample == 1.36
    assert changed.scene("nucleus").emitters.count.model_dump()["high"] == 9
    with pytest.raises(InputError, match="there is no 'microscop'"):
        read_experiment(path, ["microscop.na=1.4"])


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("training.stpes=5", ["training.stpes", "did you mean 'steps'"]),
        ("microscope.na=3", ["microscope.na", "less than 2", "given: 3"]),
        ("microscope.na=1.6", ["microscope", "na 1.6 must be below n_immersion 1.518"]),
        ("mask.strenght=1", ["mask.strenght", "did you mean 'strength'"]),
        ("mask.strength=9", ["mask.strength", "less than or equal to 3"]),
        ("mask.kind=tetrapot", ["mask", "'tetrapod'"]),
        ("psf.patch_px=60", ["psf.patch_px must be odd, got 60"]),
        ("frame_px=[8, 8]", ["frame_px (8, 8) is smaller than 16 px"]),
        ("scenes={}", ["scenes is empty"]),
        ("format_version=3", ["format_version is 3", "reads up to 2"]),
        ("scenes.nucleus.emitters.z_um=[6, 2]", ["scenes.nucleus.emitters", "lower first"]),
        ("scenes.nucleus.background.peak=bright", ["scenes.nucleus.background.peak"]),
    ],
)
def test_a_wrong_value_is_told_with_file_key_and_range(
    tmp_path: Path, assignment: str, told: list[str]
) -> None:
    path = tmp_path / "my.yaml"
    write_experiment(preset("telomeres"), path)
    with pytest.raises(InputError) as error:
        read_experiment(path, [assignment])
    message = str(error.value)
    assert "my.yaml" in message
    assert [part for part in told if part not in message] == []
    assert "super_gaussian." not in message and "tetrapod." not in message  # pydantic's steps, not the file's


@pytest.mark.parametrize(
    ("contents", "message"),
    [("", "has no keys"), ("- 1\n- 2\n", "has no keys"), ("a: [1\nb: 2", "not YAML"), ("\xff\x00", "not YAML")],
)
def test_a_file_that_is_no_experiment_is_refused(tmp_path: Path, contents: str, message: str) -> None:
    (tmp_path / "my.yaml").write_bytes(contents.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        read_experiment(tmp_path / "my.yaml")


def test_a_missing_file_and_an_impossible_place_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the experiment file .*none\.yaml"):
        read_experiment(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot write"):
        write_experiment(preset("storm"), tmp_path / "missing" / "my.yaml")


def test_ranges_of_depth_and_blur_cover_all_scenes() -> None:
    one = Scene().emitters.with_(z_um=(1.0, 3.0), blur_px=(0.9, 1.3))
    other = Scene().emitters.with_(z_um=(2.0, 5.0), blur_px=None)
    experiment = Experiment(scenes={"one": Scene(emitters=one), "other": Scene(emitters=other)})
    assert experiment.z_um == (1.0, 5.0)
    assert experiment.blur_px == (0.9, 1.3)
    assert experiment.with_(psf=experiment.psf.with_(blur_px=0.5)).blur_px == (0.5, 1.3)


def test_a_scene_is_found_by_name_or_is_the_first() -> None:
    experiment = preset("tetrapod")
    assert experiment.scene() == experiment.scenes["bright"]
    assert experiment.scene("nucleus") == experiment.scenes["nucleus"]
    with pytest.raises(InputError, match=r"no scene 'dark'.*bright, nucleus"):
        experiment.scene("dark")


def test_a_mask_file_is_read_and_looked_for_beside_the_experiment(mask_file: Path, phase: Tensor) -> None:
    path = mask_file.parent / "experiment.yaml"
    write_experiment(Experiment(mask=FileMask(path="mask.npy", sha256=mask_sha256(phase))), path)
    mask = experiment_mask(read_experiment(path))
    assert torch.allclose(mask(), phase)


def test_a_mask_known_by_its_hash_alone_is_asked_for_and_checked(phase: Tensor) -> None:
    experiment = Experiment(name="mine", mask=FileMask(sha256=mask_sha256(phase)))
    with pytest.raises(InputError, match="give its file"):
        experiment_mask(experiment)
    assert torch.equal(experiment_mask(experiment, phase=phase)(), phase)
    with pytest.raises(InputError, match=rf"not the mask of .*'mine'.*expected {mask_sha256(phase)[:12]}"):
        experiment_mask(experiment, phase=phase.flip(0))


def test_a_mask_file_that_was_changed_since_is_refused(mask_file: Path, phase: Tensor) -> None:
    experiment = Experiment(mask=FileMask(path=str(mask_file), sha256=mask_sha256(phase)))
    np.save(mask_file, (phase + 0.1).numpy())
    with pytest.raises(InputError, match="SHA-256"):
        experiment_mask(experiment)


def test_masks_with_a_formula_need_no_file() -> None:
    mask = experiment_mask(Experiment(mask=AstigmaticMask(strength=1.0)))
    assert mask().shape == (Microscope().mask_px,) * 2
    assert mask().abs().max() > 1


def kinds_of(annotation: object) -> dict[str, list[str]]:
    """Path of every section that comes in several kinds, and the kinds: of a record or a union of records."""
    found: dict[str, list[str]] = {}
    for record in [annotation] if isinstance(annotation, type) else get_args(annotation):
        if not (isinstance(record, type) and issubclass(record, Spec)):
            continue
        for name, field in record.model_fields.items():
            below = field.annotation
            if name == "scenes":
                name, below = "scenes.main", Scene
            growing = [each for each in field.metadata if isinstance(each, Kinds)]
            records = list(growing[0]) if growing else get_args(below)
            choices = [each for each in records if isinstance(each, type) and issubclass(each, Spec)]
            kinds = [each.model_fields["kind"].default for each in choices if "kind" in each.model_fields]
            if len(kinds) > 1:
                found[name] = kinds
            found |= {f"{name}.{path}": kinds for path, kinds in kinds_of(below).items()}
    return found


def test_another_kind_starts_from_its_defaults_wherever_there_are_kinds(tmp_path: Path) -> None:
    sections = kinds_of(Experiment)
    assert {"mask", "camera", "network", "scenes.main.background"} < set(sections)
    write_experiment(preset("quickstart"), tmp_path / "e.yaml")
    for path, kinds in sections.items():
        for kind in kinds:
            changed: Any = read_experiment(tmp_path / "e.yaml", [f"{path}.kind={kind}"])
            for name in path.split("."):
                changed = changed[name] if isinstance(changed, dict) else getattr(changed, name)
            assert changed.kind == kind
            assert changed == _expected(path, type(changed)), path


def _expected(path: str, kind: type) -> Any:
    """The preset's own section where its kind is named again, else the other kind's defaults.

    Kinds of PSF share keys of one meaning, which keep their values.
    """
    section: Any = preset("quickstart")
    for name in path.split("."):
        section = section[name] if isinstance(section, dict) else getattr(section, name)
    if type(section) is kind:
        return section
    return section.to_kind(kind) if isinstance(section, PSFSpec) else kind()


@pytest.mark.parametrize(
    "words", [("mask.kind=vortex", "mask.charge=2"), ("mask.charge=2", "mask.kind=vortex")]
)
def test_keys_beside_another_kind_are_of_that_kind_in_any_order(words: tuple[str, str], tmp_path: Path) -> None:
    write_experiment(preset("quickstart"), tmp_path / "e.yaml")
    assert read_experiment(tmp_path / "e.yaml", words).mask == VortexMask(charge=2)
    assert find_experiment("quickstart", words).mask == VortexMask(charge=2)
    with pytest.raises(InputError, match=r"mask\.strength: no such key"):
        find_experiment("quickstart", [*words, "mask.strength=1"])


def test_the_same_kind_named_again_changes_nothing() -> None:
    plain = find_experiment("quickstart", ["mask.strength=0.3"])
    assert find_experiment("quickstart", ["mask.strength=0.3", f"mask.kind={plain.mask.kind}"]) == plain
