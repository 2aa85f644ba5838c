"""A phase is found from nothing, in whichever direction the stack runs; what beads cannot tell is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from bead_stacks import (
    ONE_CENTRE,
    SIDE,
    cut_beads,
    draw_beads,
    focus_of_slices,
    short_retrieval,
    small_experiment,
)
from deepstorm3d.calibration.beads.images import BeadImages
from deepstorm3d.calibration.phase_retrieval import warnings as sentences
from deepstorm3d.calibration.phase_retrieval.coarse_model import CoarseModel, explained_share, pixel_weights
from deepstorm3d.calibration.phase_retrieval.cold_start import cold_start
from deepstorm3d.calibration.phase_retrieval.degeneracies import aperture_of, split_defocus, without_tilt
from deepstorm3d.calibration.phase_retrieval.first_check import look_at_poses
from deepstorm3d.calibration.phase_retrieval.initial_guess import FirstLook
from deepstorm3d.calibration.phase_retrieval.orientation import ORIENTATIONS, Orientation, twin
from deepstorm3d.calibration.phase_retrieval.retriever import Retrieved, Retriever
from deepstorm3d.calibration.phase_retrieval.starting_phases import families, turned_designs
from deepstorm3d.optics.computed import ComputedPSFSpec, build_psf
from deepstorm3d.optics.designs import double_helix_phase, random_phase
from deepstorm3d.optics.masks import AstigmaticMask, PhaseMask, PixelMask
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.optics.vectorial import VectorialPSFSpec

EXPERIMENT = small_experiment()
OPTICS = EXPERIMENT.microscope
HELIX = double_helix_phase(OPTICS, 0.6)
# Coma and trefoil: no orientation of it is its twin.
RANDOM = (1.6, 4, 3)
UNEVEN = random_phase(OPTICS, *RANDOM)


@pytest.fixture(autouse=True)
def short() -> Iterator[None]:
    with short_retrieval():
        yield


@cache
def images_of(mask: str, sign: float = 1.0) -> BeadImages:
    """One bright bead through a mask, its slices said to run this way."""
    phase = {"helix": HELIX, "uneven": UNEVEN}[mask]
    stack = draw_beads(EXPERIMENT, ONE_CENTRE, mask=PixelMask(phase))
    return cut_beads(stack, sign * focus_of_slices()).select(torch.arange(21))


def coarse_model(images: BeadImages) -> CoarseModel:
    return CoarseModel(OPTICS, images, 0.1, 1.0)


def retrieve(images: BeadImages, design: PhaseMask) -> Retrieved:
    # Few polynomials: a search does without, and the designs are right but for the direction.
    return Retriever(EXPERIMENT.psf, OPTICS, design, 0.1, order=4)(images)


def strehl(phase: Tensor, other: Tensor) -> float:
    """|⟨exp(i(φ − φ'))⟩|² over the aperture, φ freed of the piston, tilt and defocus that it has over φ'."""
    for _ in range(3):
        phase = split_defocus(without_tilt(phase, other, OPTICS)[0], other, OPTICS)[0]
    inside = aperture_of(OPTICS, phase.shape[1])
    return float(torch.polar(torch.ones_like(phase), phase - other)[inside].mean().abs().square())


def test_the_coarse_model_draws_what_the_exact_one_draws():
    model = coarse_model(images_of("uneven"))
    assert model.microscope.mask_px < 0.6 * OPTICS.mask_px
    # Not in the middle, and not in focus.
    shift, focus = torch.tensor([[0.03, -0.05], [0.02, 0.04]]), torch.tensor([-0.4, 0.5])
    middle = SIDE // 2 * OPTICS.pixel_um
    psf = build_psf(EXPERIMENT.psf, OPTICS, PixelMask(UNEVEN), patch_px=SIDE)
    places = torch.cat([shift + middle, torch.full((2, 1), 0.1)], 1)
    exact = psf(places, torch.ones(2), focus_um=focus).values
    same = random_phase(model.microscope, *RANDOM).float()
    for phase in (same, model.coarse(UNEVEN)):
        drawn = model(phase, shift, focus)
        assert float(explained_share(drawn, exact, torch.ones_like(exact)).min()) > 0.98
    moved = model(same, shift + 0.1, focus)
    assert float(explained_share(moved, exact, torch.ones_like(exact)).max()) < 0.95


def test_a_phase_on_the_coarse_samples_is_the_same_on_the_mask():
    model = coarse_model(images_of("uneven"))
    weak, order, seed = 0.5, *RANDOM[1:]
    coarse, fine = (random_phase(each, weak, order, seed) for each in (model.microscope, OPTICS))
    assert strehl(model.fine(coarse.float(), len(fine)), fine) > 0.97
    assert strehl(model.fine(coarse.float().mT, len(fine)), fine) < 0.9


def test_a_grating_is_rough_and_whole_turns_are_not():
    model = coarse_model(images_of("uneven"))
    smooth = random_phase(model.microscope, 0.5, 3, 1).float()
    ramp = torch.arange(len(smooth), dtype=torch.float32)
    grating = smooth + 2.0 * (ramp % 2)
    assert float(model.roughness(smooth)) < 0.1
    assert float(model.roughness(grating)) > 0.5
    turns = smooth + 2 * torch.pi * (ramp > 7)
    assert float(model.roughness(turns)) == pytest.approx(float(model.roughness(smooth)), abs=1e-4)


def test_light_and_background_do_not_change_the_explained_share():
    frames = images_of("helix").likelihood.frames
    weight = pixel_weights(images_of("helix"))
    assert float(explained_share(3 * frames + 100, frames, weight).min()) == pytest.approx(1.0, abs=1e-4)
    # A negative one explains nothing.
    assert float(explained_share(-frames, frames, weight).max()) == 0.0


@pytest.mark.parametrize("spec", [ScalarPSFSpec(), VectorialPSFSpec()])
def test_a_twin_gives_the_reversed_stack(spec: ComputedPSFSpec):
    # Below the critical angle: light beyond it decays with depth, in one direction.
    optics = OPTICS.with_(na=1.2)
    phase = random_phase(optics, 1.5, 4, 1)
    focus = torch.linspace(-0.6, 0.6, 5)
    place = torch.zeros(5, 3)
    images, back = (
        build_psf(spec, optics, PixelMask(mask), patch_px=SIDE)(place, focus_um=way * focus).values
        for mask, way in ((phase, 1), (twin(phase), -1))
    )
    torch.testing.assert_close(images, back, atol=1e-5, rtol=1e-4)
    assert float((images - images.flip(0)).abs().max() / images.max()) > 0.1


def test_an_astigmatic_lens_turned_by_90_degrees_is_its_twin():
    lens = AstigmaticMask().build(OPTICS)().detach()
    assert strehl(Orientation(1, mirrored=False)(lens), twin(lens)) > 0.99
    inside = aperture_of(OPTICS, lens.shape[1])
    # So of the sixteen ways there are two, while a mask without any symmetry has all of them.
    assert len(turned_designs(lens, inside)) == 2
    assert len(turned_designs(UNEVEN, inside)) == 16
    assert len({str(each) for each in ORIENTATIONS}) == 8


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_double_helix_is_found_from_a_wrong_design_whichever_way_the_stack_runs(sign: float):
    images = images_of("helix", sign)
    model = coarse_model(images)
    wrong = model.coarse(AstigmaticMask().build(OPTICS)().detach())
    flat, *others = families(model.microscope)
    starts = [*turned_designs(wrong, model.support)[:1], flat, *others]
    found = cold_start(model, images, starts)
    truth = HELIX if sign > 0 else twin(HELIX)
    assert strehl(model.fine(found.phase, HELIX.shape[1]), truth) > 0.6
    drawn = model(found.phase, found.shift_um, images.position_um)
    assert float(explained_share(drawn, images.likelihood.frames, pixel_weights(images)).mean()) > 0.95


def test_a_retrieval_from_a_wrong_design_and_a_reversed_stack_gets_there():
    found = retrieve(images_of("helix", -1.0), AstigmaticMask().build(OPTICS))
    assert found.tried > 10
    # From 23 where the polynomials of the design end.
    assert found.deviance < 1.15
    assert strehl(found.phase, twin(HELIX)) > 0.6
    told = " ".join(sentences.about_start(found.first, found.tried))
    assert "do not show in which direction the stage moved" in told
    assert "depths are mirrored" in told


def test_the_direction_of_travel_is_found_where_the_design_tells_it():
    found = retrieve(images_of("uneven", -1.0), PixelMask(UNEVEN))
    assert found.first.backwards
    assert found.tried == 0
    assert found.deviance == pytest.approx(1.0, abs=0.05)
    assert strehl(found.phase, UNEVEN) > 0.95
    told = sentences.about_start(found.first, 0)
    assert len(told) == 1
    assert "the positions were taken with the opposite sign" in told[0]
    # The same design where all is as said is left alone.
    right = retrieve(images_of("uneven"), PixelMask(UNEVEN))
    assert not right.first.backwards and right.first.poses is None


def test_a_double_helix_reversed_or_mirrored_is_not_decided_but_told():
    images = images_of("helix", -1.0)
    model = coarse_model(images)
    poses = look_at_poses(model, images, model.coarse(HELIX))
    assert poses.backwards > poses.as_designed + 0.1
    assert poses.orientation.mirrored and not poses.clearly_backwards
    first = FirstLook(0.0, torch.zeros(2), poses.as_designed, poses.backwards, poses=poses)
    told = " ".join(sentences.about_start(first, 0))
    assert "mirrored" in told and "sign of the step" in told
    assert f"{poses.turned:.2f}" in told and f"{poses.backwards:.2f}" in told


def test_images_reversed_twice_are_as_they_were():
    images = images_of("helix")
    for moves in ("objective", "depth"):
        same = replace(images, moves=moves).reversed().reversed()
        torch.testing.assert_close(same.position_um, images.position_um)
    deep = replace(images, moves="depth", position_um=images.position_um + 2.0)
    assert float(deep.reversed().position_um.min()) == pytest.approx(float(deep.position_um.min()))
