"""A mask that learns: it moves with the network, resumes exactly, and pays its penalties."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from deepstorm3d.experiment.design_settings import DesignSpec
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.field import Field
from deepstorm3d.jobs.design_psf import build_design_sampler, gradient_bytes
from deepstorm3d.jobs.fisher_design import criterion_of
from deepstorm3d.jobs.train import build_localizer, crops_through
from deepstorm3d.optics.masks import AstigmaticMask, PixelMask, ZernikePhase, ZeroMask
from deepstorm3d.optics.scalar import ScalarPSF
from deepstorm3d.simulation.priors import DensityCount
from deepstorm3d.training.checkpoint import RunFiles
from deepstorm3d.training.design import MaskPenalty, learnable_mask, roughness
from deepstorm3d.training.fisher import Alone, Crowd, minimise_bound
from deepstorm3d.training.loop import train
from deepstorm3d.training.sampler import FrameSampler
from watchers import Recorder

SPEC = TrainingSpec(
    steps=8, batch=2, crop_px=24, warmup_steps=2, validate_every=4, validation_crops=4, checkpoint_every=3
)


@pytest.fixture(scope="module")
def tiny(small_design: Experiment) -> Experiment:
    return small_design.with_(
        training=SPEC,
        design=DesignSpec(learning_rate=0.05),
    )


def exact(sampler: FrameSampler) -> ScalarPSF:
    assert isinstance(sampler.simulator.psf, ScalarPSF)
    return sampler.simulator.psf


def learned(
    tiny: Experiment, folder: Path, *, spec: TrainingSpec = SPEC, resume: bool = False, **options: object
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mask and weights after a run."""
    localizer, (sampler, (learning,)) = build_localizer(tiny), build_design_sampler(tiny)
    train(localizer, sampler, spec, seed=1, files=RunFiles(folder / "c", resume=resume), **options)  # type: ignore[arg-type]
    return learning.phase, localizer.state_dict()


def test_the_mask_learns_with_the_network_and_a_resumed_run_ends_the_same(
    tiny: Experiment, tmp_path: Path
) -> None:
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    mask, weights = learned(tiny, tmp_path / "whole")
    assert float(mask.std()) > 0.01
    learned(tiny, tmp_path / "cut", watch=Recorder(stop_at=5))
    again, same = learned(tiny, tmp_path / "cut", resume=True)
    assert torch.equal(mask, again)
    assert all(torch.equal(weights[name], same[name]) for name in weights)


@pytest.mark.parametrize("density", [0.0, 2.0], ids=["alone", "crowd"])
def test_the_bound_weighs_beside_the_networks_loss(tiny: Experiment, density: float) -> None:
    both = tiny.with_(design=DesignSpec(bound_weight=3.0, fisher_density=density, spread=1.0))
    sampler, (learning,) = build_design_sampler(both)
    assert sampler.mask_learning is not None
    cost = sampler.mask_learning.cost(torch.Generator().manual_seed(5))
    (slope,) = torch.autograd.grad(cost, list(learning.psf.parameters()))
    bound = criterion_of(both)(learning.psf, torch.Generator().manual_seed(5))
    expected = 3 * bound.log() + sampler.mask_learning.penalty()
    torch.testing.assert_close(cost, expected)
    torch.testing.assert_close(slope, torch.autograd.grad(expected, list(learning.psf.parameters()))[0])
    # Without a weight nothing is drawn, so that frames and masks of earlier designs come out again.
    plain, _ = build_design_sampler(tiny)
    assert plain.mask_learning is not None and plain.mask_learning.bound is None


def test_with_the_bound_the_last_mask_is_kept_and_is_more_precise(tiny: Experiment, tmp_path: Path) -> None:
    bounds = {}
    for weight in (0.0, 5.0):
        setup = tiny.with_(design=tiny.design.with_(bound_weight=weight))
        sampler, (learning,) = build_design_sampler(setup)
        masks = []
        train(
            build_localizer(setup),
            sampler,
            SPEC.with_(steps=16),
            seed=1,
            after_step=lambda _, masks=masks, learning=learning: masks.append(learning.phase),
        )
        if weight:
            assert torch.equal(learning.phase, masks[-1])
        with torch.no_grad():
            bounds[weight] = float(criterion_of(setup)(learning.psf, torch.Generator().manual_seed(0)))
    assert bounds[5.0] < 0.9 * bounds[0.0]
    crowd = tiny.with_(design=tiny.design.with_(bound_weight=1.0, fisher_density=2.0))
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole, _ = learned(crowd, tmp_path / "whole")
    learned(crowd, tmp_path / "cut", watch=Recorder(stop_at=5))
    resumed, _ = learned(crowd, tmp_path / "cut", resume=True)
    assert torch.equal(whole, resumed)


def test_parameters_of_the_optics_without_a_rate_are_refused(tiny: Experiment) -> None:
    psf = exact(build_design_sampler(tiny)[0])
    with pytest.raises(ValueError, match="trainable parameters: give FrameSampler"):
        train(build_localizer(tiny), crops_through(psf, tiny), SPEC)


def test_pixels_and_coefficients_begin_as_the_start(tiny: Experiment) -> None:
    start = AstigmaticMask().build(tiny.microscope)
    for parameters, kind in (("pixels", PixelMask), ("zernike", ZernikePhase)):
        mask = learnable_mask(DesignSpec(parameters=parameters), tiny.microscope, start)  # type: ignore[arg-type]
        assert isinstance(mask, kind)
        torch.testing.assert_close(mask().double(), start().double(), atol=1e-6, rtol=0)
        assert sum(p.numel() for p in mask.parameters()) == (mask().numel() if kind is PixelMask else 41)


def test_a_turn_of_two_pi_is_smooth_and_a_step_of_pi_is_rough() -> None:
    step = torch.zeros(6, 6)
    step[:, 3:] = 2 * torch.pi
    assert float(roughness(step)) == pytest.approx(0, abs=1e-10)
    assert float(roughness(step / 2)) == pytest.approx(4 / 5)


def test_light_outside_the_patch_and_too_much_phase_cost(tiny: Experiment) -> None:
    def penalty_of(spec: DesignSpec, phase: Tensor) -> float:
        mask = learnable_mask(spec, tiny.microscope, PixelMask(phase))
        psf = ScalarPSF(tiny.microscope, mask, patch_px=15, blur_px=1.0)
        return float(MaskPenalty(spec, mask, psf, tiny.z_um)().detach())

    flat = ZeroMask().build(tiny.microscope)()
    noise = torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))
    assert penalty_of(DesignSpec(), noise) == 0
    # A rough mask scatters light far from the spot.
    assert penalty_of(DesignSpec(spread=1.0), noise) > penalty_of(DesignSpec(spread=1.0), flat) + 0.2
    assert penalty_of(DesignSpec(phase_range=1.0), 0.49 * noise.sign()) == 0
    assert penalty_of(DesignSpec(phase_range=1.0), 2.5 * noise.sign()) == pytest.approx(4.0, rel=0.01)


@pytest.mark.parametrize("parameters", ["pixels", "zernike"])
@pytest.mark.parametrize(("phase_range", "strength"), [(0.5, 0.1), (2.0, 0.1), (2.0, 2.0)])
def test_a_mask_keeps_within_its_range_of_phase_and_still_gets_better(
    tiny: Experiment, parameters: str, phase_range: float, strength: float
) -> None:
    """Of a start within the range, and of one that is clipped to it."""
    spec = DesignSpec(parameters=parameters, phase_range=phase_range, fisher_steps=40, learning_rate=0.1)  # type: ignore[arg-type]
    start = AstigmaticMask(strength=strength).build(tiny.microscope)
    mask = learnable_mask(spec, tiny.microscope, start)
    clipped = start().clamp(*(start().amax() + start().amin() + torch.tensor([-1, 1]) * phase_range) / 2)
    torch.testing.assert_close(mask().double(), clipped.double(), atol=1e-6, rtol=0)
    psf = ScalarPSF(tiny.microscope, mask, patch_px=15, blur_px=1.0)
    price = MaskPenalty(spec, mask, psf, tiny.z_um)
    values = minimise_bound(psf, Alone(5000, 20, 1.0, tiny.z_um), price, spec).values
    assert values[-1] < 0.99 * values[0]
    reached = float((mask().amax() - mask().amin()).detach())
    assert 0.5 * phase_range < reached <= phase_range + 1e-6


def test_the_memory_of_a_step_grows_with_its_frames(tiny: Experiment) -> None:
    localizer, (sampler, _) = build_localizer(tiny), build_design_sampler(tiny)
    one, four = (gradient_bytes(localizer, sampler, batch) for batch in (1, 4))
    assert 1.5 * one < four < 4 * one
    # The bound keeps some as well.
    with_bound, _ = build_design_sampler(tiny.with_(design=DesignSpec(bound_weight=1.0)))
    assert gradient_bytes(localizer, with_bound, 1) > one + 10_000


def designed(
    tiny: Experiment, steps: int, folder: Path | None = None, resume: bool = False, **options: object
) -> list[float]:
    """Criterion at each step, from a flat mask with a little astigmatism."""
    start = AstigmaticMask(strength=0.1).build(tiny.microscope)
    mask = learnable_mask(tiny.design, tiny.microscope, start)
    psf = ScalarPSF(tiny.microscope, mask, patch_px=15, blur_px=1.0)
    return minimise_bound(
        psf,
        Alone(5000, 20, 1.0, (0.0, 2.0)),
        MaskPenalty(tiny.design, mask, psf, tiny.z_um),
        tiny.design.with_(fisher_steps=steps, learning_rate=0.1),
        files=None if folder is None else RunFiles(folder / "c", resume=resume),
        **options,  # type: ignore[arg-type]
    ).values


def test_the_bound_falls(tiny: Experiment) -> None:
    values = designed(tiny, 40)
    assert values[-1] < 0.7 * values[0]


def test_a_design_by_fisher_resumes_exactly(tiny: Experiment, tmp_path: Path) -> None:
    whole = designed(tiny, 12, tmp_path)
    first = designed(tiny, 12, tmp_path, watch=Recorder(stop_at=7))
    rest = designed(tiny, 12, tmp_path, resume=True)
    assert first + rest == whole


def test_a_crowd_is_judged_by_its_middle_and_suffers_from_its_neighbours(tiny: Experiment) -> None:
    psf = ScalarPSF(tiny.microscope, AstigmaticMask().build(tiny.microscope), patch_px=15, blur_px=1.0)
    field = Field(40, 40, tiny.microscope.pixel_um)
    prior = tiny.scene().emitters
    values = []
    for density in (0.1, 2.0):
        crowd = Crowd(
            prior.with_(count=DensityCount(low=density, high=density)), field, 5000, 20, 1.0, frames=30
        )
        with torch.no_grad():
            values.append(float(crowd(psf, torch.Generator().manual_seed(3))))
    assert values[0] < values[1]
    # Few as they are, they are nearly alone.
    with torch.no_grad():
        alone = float(Alone(5000, 20, 1.0, tiny.z_um)(psf, torch.Generator()))
    assert 0.7 * alone < values[0] < 1.5 * alone
