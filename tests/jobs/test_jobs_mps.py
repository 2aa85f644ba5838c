"""Apple's GPUs (mps): networks learn and find there, the rest stays on the processor, masks are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import deepstorm3d as ds
import pretended_cuda
from deepstorm3d.devices import chosen_device
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.jobs.design_psf import design_mask
from deepstorm3d.jobs.fisher_design import design_by_fisher
from deepstorm3d.jobs.train import build_localizer, train_model
from deepstorm3d.jobs.training_cost import training_cost
from deepstorm3d.localizer import precision
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.mixture import MixtureSpec
from deepstorm3d.localizer.modelfile import ModelFile, load_model_file
from deepstorm3d.localizer.network import NetworkSpec
from deepstorm3d.localizer.voxel import VoxelSpec
from deepstorm3d.localizing.model import Model
from factories import tiny_experiment
from pretended_mps import NotOnMPS, pretended_mps

NETWORKS = (
    CoarseSpec(channels=8, skip=4, dilations=(1, 2)),
    MixtureSpec(channels=8, skip=4, dilations=(1, 2), head=8),
    VoxelSpec(planes=20, upsampling=2, channels=8),
)


@pytest.fixture
def mps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The device "mps": the machine's own, or one that only holds its rules where there is none.

    The processor that it is compared with computes in float32 too.
    """
    monkeypatch.setattr(precision, "_cpu_is_fast_in_bfloat16", lambda: False)
    if torch.backends.mps.is_available():
        yield
        return
    reason = "a GPU of NVIDIA is here" if torch.cuda.is_available() else pretended_cuda.set_up()
    if reason is not None:
        pytest.skip(reason)
    with pretended_mps():
        yield


def small(network: NetworkSpec) -> Experiment:
    base = tiny_experiment(network=network)
    brief = {"steps": 2, "warmup_steps": 1, "validate_every": 2, "batch": 2, "validation_crops": 4}
    return base.with_(training=base.training.with_(crop_px=41, **brief))


def counts() -> torch.Tensor:
    return torch.poisson(torch.full((2, 40, 44), 20.0), generator=torch.Generator().manual_seed(3))


def model_that_finds(experiment: Experiment) -> ModelFile:
    """An untrained model that takes twenty places or more in `counts` for molecules."""
    localizer = build_localizer(experiment).eval()
    localizer.measure_normalisation(counts())
    localizer.threshold = 1e-6
    likely = localizer.localize(counts()).probability.sort(descending=True).values
    # Below one of them, and for a mixture, which adds five pixels, below the largest of these alone.
    threshold = (0.15 if experiment.network.kind == "mixture" else 0.99) * float(likely[:20][-1])
    return ModelFile(experiment.to_mapping(), localizer.state_dict(), threshold, None, {})


@pytest.mark.usefixtures("mps")
@pytest.mark.skipif(torch.backends.mps.is_available(), reason="the pretended device is the subject")
def test_the_pretended_device_refuses_what_the_real_one_would() -> None:
    there = torch.ones(3, device="mps")
    assert torch.equal((there + 1).cpu(), torch.full((3,), 2.0))
    for refused in (there.double, lambda: torch.poisson(there), lambda: torch.zeros(2, device="mps").double()):
        with pytest.raises(NotOnMPS):
            refused()
    with pytest.raises(pretended_cuda.DeviceMismatch):
        there.add(torch.ones(3))


@pytest.mark.usefixtures("mps")
@pytest.mark.filterwarnings("ignore::deepstorm3d.errors.DoubtfulResult")
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.kind)
@pytest.mark.parametrize("refine", [False, True], ids=["network", "fit"])
def test_the_list_is_that_of_the_processor(network: NetworkSpec, refine: bool) -> None:
    file = model_that_finds(small(network))

    def found(device: str) -> Localizations:
        model = Model(file, device=device)
        camera = {"baseline": 0.0, "gain": 1.0}
        assert model.pipeline(camera=camera, refine=refine).localizer.offset.device.type == device
        return model.localize(counts().numpy(), camera=camera, refine=refine)

    there, here = found("mps"), found("cpu")
    assert len(here) > 5 or refine  # the fit knows that there is nothing
    assert torch.equal(there.frame, here.frame)
    for name, column in here.columns().items():
        torch.testing.assert_close(there.columns()[name], column, rtol=1e-3, atol=1e-3, equal_nan=True)


@pytest.mark.usefixtures("mps", "without_pictures")
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.kind)
def test_a_network_is_trained_on_the_frames_that_the_processor_draws(
    network: NetworkSpec, tmp_path: Path
) -> None:
    weights = []
    for device in ("mps", "cpu"):
        out = tmp_path / f"{device}.pt"
        trained = train_model(small(network), out, device=device)
        assert trained is not None and trained.loss == trained.loss
        weights.append(load_model_file(out).weights)
    for name, values in weights[1].items():
        torch.testing.assert_close(weights[0][name].cpu(), values, rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("mps")
def test_the_cost_of_a_training_is_that_of_its_network_there() -> None:
    assert training_cost(small(NETWORKS[0]), device="mps").step_s > 0


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("design", [design_mask, design_by_fisher])
def test_a_mask_is_not_designed_there(design: object, small_design: Experiment, tmp_path: Path) -> None:
    assert callable(design)
    with pytest.raises(InputError, match=r"design of a mask needs double precision.* choose `device=cpu`"):
        design(small_design, tmp_path / "mask.npy", device="mps")
    assert not list(tmp_path.iterdir())


def test_it_is_used_only_where_it_is_asked_for_and_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("mps") == "mps" and chosen_device(None) == "cpu"
    assert ds.load_model("tetrapod").device == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"this machine has no Apple GPU \(mps\)"):
        chosen_device("mps")
