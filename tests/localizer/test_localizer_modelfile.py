"""Model files: self-describing, safe to open, small, and refused with a reason where they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from deepstorm3d.errors import InputError
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.localizer import NetworkLocalizer
from deepstorm3d.localizer.mixture import MixtureSpec
from deepstorm3d.localizer.modelfile import FORMAT_VERSION, ModelFile, load_model_file, save_model_file
from deepstorm3d.localizer.network import NetworkSpec
from deepstorm3d.localizer.voxel import VoxelSpec

SPECS: dict[str, NetworkSpec] = {
    "coarse": CoarseSpec(channels=16, skip=8, dilations=(1, 2)),
    "mixture": MixtureSpec(channels=16, skip=8, dilations=(1, 2), head=16),
    "voxel": VoxelSpec(planes=16, upsampling=2, channels=8, dilations=(1, 2)),
}


def localizer(spec: NetworkSpec, seed: int = 0) -> NetworkLocalizer:
    """A network whose statistics and weights differ from layer to layer, as after training."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = spec.build(0.11, (0.0, 2.0))
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
                torch.nn.init.normal_(layer.bias, 0.0, 0.3)
                torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)  # pyright: ignore[reportArgumentType]
    return NetworkLocalizer(network, offset=20.123456789, scale=7.3, threshold=0.4).eval()  # pyright: ignore


def model(of: NetworkLocalizer, **changes: Any) -> ModelFile:
    contents: dict[str, Any] = {
        "experiment": {"name": "test", "scenes": {"main": {"weight": 1.0}}, "frame_px": [64, 64]},
        "weights": of.state_dict(),
        "threshold": of.threshold,
        "mask": None,
        "card": {"jaccard": 0.9},
    }
    return ModelFile(**{**contents, **changes})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    save_model_file(model(localizer(SPECS["coarse"])), path)
    return path


@pytest.mark.parametrize("kind", SPECS)
def test_a_model_comes_back_as_the_same_network_to_a_hundredth_of_a_logit(kind: str, tmp_path: Path) -> None:
    trained, loaded = localizer(SPECS[kind]), localizer(SPECS[kind], seed=1)
    save_model_file(model(trained), tmp_path / "model.pt")
    file = load_model_file(tmp_path / "model.pt")
    loaded.load_state_dict(dict(file.weights))
    photons = 150 + 40 * torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(0)).abs()
    with torch.no_grad():
        before, after = trained(photons), loaded(photons)
    scale = 800 if kind == "voxel" else 1.0  # its output runs from 0 to 800
    assert before.std() / scale > 1e-5
    assert (before - after).abs().max() / scale < 1e-2
    assert all(tensor.dtype != torch.float16 for tensor in file.weights.values())


def test_the_normalisation_and_the_statistics_keep_their_full_precision(saved: Path) -> None:
    file, own = load_model_file(saved), localizer(SPECS["coarse"]).state_dict()
    for name, tensor in own.items():
        if tensor.ndim != 4:
            assert torch.equal(file.weights[name], tensor), name


def test_experiment_threshold_card_and_mask_come_back(tmp_path: Path) -> None:
    phase = torch.linspace(-3, 3, 35).view(5, 7)
    save_model_file(model(localizer(SPECS["coarse"]), mask=phase), tmp_path / "model.pt")
    file = load_model_file(tmp_path / "model.pt")
    assert file.mask is not None and torch.equal(file.mask, phase)
    assert file.threshold == 0.4
    assert file.card == {"jaccard": 0.9}
    assert file.experiment["frame_px"] == [64, 64]


def test_whatever_a_card_holds_the_file_stays_readable(tmp_path: Path) -> None:
    card = {"torch": torch.__version__, "where": tmp_path, "figures": {"jaccard": (0.1, 0.2)}}
    save_model_file(model(localizer(SPECS["coarse"]), card=card), tmp_path / "model.pt")
    read = load_model_file(tmp_path / "model.pt").card
    assert read == {"torch": str(torch.__version__), "where": str(tmp_path), "figures": {"jaccard": [0.1, 0.2]}}


def test_large_weights_take_half_the_room(tmp_path: Path) -> None:
    wide = localizer(CoarseSpec(channels=64))
    save_model_file(model(wide), tmp_path / "model.pt")
    numbers = sum(tensor.numel() for tensor in wide.state_dict().values())
    assert (tmp_path / "model.pt").stat().st_size < 2.4 * numbers


class _Mischief:
    """Does harm when unpickled, if anyone unpickles it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.mkdir, (self.folder,))


def test_a_file_that_would_run_code_is_refused_unopened(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    harm = _Mischief(tmp_path / "harm")
    torch.save({"magic": "deepstorm3d-model", "format_version": 1, "weights": harm}, path)
    with pytest.raises(InputError, match="not a model file"):
        load_model_file(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("contents", [b"", b"\x89PNG not a model at all" * 100, b"PK\x03\x04" + bytes(500)])
def test_garbage_is_refused(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(contents)
    with pytest.raises(InputError, match=r"model\.pt is not a model file"):
        load_model_file(tmp_path / "model.pt")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(saved: Path, part: float) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(InputError, match="damaged"):
        load_model_file(saved)


def test_another_programs_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(3)}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="not a model file of deepstorm3d"):
        load_model_file(tmp_path / "model.pt")
    torch.save([1, 2], tmp_path / "model.pt")
    with pytest.raises(InputError, match="not a model file of deepstorm3d"):
        load_model_file(tmp_path / "model.pt")


def test_a_newer_format_asks_for_a_newer_program(saved: Path) -> None:
    contents = torch.load(saved, weights_only=True)
    torch.save({**contents, "format_version": FORMAT_VERSION + 1, "weights": "in a new form"}, saved)
    with pytest.raises(InputError, match=rf"version {FORMAT_VERSION + 1}.*newer deepstorm3d"):
        load_model_file(saved)


def test_a_model_file_that_lacks_a_part_says_which(saved: Path) -> None:
    contents = torch.load(saved, weights_only=True)
    del contents["card"], contents["weights"]
    torch.save(contents, saved)
    with pytest.raises(InputError, match="damaged model file: it lacks card, weights"):
        load_model_file(saved)


def test_a_missing_file_or_a_folder_is_an_input_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(InputError, match="there is no model file"):
            load_model_file(path)


def test_a_failed_write_leaves_the_old_model_and_no_rest(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(contents: Any, file: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match=r"No space left.*Free some space"):
        save_model_file(model(localizer(SPECS["coarse"])), saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["model.pt"]
