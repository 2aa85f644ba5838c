"""A mask off the pupil plane: its distance is found back from beads, and molecules lie right with it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from deepstorm3d.calibration.beads.images import BeadImages, BeadState
from deepstorm3d.calibration.phase_retrieval.bead_model import bead_patches, expected
from deepstorm3d.calibration.phase_retrieval.mask_offset import MaskOffset, fit_mask_offset
from deepstorm3d.calibration.phase_retrieval.position_fit import fit_each
from deepstorm3d.experiment.presets import preset
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.field_aberrations import FieldSpec
from deepstorm3d.optics.masks import PixelMask, ZernikePhase
from deepstorm3d.optics.scalar import ScalarPSFSpec

MICROSCOPE = preset("quickstart").microscope.with_(mask_pitch=75.0)
SIDE, SLICES, SIZE = 25, 17, (400, 500)
SPEC = ScalarPSFSpec(patch_px=SIDE + 8, blur_px=0.9)
PLACES = torch.tensor([[-0.45, -0.4], [0.4, -0.35], [-0.3, 0.45], [0.45, 0.4], [0.1, 0.05]])
# Astigmatism of the first and the second order, as in a Tetrapod.
PHASE = ZernikePhase(MICROSCOPE, [6, 12], torch.tensor([1.2, -0.7], dtype=torch.float64))()


def beads(field: FieldSpec, phase: torch.Tensor = PHASE, seed: int = 0) -> tuple[BeadImages, BeadState]:
    """Stacks of 5 beads through the mask at its place, and where they lie."""
    count = len(PLACES)
    plane, bead = torch.arange(SLICES).repeat(count), torch.arange(count).repeat_interleave(SLICES)
    blank = Likelihood(torch.zeros(count * SLICES, SIDE, SIDE))
    position = 0.125 * (torch.arange(SLICES) - SLICES // 2).float()[plane]
    images = BeadImages(blank, bead, plane, position, "objective", PLACES[bead])
    generator = torch.Generator().manual_seed(seed)
    number = len(bead)
    state = BeadState(
        0.05 * torch.randn(count, 2, generator=generator)[bead],
        torch.full((number,), 20_000.0),
        torch.nn.functional.pad(torch.full((number, 1), 10.0), (0, 2)),
        0.05 * torch.randn(count, generator=generator),
        torch.tensor(0.9),
        torch.zeros(SLICES),
    )
    psf = build_psf(SPEC.with_(field=field), MICROSCOPE, PixelMask(phase))
    with torch.no_grad():
        model = expected(bead_patches(psf, images, state), state)
    frames = torch.poisson(model, generator=generator)
    return replace(images, likelihood=Likelihood(frames)), state


@pytest.mark.parametrize("mm", [8.0, -8.0])
def test_the_distance_is_found_with_its_sign_and_molecules_lie_right_with_it(mm: float) -> None:
    images, state = beads(FieldSpec(size_px=SIZE, mask_offset=mm))
    start = replace(state, xy=torch.zeros_like(state.xy), z_um=torch.zeros_like(state.z_um))
    found = fit_mask_offset(SPEC, MICROSCOPE, PHASE, images, start, SIZE)
    assert found is not None
    assert found.mm == pytest.approx(mm, abs=4 * found.sigma_mm + 0.02 * abs(mm))
    assert found.sigma_mm < 0.05 * abs(mm)
    assert found.as_spec().mask_offset == pytest.approx(mm, rel=0.05)
    # Each slice localized as a molecule: errors with and without the offset, nm.
    true = torch.cat([state.xy, state.z_um[images.bead][:, None]], 1)
    errors = []
    for field in (found.as_spec(), FieldSpec(size_px=SIZE)):
        psf = build_psf(SPEC.with_(field=field), MICROSCOPE, PixelMask(PHASE))
        at, _ = fit_each(psf, images, start)
        away = 1000 * (at - true)
        bias = torch.stack([away[images.bead == bead].mean(0) for bead in range(4)]).abs().amax(0)
        errors.append((bias, away[:, 2].square().mean().sqrt()))
    (bias, scatter), (bias_without, scatter_without) = errors
    assert float(bias.max()) < 3
    assert float(bias_without[:2].max()) > 12
    assert float(scatter_without) > 1.5 * float(scatter)


def test_a_mask_in_the_pupil_plane_is_left_there() -> None:
    images, state = beads(FieldSpec(size_px=SIZE))
    found = fit_mask_offset(SPEC, MICROSCOPE, PHASE, images, state, SIZE)
    assert found is not None
    assert abs(found.mm) < 4 * found.sigma_mm
    assert not found.as_spec().changes


def test_a_mask_that_shows_no_offset_has_none() -> None:
    astigmatism = ZernikePhase(MICROSCOPE, [6], torch.tensor([1.2], dtype=torch.float64))()
    images, state = beads(FieldSpec(size_px=SIZE, mask_offset=8.0), astigmatism)
    assert fit_mask_offset(SPEC, MICROSCOPE, torch.zeros_like(astigmatism), images, state, SIZE) is None
    three = images.bead < 3
    few = fit_mask_offset(SPEC, MICROSCOPE, PHASE, images.select(three), state.select(three), SIZE)
    assert few is None


def test_an_offset_is_kept_where_it_is_sure_and_matters() -> None:
    assert MaskOffset(5.0, 0.1, 0.2, SIZE).as_spec().mask_offset == 5.0
    assert MaskOffset(5.0, 2.0, 0.2, SIZE).as_spec().mask_offset == 0
    assert MaskOffset(5.0, 0.1, 0.01, SIZE).as_spec() == FieldSpec(size_px=SIZE)
