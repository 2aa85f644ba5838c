"""Models by name: found, described, and their experiment and mask written as files that train again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from deepstorm3d.errors import InputError
from deepstorm3d.experiment.configure import configure_experiment, find_experiment
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import read_experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.io.masks import mask_sha256, read_mask, write_mask
from deepstorm3d.localizer.modelfile import ModelFile, save_model_file
from deepstorm3d.localizing import catalogue as models
from deepstorm3d.localizing.known_models import known_by_hash, known_models
from deepstorm3d.optics.masks import DoubleHelixMask, FileMask
from deepstorm3d.optics.measured import MeasuredPSFSpec

ROOT = Path(__file__).parents[2]
CARD = {"date": "2026-11-23", "hardware": "two cores", "validation": {"jaccard": 0.9, "rmse_lateral_nm": 20.0}}


def save(path: Path, experiment: Experiment, mask: torch.Tensor | None = None) -> None:
    save_model_file(ModelFile(experiment.to_mapping(), {}, 0.4, mask, CARD), path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with one built-in model, `tiny`."""
    built_in = tmp_path / "models"
    built_in.mkdir()
    save(built_in / "tiny.pt", preset("quickstart"))
    monkeypatch.setattr(models, "MODELS_FOLDER", built_in)
    return built_in


def test_a_card_says_what_the_model_is_for(folder: Path):
    (card,) = models.list_models()
    assert (card.name, card.psf, card.z_um, card.pixel_nm) == ("tiny", "astigmatic mask", (0.0, 1.2), 110.0)
    assert card.scenes[0] == models.SceneCard("main", "0.05 to 1 per µm²", "5000", "20 per px")
    assert card.figures["jaccard"] == 0.9
    assert card.threshold == 0.4


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        (preset("tetrapod"), "tetrapod mask"),
        (preset("biplane"), "no mask, 2 channels"),
        (preset("tetrapod").with_(mask=DoubleHelixMask()), "double helix mask"),
        (preset("tetrapod").with_(mask=FileMask(path="mine.npy")), "mask of a file"),
        (preset("quickstart").with_(psf=MeasuredPSFSpec(path="mine.tif")), "measured PSF"),
    ],
)
def test_what_makes_the_image_is_told_in_words(experiment: Experiment, words: str) -> None:
    assert experiment.describe_optics() == words


def test_a_card_names_its_file_by_its_hash(folder: Path):
    digest = hashlib.sha256((folder / "tiny.pt").read_bytes()).hexdigest()
    assert models.list_models()[0].sha256 == digest


def test_known_models_are_those_of_the_repository_to_the_last_byte():
    files = {path.parent.name: path for path in (ROOT / "benchmarks" / "models").glob("*/model.pt")}
    assert {each.name for each in known_models()} == set(files)
    for known in known_models():
        path = files[known.name]
        card = models.describe_model(models.find_model(path))
        assert (known.file, known.size) == (path.relative_to(ROOT).as_posix(), path.stat().st_size)
        assert known_by_hash(card.sha256) == known
        assert (known.pixel_nm, known.z_um) == (card.pixel_nm, card.z_um)
        assert known.jaccard == pytest.approx(card.figures["jaccard"], abs=5e-4)
    assert known_by_hash("ab" * 32) is None


def test_a_known_model_that_is_not_here_is_named_with_its_file_and_hash():
    (storm,) = (each for each in known_models() if each.name == "storm")
    with pytest.raises(InputError, match=rf"not in the package.*{storm.file}.*{storm.sha256}"):
        models.find_model("storm")


def test_every_preset_can_be_described():
    for name in ("storm", "telomeres", "density-study", "psf-learning", "tetrapod"):
        card = models.describe_model(ModelFile(preset(name).to_mapping(), {}, 0.5, None, {}))
        assert card.scenes
        assert all(text for scene in card.scenes for text in (scene.emitters, scene.photons, scene.background))


def test_a_model_is_found_by_name_and_by_path(folder: Path, tmp_path: Path):
    assert models.find_model("tiny").threshold == 0.4
    assert models.find_model(folder / "tiny.pt").threshold == 0.4
    with pytest.raises(InputError, match=r"no model 'tinny'.*did you mean 'tiny'"):
        models.find_model("tinny")


def test_an_exported_model_is_an_experiment_and_its_mask(folder: Path, tmp_path: Path):
    written = models.export_model("tiny", tmp_path / "out")
    assert [path.name for path in written] == ["experiment.yaml", "mask.npy", "card.json"]
    assert read_experiment(tmp_path / "out" / "experiment.yaml") == preset("quickstart")
    phase = experiment_mask(preset("quickstart"))()
    assert torch.allclose(torch.from_numpy(read_mask(tmp_path / "out" / "mask.npy")), phase.double(), atol=1e-6)
    assert json.loads((tmp_path / "out" / "card.json").read_text(encoding="utf-8")) == CARD
    with pytest.raises(InputError, match="overwrite=True"):
        models.export_model("tiny", tmp_path / "out")


def test_a_mask_from_a_file_comes_out_as_a_file_that_the_experiment_finds(folder: Path, tmp_path: Path):
    phase = torch.rand(61, 61, generator=torch.Generator().manual_seed(0))
    mask = FileMask(path="", sha256=mask_sha256(phase))
    save(folder / "own.pt", preset("quickstart").with_(mask=mask), phase)
    models.export_model("own", tmp_path / "out")
    again = read_experiment(tmp_path / "out" / "experiment.yaml")
    assert torch.equal(experiment_mask(again)(), phase)


def test_a_model_that_knows_only_the_hash_of_its_mask_exports_the_rest(folder: Path, tmp_path: Path):
    save(folder / "own.pt", preset("quickstart").with_(mask=FileMask(path="", sha256="ab" * 32)))
    written = models.export_model("own", tmp_path / "out")
    assert [path.name for path in written] == ["experiment.yaml", "card.json"]


def test_an_own_mask_is_named_by_its_path_and_hash_in_the_experiment(tmp_path: Path):
    phase = torch.rand(127, 127, generator=torch.Generator().manual_seed(0)).numpy()
    write_mask(tmp_path / "mine.npy", phase)
    out = tmp_path / "e.yaml"
    configure_experiment("quickstart", out, mask=tmp_path / "mine.npy", assignments=["training.steps=7"])
    experiment = find_experiment(str(out), ["seed=3"])
    assert isinstance(experiment.mask, FileMask)
    assert experiment.mask.sha256 == mask_sha256(phase)
    assert (experiment.training.steps, experiment.seed) == (7, 3)
    assert "path: mine.npy" in out.read_text(encoding="utf-8")  # relative: the folder can be moved
    (tmp_path / "moved").mkdir()
    for name in ("mine.npy", "e.yaml"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    moved = find_experiment(str(tmp_path / "moved" / "e.yaml"))
    assert torch.equal(experiment_mask(moved)(), torch.from_numpy(phase))


def test_a_mask_that_does_not_cover_the_pupil_is_refused_with_the_size_it_needs(tmp_path: Path):
    write_mask(tmp_path / "small.npy", torch.zeros(31, 31).numpy())
    with pytest.raises(InputError, match=r"mask is 31x31 px, but light reaches .* px of 30 µm"):
        configure_experiment("quickstart", tmp_path / "e.yaml", mask=tmp_path / "small.npy")
    assert not (tmp_path / "e.yaml").exists()


def test_a_patch_that_would_fold_into_itself_is_refused_before_any_training(tmp_path: Path):
    with pytest.raises(InputError, match="patch"):
        configure_experiment("quickstart", tmp_path / "e.yaml", assignments=["psf.patch_px=151"])
    assert not (tmp_path / "e.yaml").exists()


def test_an_experiment_is_a_file_or_a_preset():
    assert find_experiment("storm") == preset("storm")
    with pytest.raises(InputError, match=r"no experiment file strom.*presets: quickstart"):
        find_experiment("strom")
