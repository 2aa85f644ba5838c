"""Masks of two channels that learn together with the network that sees both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from deepstorm3d.camera import IdealCamera
from deepstorm3d.channels import Transform, TransformSpec
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.experiment.configure import with_mask
from deepstorm3d.experiment.design_settings import DesignSpec
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.io.masks import read_mask
from deepstorm3d.jobs.design_channels import ChannelMask, mask_files
from deepstorm3d.jobs.design_psf import build_design_sampler, design_mask, gradient_bytes
from deepstorm3d.jobs.start_of_training import Start
from deepstorm3d.jobs.train import build_localizer
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.optics.masks import AstigmaticMask, PixelMask
from deepstorm3d.training.mask_history import read_history
from deepstorm3d.training.runs import DesignRun
from watchers import Recorder

# Turned by two degrees, 2 % larger, in a frame of its own.
TURNED = Transform.affine(torch.tensor([[1.0194, -0.0356], [0.0356, 1.0194]]), torch.tensor([0.5, 0.1]))


@pytest.fixture(scope="module")
def pair(small_design: Experiment) -> Experiment:
    """Two masks that start alike, the second with a third of the light, 0.3 µm deeper."""
    far = Channel(
        light=0.33,
        coefficients=TransformSpec.of(TURNED),
        depth_offset_um=0.3,
        frame_px=(60, 60),
        wavelength=0.62,
    )
    training = TrainingSpec(
        steps=6, batch=2, crop_px=24, warmup_steps=2, validate_every=3, validation_crops=4, half_precision=False
    )
    return small_design.with_(
        camera=IdealCamera(),
        mask=AstigmaticMask(strength=0.5),
        channels={"far": far},
        training=training,
        design=DesignSpec(learning_rate=0.05),
    )


def masks_of(experiment: Experiment, out: Path) -> list[Tensor]:
    return [torch.from_numpy(read_mask(path)).float() for path in mask_files(experiment, out)]


def losses(experiment: Experiment, phases: list[Tensor]) -> tuple[Tensor, tuple[ChannelMask, ...]]:
    """With these masks: a sum over what a network sees in a batch, and the loss of the untrained network."""
    sampler, masks = build_design_sampler(experiment)
    for each, phase in zip(masks, phases, strict=True):
        assert isinstance(each.mask, PixelMask)
        each.mask.phase = torch.nn.Parameter(phase)
    batch = sampler.draw(2, torch.Generator().manual_seed(3))
    assert batch.seen.dtype == torch.float64 and batch.seen.shape[1] == 2
    weights = torch.rand(batch.seen.shape, generator=torch.Generator().manual_seed(4))
    localizer = build_localizer(experiment)
    localizer.measure_normalisation(100.0 + 10 * weights.float())
    network = localizer.network.loss(localizer(batch.seen.float()), batch.truth)
    return torch.stack([(weights * batch.seen.sqrt()).sum(), network.double()]), masks


@pytest.fixture
def exactly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without noise, whose gradient is another subject (tests/test_camera.py), and in double precision."""
    monkeypatch.setattr("deepstorm3d.camera.ideal.poisson", lambda expected, generator: expected)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("exactly")
@pytest.mark.parametrize("number", [0, 1])
def test_each_mask_gets_the_gradient_of_the_whole_chain(pair: Experiment, number: int) -> None:
    """Optics, transform, depth, share of the light, warp and network, against difference quotients."""
    start = experiment_mask(pair)().detach().double()
    values, masks = losses(pair, [start, start])
    # The network computes in single precision.
    for which, (step, rel) in enumerate(((1e-5, 1e-6), (2e-4, 3e-3))):
        (gradient,) = torch.autograd.grad(
            values[which], list(masks[number].mask.parameters()), retain_graph=True
        )
        direction = gradient / gradient.abs().max()
        sides = []
        for side in (step, -step):
            phases = [start, start]
            phases[number] = start + side * direction
            with torch.no_grad():
                sides.append(float(losses(pair, phases)[0][which]))
        slope = float((gradient * direction).sum())
        assert slope == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=rel) and slope > 0


def test_two_masks_and_their_network_leave_files_and_pictures(pair: Experiment, tmp_path: Path) -> None:
    out = tmp_path / "m.npy"
    assert design_mask(pair, out) is not None
    start = experiment_mask(pair)().detach().float()
    phases = masks_of(pair, out)
    assert all(float((phase - start).std()) > 0.005 for phase in phases)
    assert not torch.equal(*phases)
    run = DesignRun(out)
    for path in (run.preview, run.animation, run.solid, run.curve, DesignRun(tmp_path / "m.far.npy").solid):
        assert path.stat().st_size > 5000
    for path, phase in zip(mask_files(pair, out), phases, strict=True):
        steps, kept = read_history(DesignRun(path).history)
        assert steps.tolist() == [3, 6, 7]
        np.testing.assert_allclose(kept[-1], phase.numpy(), atol=2e-3)
    # The network brings both masks along, and its transform without a file.
    model = load_model_file(run.model)
    assert model.mask is not None
    assert torch.equal(model.mask, phases[0])
    held = model.channels["far"].mask
    assert held is not None and torch.equal(held, phases[1])
    pipeline = load_pipeline(model, threshold=0.0)
    assert pipeline.localizer.channels == 2
    assert len(pipeline.propose(torch.poisson(torch.full((1, 2, 24, 24), 50.0))))


@pytest.mark.usefixtures("without_pictures")
def test_the_loss_falls_while_both_masks_learn(pair: Experiment, tmp_path: Path) -> None:
    longer = pair.with_(training=pair.training.with_(steps=60, validate_every=20, warmup_steps=5))
    design_mask(longer, tmp_path / "m.npy")
    lines = DesignRun(tmp_path / "m.npy").metrics.read_text(encoding="utf-8").splitlines()
    losses = [line["validation_loss"] for line in map(json.loads, lines) if "validation_loss" in line]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("parameters", ["pixels", "zernike"])
def test_a_stopped_design_of_two_masks_goes_on_to_the_same_bits(
    pair: Experiment, tmp_path: Path, parameters: str
) -> None:
    short = pair.with_(design=DesignSpec(learning_rate=0.05, parameters=parameters))  # type: ignore[arg-type]
    design_mask(short, tmp_path / "whole.npy")
    assert design_mask(short, tmp_path / "cut.npy", watch=Recorder(stop_at=4)) is None
    # A design in which other masks learn is another one.
    with pytest.raises(InputError, match=r"other settings \(design\)"):
        design_mask(
            short.with_(design=short.design.with_(hold=("far",))),
            tmp_path / "cut.npy",
            start=Start(resume=True),
        )
    assert design_mask(short, tmp_path / "cut.npy", start=Start(resume=True)) is not None
    whole, cut = masks_of(short, tmp_path / "whole.npy"), masks_of(short, tmp_path / "cut.npy")
    assert all(torch.equal(one, other) for one, other in zip(whole, cut, strict=True))
    weights, again = (load_model_file(tmp_path / f"{name}.pt").weights for name in ("whole", "cut"))
    assert all(torch.equal(weights[name], again[name]) for name in weights)


@pytest.mark.usefixtures("without_pictures")
def test_a_held_mask_stays_as_it_is(pair: Experiment, tmp_path: Path) -> None:
    far = pair.channels["far"].with_(mask=with_mask(pair, "vortex").mask)
    held = pair.with_(design=pair.design.with_(hold=("far",)), channels={"far": far})
    design_mask(held, tmp_path / "m.npy")
    first, second = masks_of(held, tmp_path / "m.npy")
    assert torch.equal(second, experiment_mask(held.of_channel(1))().float())
    assert float((first - experiment_mask(held)().float()).std()) > 0.005


def test_a_held_mask_keeps_nothing_for_a_gradient(pair: Experiment) -> None:
    localizer = build_localizer(pair)
    needed = []
    for hold in ((), ("far",)):
        sampler, _ = build_design_sampler(pair.with_(design=pair.design.with_(hold=hold)))
        needed.append(gradient_bytes(localizer, sampler, 2))
    assert needed[1] < needed[0]
