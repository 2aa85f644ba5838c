"""Aberrations that change over the field are found bead by bead, and none where there are none."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from bead_stacks import SIDE, small_experiment, true_mask
from deepstorm3d.calibration.beads.images import BeadImages, BeadState, first_state
from deepstorm3d.calibration.phase_retrieval.bead_model import bead_patches
from deepstorm3d.calibration.phase_retrieval.field_aberrations import FieldAberrations, field_aberrations
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import PixelMask, ZernikePhase

EXPERIMENT = small_experiment()
OPTICS = EXPERIMENT.microscope
SIZE = (160, 200)
PLACES = torch.tensor([[20, 20], [180, 25], [22, 140], [178, 138], [100, 80], [90, 20]])
FOCUS = torch.linspace(-1.0, 1.0, 15)
PHOTONS, BACKGROUND = 20_000.0, 10.0


def images_of(rises: dict[int, tuple[float, float]], beads: int = 6) -> tuple[BeadImages, BeadState]:
    """Beads whose polynomials rise over the field, from left to right and from top to bottom, rad."""
    generator = torch.Generator().manual_seed(1)
    frames = []
    slices = len(FOCUS)
    for place in PLACES[:beads]:
        x, y = place[0] / SIZE[1] - 0.5, place[1] / SIZE[0] - 0.5
        values = torch.stack([a * x + b * y for a, b in rises.values()]).double()
        mask = PixelMask(ZernikePhase(OPTICS, list(rises), values, base=true_mask())().detach())
        alone = torch.zeros(slices, dtype=torch.int64)
        # Heights that differ must not be taken for aberrations.
        height = 0.1 + 0.2 * float(x)
        likelihood = Likelihood(torch.zeros(slices, SIDE, SIDE))
        state = BeadState(
            0.05 * torch.randn(slices, 2, generator=generator),
            torch.full((slices,), PHOTONS),
            torch.zeros(slices, 3),
            torch.tensor([height]),
            torch.tensor(0.9),
            torch.zeros(slices),
        )
        psf = build_psf(EXPERIMENT.psf, OPTICS, mask, patch_px=SIDE + 8)
        with torch.no_grad():
            bright = bead_patches(psf, BeadImages(likelihood, alone, alone, FOCUS, "objective"), state)
        frames.append(torch.poisson(PHOTONS * bright + BACKGROUND, generator=generator))
    bead = torch.arange(beads).repeat_interleave(slices)
    plane = torch.arange(slices).repeat(beads)
    images = BeadImages(Likelihood(torch.cat(frames)), bead, plane, FOCUS[plane], "objective")
    return images, first_state(images, 0.1, 0.9)


def measured(rises: dict[int, tuple[float, float]]) -> FieldAberrations:
    images, state = images_of(rises)
    phase = true_mask()().detach().double()
    found = field_aberrations(EXPERIMENT.psf, OPTICS, phase, images, state, PLACES, SIZE)
    assert found is not None
    return found


@cache
def sloping() -> FieldAberrations:
    return measured({5: (0.3, -0.1), 7: (0.0, 0.25)})


def test_planes_of_astigmatism_and_coma_are_found():
    found = sloping()
    truth = torch.zeros(2, len(found.indices), dtype=torch.float64)
    truth[:, found.indices.index(5)] = torch.tensor([0.3, -0.1])
    truth[:, found.indices.index(7)] = torch.tensor([0.0, 0.25])
    assert float((found.plane[1:] - truth).abs().max()) < 0.03
    assert float(((found.plane[1:] - truth) / found.plane_sigma[1:]).square().mean()) < 2.5
    assert found.excess > 50


def test_what_the_beads_differ_by_is_that_of_the_truth():
    at = PLACES.double() / torch.tensor([SIZE[1], SIZE[0]]) - 0.5
    values = torch.stack([0.3 * at[:, 0] - 0.1 * at[:, 1], 0.25 * at[:, 1]], 1)
    expected = float((values - values.mean(0)).square().sum(1).sum().div(5).sqrt())
    assert sloping().scatter_rad == pytest.approx(expected, rel=0.1)
    assert sloping().planes_rad == pytest.approx(((0.09 + 0.01 + 0.0625) / 12) ** 0.5, rel=0.1)


def test_rises_go_into_an_experiment_as_they_are():
    found = sloping()
    spec = found.as_spec()
    assert spec.size_px == SIZE
    assert set(spec.rises) == {5, 7}
    assert spec.rises[5] == pytest.approx((0.3, -0.1), abs=0.03)
    at = PLACES.double() / torch.tensor([SIZE[1], SIZE[0]]) - 0.5
    there = spec.at(*at[1].tolist())
    assert there[7] == pytest.approx(float(found.values[1, found.indices.index(7)]), abs=0.03)
    assert spec.places(PLACES)[1].tolist() == pytest.approx(((180.5 / 200) - 0.5, (25.5 / 160) - 0.5))
    assert found.left_rad < 0.02


def test_where_nothing_differs_noise_is_all_there_is():
    found = measured({5: (0.0, 0.0)})
    assert found.excess == pytest.approx(1.0, abs=0.45)
    assert found.scatter_rad < 0.01
    assert found.as_spec().rises == {}


def test_few_beads_and_beads_in_a_row_tell_nothing():
    images, state = images_of({5: (0.0, 0.0)}, 4)
    phase = true_mask()().detach().double()
    in_a_row = torch.tensor([[20, 20], [60, 21], [100, 22], [140, 23]])
    assert field_aberrations(EXPERIMENT.psf, OPTICS, phase, images, state, in_a_row, SIZE) is None
    three = torch.arange(45)
    few = field_aberrations(
        EXPERIMENT.psf, OPTICS, phase, images.select(three), state.select(three), PLACES[:4], SIZE
    )
    assert few is None
