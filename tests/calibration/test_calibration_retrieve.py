"""The phase is found, from beads drawn finer than they are fitted, and everything beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bead_stacks import (
    SIDE,
    bead_stack,
    cut_beads,
    draw_beads,
    focus_of_slices,
    short_retrieval,
    small_experiment,
    true_mask,
)
from deepstorm3d.calibration.beads.images import BeadImages, first_state, weights_of_zero
from deepstorm3d.calibration.phase_retrieval import warnings as sentences
from deepstorm3d.calibration.phase_retrieval.bead_model import bead_patches, expected, fit_light
from deepstorm3d.calibration.phase_retrieval.degeneracies import aperture_of, split_defocus, without_tilt
from deepstorm3d.calibration.phase_retrieval.initial_guess import look_for_focus
from deepstorm3d.calibration.phase_retrieval.phase_correction import CorrectedMask, Correction
from deepstorm3d.calibration.phase_retrieval.phase_fit import PhaseFit
from deepstorm3d.calibration.phase_retrieval.position_fit import Unknowns, fit_each, fit_positions
from deepstorm3d.calibration.phase_retrieval.residuals import misfit, outliers
from deepstorm3d.calibration.phase_retrieval.retriever import Retrieved, Retriever
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import PhaseMask, ZeroMask

EXPERIMENT = small_experiment()
OPTICS = EXPERIMENT.microscope
TRUTH = true_mask()().double()
# Rows of the first bead's images.
ONE = torch.arange(21)


def phase_error(phase: Tensor, *, defocus: bool = False) -> float:
    """rms over the aperture up to piston and tilt, and defocus unless it is asked for too."""
    if not defocus:
        phase = split_defocus(without_tilt(phase, TRUTH, OPTICS)[0], TRUTH, OPTICS)[0]
    flat, _ = without_tilt(phase, TRUTH, OPTICS)
    return float((flat - TRUTH)[aperture_of(OPTICS, TRUTH.shape[1])].square().mean().sqrt())


def retrieve(images: BeadImages, design: PhaseMask | None = None, **options: bool) -> Retrieved:
    mask = experiment_mask(EXPERIMENT) if design is None else design
    return Retriever(EXPERIMENT.psf, OPTICS, mask, 0.1, order=6, **options)(images)


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    with short_retrieval():
        yield


@pytest.fixture(scope="module")
def images() -> BeadImages:
    return cut_beads(bead_stack())


@pytest.fixture(scope="module")
def found(images: BeadImages) -> Retrieved:
    return retrieve(images)


def test_the_phase_is_found(found: Retrieved):
    assert phase_error(experiment_mask(EXPERIMENT)().double()) > 0.3
    assert phase_error(found.phase) < 0.1
    # The positions were told as they are: the defocus is found as well.
    assert phase_error(found.phase, defocus=True) < 0.12
    assert bool(found.used.all())
    assert found.tried == 0


def test_what_is_left_is_noise(found: Retrieved, images: BeadImages):
    result = misfit(found.psf, images, found.state)
    assert found.deviance == pytest.approx(1.0, abs=0.02)
    assert abs(result.share) < 0.01
    assert float(result.correlation.min()) > 0.85


def test_the_blur_holds_the_size_of_the_beads(found: Retrieved):
    # 0.9 px of blur and a ball of 200 nm: its projection has the variance d²/20 along each axis.
    whole = (0.9**2 + 0.2**2 / 20 / OPTICS.pixel_um**2) ** 0.5
    assert float(found.state.blur_px) == pytest.approx(whole, abs=0.04)


def test_beads_localized_with_the_phase_found_lie_where_they_are(found: Retrieved, images: BeadImages):
    xyz, sigma = fit_each(found.psf, images, found.state)
    error = (xyz[:, 2] - 0.1) / sigma[:, 2]
    assert float(error.std()) == pytest.approx(1.0, abs=0.25)
    bright = images.bead == 0
    assert abs(float((xyz[bright, 2] - 0.1).mean())) < 0.005


def test_a_wrong_zero_of_the_positions_becomes_defocus(images: BeadImages):
    moved = retrieve(cut_beads(bead_stack(), focus_of_slices() + 0.5).select(ONE))
    assert phase_error(moved.phase) < 0.1
    change = split_defocus(moved.phase, TRUTH, OPTICS)[1]
    assert change == pytest.approx(-0.5, abs=0.05)


def test_travel_the_other_way_is_noticed():
    psf = build_psf(EXPERIMENT.psf, OPTICS, experiment_mask(EXPERIMENT), patch_px=SIDE)
    for sign in (1, -1):
        first = look_for_focus(psf, cut_beads(bead_stack(), sign * focus_of_slices()).select(ONE), 0.1, 1.0)
        assert sign * (first.correlation - first.reversed_correlation) > 0.1
    told = sentences.about_start(first, 0)
    assert len(told) == 1
    assert "explains the reversed stack better" in told[0]


def test_without_a_design_other_starts_are_tried(images: BeadImages):
    found = retrieve(images.select(ONE), ZeroMask().build(OPTICS))
    assert found.deviance == pytest.approx(1.0, abs=0.03)
    assert phase_error(found.phase) < 0.2


def test_a_double_bead_is_left_out():
    stack = bead_stack().clone()
    # The third bead once more, five pixels beside.
    stack[:, 50:74, 8:36] += torch.roll(bead_stack(seed=1), 5, 2)[:, 50:74, 8:36] - 10.0
    found = retrieve(cut_beads(stack))
    double = cut_beads(stack).bead == 2
    assert not bool(found.used[double].any())
    assert bool(found.used[~double].all())
    assert phase_error(found.phase) < 0.12


def test_full_pixels_that_are_left_out_do_no_harm():
    images = cut_beads(bead_stack()).select(ONE)
    frames = images.likelihood.frames.clamp(max=300.0)
    weight = (frames < 300.0).float()
    assert float((weight == 0).flatten(1).any(1).float().mean()) > 0.1
    found = retrieve(replace(images, likelihood=Likelihood(frames, weight=weight)))
    assert phase_error(found.phase) < 0.12


def test_a_stack_over_depth_gives_the_same_phase():
    depths = torch.linspace(0.1, 1.5, 21)
    spec = EXPERIMENT.psf.with_(pupil_oversampling=2, blur_px=1.0)
    psf = build_psf(spec, OPTICS, true_mask(), patch_px=SIDE)
    places = torch.nn.functional.pad(depths[:, None], (2, 0))
    frames = torch.poisson(20000 * psf(places).values + 10, generator=torch.Generator().manual_seed(0))
    nobody = torch.zeros(21, dtype=torch.int64)
    found = Retriever(EXPERIMENT.psf, OPTICS, experiment_mask(EXPERIMENT), 0.0, order=6)(
        BeadImages(Likelihood(frames), nobody, torch.arange(21), depths, "depth")
    )
    assert phase_error(found.phase) < 0.12
    assert float(found.state.z_um) == pytest.approx(0.0, abs=1e-4)


def test_the_gradient_is_that_of_the_profile_likelihood(images: BeadImages):
    few = images.select(torch.arange(0, 63, 6))
    correction = Correction(OPTICS, [4, 5, 6], 150.0)
    mask = CorrectedMask(experiment_mask(EXPERIMENT)().double(), OPTICS.mask_pitch, correction)
    psf = build_psf(EXPERIMENT.psf, OPTICS, mask, patch_px=SIDE)

    def loss(value: float, *, gradient: bool) -> float:
        with torch.no_grad():
            correction.coefficients.copy_(torch.tensor([0.0, value, 0.0]))
        correction.coefficients.grad = None
        fit = PhaseFit(psf, few, first_state(few, 0.1, 1.0))
        with torch.set_grad_enabled(gradient):
            for _ in range(5):
                fit.loss()
            correction.coefficients.grad = None
            return fit.loss()

    low, high = loss(0.29, gradient=False), loss(0.31, gradient=False)
    loss(0.30, gradient=True)
    assert correction.coefficients.grad is not None
    assert float(correction.coefficients.grad[1]) == pytest.approx((high - low) / 0.02, rel=0.02)


def test_places_depths_and_blur_are_found_with_a_known_phase(images: BeadImages):
    psf = build_psf(EXPERIMENT.psf, OPTICS, true_mask(), patch_px=SIDE + 8)
    state = first_state(images, 0.1, 1.2)
    state = fit_light(images, bead_patches(psf, images, state).detach(), state, 4)
    for _ in range(6):
        state = fit_positions(psf, images, state, Unknowns())
    # Their mean is held.
    assert float(state.z_um.mean()) == pytest.approx(0.1, abs=1e-4)
    assert float((state.z_um - 0.1).abs().max()) < 0.01
    assert float(state.background[:, 0].mean()) == pytest.approx(10.0, abs=0.3)
    model = expected(bead_patches(psf, images, state), state)
    assert (
        float(images.likelihood.deviance(model).sum() / images.likelihood.expected_deviance(model).sum()) < 1.03
    )


def test_coma_is_told_from_a_drift_of_the_stage(images: BeadImages):
    # Coma (7, 8) makes images wander with depth, as a drift does.
    correction = Correction(OPTICS, [2, 3, 7, 8], 150.0)
    mask = CorrectedMask(TRUTH, OPTICS.mask_pitch, correction)
    psf = build_psf(EXPERIMENT.psf, OPTICS, mask, patch_px=SIDE + 8)
    correction.shapes.copy_(torch.tensor([0.25, -0.2]))
    state = first_state(images, 0.1, 1.0)
    state = fit_light(images, bead_patches(psf, images, state).detach(), state, 4)
    for _ in range(6):
        state = fit_positions(psf, images, state, Unknowns())
    for _ in range(3):
        state = fit_positions(psf, images, state, Unknowns(polynomials=(correction.shapes,)))
    assert float(correction.coefficients.detach().abs().max()) < 0.03


@pytest.mark.parametrize("stretch", [1.0, 1.15])
def test_slices_are_found_where_they_are_not_where_they_were_said_to_be(stretch: float):
    truth = focus_of_slices()
    uneven = 0.05 * torch.randn(len(truth), generator=torch.Generator().manual_seed(5))
    said = truth / stretch + uneven - weights_of_zero(truth) @ uneven
    images = cut_beads(bead_stack(), said).select(ONE)
    taken = retrieve(images)
    found = retrieve(images, positions=True)
    off = said + found.state.offset_um - truth
    # As far as where they are said right; the bound of one slice is 3 to 7 nm.
    assert float((off - off.mean()).square().mean().sqrt()) < 0.015
    # The zero is held, and with it the defocus of the phase.
    assert float(weights_of_zero(said) @ found.state.offset_um) == pytest.approx(0.0, abs=0.002)
    assert phase_error(found.phase, defocus=True) < 0.15
    assert phase_error(found.phase) < 0.1
    assert found.deviance < 1.02 < taken.deviance


def test_steps_of_another_length_are_noticed():
    psf = build_psf(EXPERIMENT.psf, OPTICS, true_mask(), patch_px=SIDE)
    right = look_for_focus(psf, cut_beads(bead_stack()).select(ONE), 0.1, 1.0)
    assert right.stretched is None
    wrong = look_for_focus(psf, cut_beads(bead_stack(), 2.5 * focus_of_slices()).select(ONE), 0.1, 1.0)
    assert wrong.stretched is not None and wrong.stretched.stretch == 0.5
    assert any("0.5 times as long" in sentence for sentence in sentences.about_start(wrong, 0))


def test_uneven_light_is_found_beside_the_phase():
    uneven = EXPERIMENT.with_(psf=EXPERIMENT.psf.with_(transmission={4: -0.3}))
    images = cut_beads(draw_beads(uneven)).select(ONE)
    blind = retrieve(images)
    found = retrieve(images, amplitude=True)
    assert blind.deviance > 1.1
    assert found.deviance == pytest.approx(1.0, abs=0.03)
    assert phase_error(found.phase) < 0.1
    truth = {4: -0.3}
    assert max(abs(value - truth.get(j, 0.0)) for j, value in found.transmission.items()) < 0.05


def test_outliers_are_those_that_the_model_does_not_explain(found: Retrieved, images: BeadImages):
    frames = images.likelihood.frames.clone()
    frames[5] = torch.roll(frames[5], (4, 4), (0, 1))
    changed = replace(images, likelihood=Likelihood(frames))
    bad = outliers(misfit(found.psf, changed, found.state), changed)
    assert bad.nonzero()[:, 0].tolist() == [5]
