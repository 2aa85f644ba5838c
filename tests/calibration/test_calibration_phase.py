"""The phase that is searched for, on pixels of any width; and what images leave open of it."""

from __future__ import annotations

import pytest
import torch

from bead_stacks import SIDE, small_experiment, true_mask
from deepstorm3d.calibration.beads.stage_range import check_positions, even_positions, travel_for_depths
from deepstorm3d.calibration.phase_retrieval.degeneracies import (
    aperture_of,
    polynomials_of,
    split_defocus,
    without_tilt,
)
from deepstorm3d.calibration.phase_retrieval.phase_correction import (
    CorrectedMask,
    Correction,
    binned_microscope,
    binned_phase,
)
from deepstorm3d.errors import InputError
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import PixelMask, ZernikePhase

OPTICS = small_experiment().microscope


def random_correction() -> Correction:
    correction = Correction(OPTICS, [4, 5, 6, 7], 150.0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        correction.coefficients.copy_(torch.randn(4, generator=generator))
        correction.knots.copy_(torch.randn(correction.knots.shape, generator=generator))
    return correction


def test_a_correction_is_the_same_phase_on_pixels_of_any_width():
    correction = random_correction()
    narrow = CorrectedMask(torch.zeros(81, 81), OPTICS.mask_pitch / 3, correction).added()
    wide = CorrectedMask(torch.zeros(27, 27), OPTICS.mask_pitch, correction).added()
    inside = aperture_of(OPTICS, 27)
    # The middle one of three narrow pixels has the centre of a wide one.
    torch.testing.assert_close(narrow[1::3, 1::3][inside], wide[inside])


def test_equal_knots_are_a_constant_phase():
    correction = Correction(OPTICS, [], 150.0)
    with torch.no_grad():
        correction.knots.fill_(0.7)
    added = CorrectedMask(torch.zeros(27, 27), OPTICS.mask_pitch, correction).added()
    torch.testing.assert_close(
        added[aperture_of(OPTICS, 27)], torch.full_like(added, 0.7)[aperture_of(OPTICS, 27)]
    )
    assert correction.roughness().item() < 1e-20


def test_outside_the_aperture_the_mask_is_left_as_it_is():
    base = torch.full((41, 41), 0.3, dtype=torch.float64)
    mask = CorrectedMask(base, OPTICS.mask_pitch, random_correction())()
    assert mask[0, 0].item() == 0.3
    assert mask[20, 20].item() != 0.3


def test_binning_a_smooth_phase_samples_it_and_survives_its_turns():
    fine = ZernikePhase(OPTICS, [4, 8], torch.tensor([1.5, 0.4]))()
    wide = binned_microscope(OPTICS, 2)
    exact = ZernikePhase(wide, [4, 8], torch.tensor([1.5, 0.4]))()
    inside = aperture_of(wide.with_(na=0.8 * wide.na), exact.shape[1])
    for phase in (fine, torch.angle(torch.exp(1j * fine))):
        off = torch.angle(torch.exp(1j * (binned_phase(phase, OPTICS, 2) - exact)))
        assert float(off[inside].abs().max()) < 0.1


def test_a_tilt_of_the_phase_is_a_shift_of_the_bead():
    design = true_mask()().double()
    axis = torch.linspace(-1, 1, design.shape[1], dtype=torch.float64)
    tilted = design + 0.3 * axis - 0.2 * axis[:, None] + 0.4
    flat, shift = without_tilt(tilted, design, OPTICS)
    spec = small_experiment().psf
    one, other = (build_psf(spec, OPTICS, PixelMask(phase), patch_px=SIDE) for phase in (tilted, flat))
    here = torch.tensor([[0.01, -0.02, 0.1]])
    there = here + torch.nn.functional.pad(shift, (0, 1))
    torch.testing.assert_close(one(here).values, other(there).values, atol=2e-6, rtol=1e-3)
    inside = aperture_of(OPTICS, design.shape[1])
    torch.testing.assert_close(flat[inside], design[inside])


def test_a_defocus_of_the_phase_is_a_change_of_the_focus():
    design = torch.zeros(29, 29, dtype=torch.float64)
    found = ZernikePhase(OPTICS, [4, 6], torch.tensor([0.9, 0.5]))()
    without, change = split_defocus(found, design, OPTICS)
    assert abs(change) > 0.1
    spec = small_experiment().psf
    one = build_psf(spec, OPTICS, PixelMask(found), patch_px=SIDE)
    other = build_psf(spec, OPTICS.with_(focus=OPTICS.focus + change), PixelMask(without), patch_px=SIDE)
    place = torch.tensor([[0.0, 0.0, 0.4]])
    torch.testing.assert_close(one(place).values, other(place).values, atol=1e-6, rtol=1e-3)


def test_polynomials_of_a_phase_are_its_coefficients():
    phase = ZernikePhase(OPTICS, [6, 7, 11], torch.tensor([0.5, -0.2, 0.1]))()
    table = polynomials_of(phase, OPTICS)
    assert table[6] == pytest.approx(0.5, abs=1e-6)
    assert table[7] == pytest.approx(-0.2, abs=1e-6)
    assert abs(table[9]) < 1e-6


def test_the_travel_shows_a_bead_as_molecules_at_the_ends_of_the_range_look():
    low, high = travel_for_depths(OPTICS, (0.0, 1.2), 0.1, "objective")
    assert low < high
    psf = build_psf(small_experiment().psf, OPTICS, true_mask(), patch_px=SIDE)
    molecule = psf(torch.tensor([[0.0, 0.0, 1.2]])).values.flatten()
    focus = torch.linspace(low - 1.5, high + 1.5, 91)
    beads = psf(torch.tensor([[0.0, 0.0, 0.1]]).expand(91, -1), focus_um=focus).values.flatten(1)
    alike = torch.nn.functional.cosine_similarity(beads, molecule[None])
    # The deepest molecule looks like a bead where the objective has moved least towards the sample.
    assert float(focus[alike.argmax()]) == pytest.approx(low, abs=0.3)
    assert travel_for_depths(OPTICS, (0.0, 1.2), 0.1, "depth") == (0.0, 1.2)


def test_even_positions_are_centred_on_the_coverslip_or_span_the_depths():
    assert even_positions(5, "objective", (2.0, 6.0), 0.5, None).tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert even_positions(5, "objective", (2.0, 6.0), -0.5, 3.0).tolist() == [3.0, 2.5, 2.0, 1.5, 1.0]
    assert even_positions(5, "depth", (2.0, 6.0), None, None).tolist() == [2.0, 3.0, 4.0, 5.0, 6.0]
    assert even_positions(3, "depth", (2.0, 6.0), -1.0, None).tolist() == [6.0, 5.0, 4.0]


@pytest.mark.parametrize(
    ("positions", "words"),
    [
        ([0.0, 1.0, 2.0], "at least 5"),
        ([0.0, 0.1, 0.2, 0.3, 0.4], "span 0.4 µm"),
        ([0.0, 0.0, 1.0, 1.0, 2.0, 2.0], "3 different positions"),
        ([0.0, 100.0, 200.0, 300.0, 400.0], "not nm"),
    ],
)
def test_positions_that_cannot_fix_a_phase_are_refused(positions: list[float], words: str):
    with pytest.raises(InputError, match=words):
        check_positions(torch.tensor(positions), 0.58)
