"""Learning on a GPU: the three networks, masks, their comparison; stopped, resumed, and used without a GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gpu_scenes import NETWORKS, experiment

from deepstorm3d.experiment.design_settings import DesignSpec
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.io.masks import read_mask
from deepstorm3d.jobs import compare_psf as compare
from deepstorm3d.jobs import fisher_design
from deepstorm3d.jobs import train as train_job
from deepstorm3d.jobs.compare_psf import MaskTest, compare_masks, contenders_of
from deepstorm3d.jobs.design_psf import build_design_sampler
from deepstorm3d.jobs.fisher_design import design_by_fisher
from deepstorm3d.jobs.train import build_localizer, build_sampler, train_model
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.training.checkpoint import RunFiles
from deepstorm3d.training.loop import Progress, train
from watchers import Recorder

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda")]
REAL = torch.cuda.is_available()


def losses(setup: Experiment, device: str, files: RunFiles | None = None, **options: object) -> list[float]:
    """Loss after each step of a training run."""
    localizer, sampler = build_localizer(setup).to(device), build_sampler(setup).to(device)
    seen: list[float] = []

    def keep(progress: Progress) -> None:
        seen.append(progress.loss)

    train(localizer, sampler, setup.training, seed=1, files=files, after_step=keep, **options)  # type: ignore[arg-type]
    assert all(each.device.type == device for each in localizer.state_dict().values())
    return seen


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_learns_stops_and_goes_on(network: str, half: bool, tmp_path: Path) -> None:
    setup = experiment(network)
    setup = setup.with_(training=setup.training.with_(half_precision=half))
    whole = losses(setup, "cuda")
    assert len(whole) == setup.training.steps
    assert all(torch.isfinite(torch.tensor(whole)))
    files = RunFiles(tmp_path / "c", tmp_path / "log.jsonl")
    cut = losses(setup, "cuda", files, watch=Recorder(stop_at=3))
    cut += losses(setup, "cuda", replace(files, resume=True))
    # A GPU adds up in an order that changes from run to run.
    assert cut == pytest.approx(whole, rel=1e-2 if REAL else 1e-6)


def test_the_first_steps_are_those_of_the_processor() -> None:
    if REAL:
        pytest.skip("a GPU draws other frames from the same seed")
    assert losses(experiment(), "cuda") == pytest.approx(losses(experiment(), "cpu"), rel=1e-4)


def test_a_model_trained_on_a_gpu_works_on_a_machine_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Path] = []
    monkeypatch.setattr(train_job, "draw_training_preview", lambda *given, **options: drawn.append(given[2]))
    assert train_model(experiment(), tmp_path / "m.pt", device="cuda") is not None
    assert len(drawn) == 1
    model = load_model_file(tmp_path / "m.pt")
    assert all(each.device.type == "cpu" for each in model.weights.values())
    noise = torch.poisson(torch.full((1, 24, 24), 20.0), generator=torch.Generator().manual_seed(0))
    assert load_pipeline(model, refine=False).localize(noise).xyz.device.type == "cpu"


def mask_design(parameters: str = "pixels") -> Experiment:
    setup = experiment()
    return setup.with_(
        psf=setup.psf.with_(patch_px=13),
        microscope=setup.microscope.with_(mask_pitch=200.0),
        frame_px=(36, 36),
        design=DesignSpec(parameters=parameters, learning_rate=0.05, fisher_steps=4, roughness=0.1, spread=0.1),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("parameters", ["pixels", "zernike"])
def test_a_mask_learns_with_its_network(parameters: str) -> None:
    setup = mask_design(parameters)
    localizer, (sampler, (learning,)) = build_localizer(setup).to("cuda"), build_design_sampler(setup)
    sampler = sampler.to("cuda")
    before = learning.phase
    train(localizer, sampler, setup.training, seed=1)
    assert learning.mask().is_cuda
    assert 1e-4 < float((learning.phase - before).std()) < 0.5


@pytest.mark.parametrize("density", [0.0, 1.0], ids=["alone", "crowd"])
def test_a_mask_is_designed_by_fisher_information_and_resumed(
    density: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = mask_design()
    setup = setup.with_(design=setup.design.with_(fisher_density=density, learning_rate=0.2))
    monkeypatch.setattr(fisher_design, "_JUDGED", 5)
    stopped = design_by_fisher(setup, tmp_path / "m.npy", device="cuda", watch=Recorder(stop_at=2))
    assert not stopped.complete
    done = design_by_fisher(setup, tmp_path / "m.npy", device="cuda", resume=True)
    assert done.complete
    assert read_mask(tmp_path / "m.npy").std() > 0.01


def test_masks_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_job, "draw_training_preview", lambda *given, **options: None)
    monkeypatch.setattr(compare, "save_figure", lambda figure, path: None)
    monkeypatch.setattr(compare, "_JUDGED", 20)
    setup = mask_design()
    rows = compare_masks(
        setup,
        contenders_of(setup, ["zero"]),
        tmp_path / "c",
        MaskTest(densities=(0.5,), seeds=1),
        device="cuda",
    )
    assert rows is not None
    assert [(row.mask, row.density) for row in rows] == [("zero", 0.5)]
