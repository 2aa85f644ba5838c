"""A mask off the pupil plane: its shift over the field, in the exact PSF, in the table, and in the file."""

from __future__ import annotations

import pytest
import torch
import yaml

from deepstorm3d.optics.computed import ComputedPSFSpec, build_psf
from deepstorm3d.optics.field_aberrations import FieldGrid, FieldSpec
from deepstorm3d.optics.mask_shift import change_of_phase, footprint_um, moved_phase
from deepstorm3d.optics.masks import PixelMask, TetrapodMask, ZernikePhase
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.pupil import mask_coordinates
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.optics.vectorial import VectorialPSFSpec
from deepstorm3d.spec import spec_from_mapping

MICROSCOPE = Microscope(mask_pitch=48.0)
FIELD = FieldSpec(size_px=(400, 500), mask_offset=6.0)
TETRAPOD = TetrapodMask(strength=0.4).build(MICROSCOPE)
SPEC = ScalarPSFSpec(patch_px=31, pupil_oversampling=1, field=FIELD)
EDGE = torch.tensor([[0.5, -0.25]], dtype=torch.float64)


def test_the_shift_is_that_of_the_4f_system() -> None:
    # A molecule 27.5 µm right and 11 µm up of the axis, 6 mm, f 150 mm, M 100.
    shift = footprint_um(FIELD, MICROSCOPE, EDGE)[0].tolist()
    assert shift == pytest.approx([6000 * 100 * 27.5 / 150_000, -6000 * 100 * 11 / 150_000])
    before = footprint_um(FIELD.with_(mask_offset=-6.0), MICROSCOPE, EDGE)[0].tolist()
    assert before == pytest.approx([-x for x in shift])


def test_a_shifted_polynomial_is_the_polynomial_there() -> None:
    axis = mask_coordinates(TETRAPOD.pixels, MICROSCOPE.mask_pitch)
    radius = MICROSCOPE.aperture * MICROSCOPE.pupil_diameter / 2

    def phase(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return 4 * ((x / radius) ** 2 - (y / radius) ** 2) + 3 * (x / radius) ** 3

    here = phase(axis[None], axis[:, None])
    there = moved_phase(here, MICROSCOPE, (110.0, -70.0))
    inside = (axis.square() + axis[:, None].square()).sqrt() < 0.85 * radius
    wrong = torch.remainder(there - phase(axis + 110, (axis - 70)[:, None]) + 3.1416, 6.2832) - 3.1416
    assert float(wrong[inside].abs().max()) < 0.02
    # Whole turns in a mask do not matter.
    turned = moved_phase(torch.remainder(here, 6.283185307179586), MICROSCOPE, (110.0, -70.0))
    assert torch.allclose(torch.cos(turned), torch.cos(there), atol=1e-6)


def test_a_focus_or_an_astigmatism_only_moves_the_image() -> None:
    for noll in (4, 6):
        values = torch.tensor([1.0], dtype=torch.float64)
        phase = ZernikePhase(MICROSCOPE, [noll], values)()
        with_tilts, without = (change_of_phase(phase, MICROSCOPE, tilts=each) for each in (False, True))
        assert max(with_tilts) < 0.1 * max(change_of_phase(TETRAPOD(), MICROSCOPE, tilts=False))
        assert max(without) < max(change_of_phase(TETRAPOD(), MICROSCOPE))


@pytest.mark.parametrize("kind", [ScalarPSFSpec, VectorialPSFSpec])
def test_the_exact_psf_of_a_place_is_that_of_the_mask_moved_by_hand(kind: type[ComputedPSFSpec]) -> None:
    spec = SPEC.to_kind(kind, aberrations={11: 0.3})
    xyz = torch.tensor([[0.03, -0.02, 3.0], [0.0, 0.0, 4.0]], dtype=torch.float64)
    place = torch.cat([EDGE, torch.zeros(1, 2)])
    images = build_psf(spec, MICROSCOPE, TETRAPOD)(xyz, place=place).values
    x, y = footprint_um(FIELD, MICROSCOPE, EDGE)[0].tolist()
    by_hand = PixelMask(moved_phase(TETRAPOD(), MICROSCOPE, (x, y)))
    plain = spec.with_(field=FieldSpec())
    there = build_psf(plain, MICROSCOPE, by_hand)(xyz[:1]).values
    middle = build_psf(plain, MICROSCOPE, TETRAPOD)(xyz[1:]).values
    assert torch.allclose(images[:1], there, atol=1e-9)
    assert torch.allclose(images[1:], middle, atol=1e-9)
    apart = build_psf(plain, MICROSCOPE, TETRAPOD)(xyz[:1]).values - there
    assert float(apart.abs().max()) > 0.05 * float(there.max())


def test_the_table_of_the_field_follows_the_mask() -> None:
    with torch.no_grad():
        table = SPEC.tabulate(MICROSCOPE, TETRAPOD, (2.7, 4.3), (1.0, 1.0))
        exact = build_psf(SPEC, MICROSCOPE, TETRAPOD)
        assert table.field is not None and max(table.field.counts) >= 3
        # From edge to corner, between the places that are tabulated.
        pixels = torch.tensor([[60.0, 40.0], [250.0, 200.0], [430.0, 310.0], [499.0, 0.0]])
        xyz = torch.cat([pixels * MICROSCOPE.pixel_um, torch.tensor([[2.8], [3.3], [3.9], [4.2]])], 1)
        truth = exact(xyz, place=FIELD.places(pixels)).values
        found = table(xyz).values
    assert float((found - truth).abs().max()) < 0.03 * float(truth.max())


def test_places_grow_with_the_change_of_the_mask() -> None:
    field = FieldSpec(mask_offset=5.0)
    counts = [FieldGrid(field, 0.1, (change, 0.0)).counts for change in (0.0, 0.5, 1.5, 50.0, 99.0)]
    assert counts == [(1, 1), (5, 1), (9, 1), (9, 1), (9, 1)]


def test_without_an_offset_nothing_changes_and_old_files_load() -> None:
    old = yaml.safe_load("{size_px: [400, 500], rises: {}}")
    field = spec_from_mapping(FieldSpec, old, source="file")
    assert field.mask_offset == 0 and not field.changes
    assert FIELD.changes and FIELD.with_(mask_offset=-0.1).changes
    table = SPEC.with_(field=field, patch_px=11).tabulate(MICROSCOPE, TETRAPOD, (3.0, 3.1), (1.0, 1.0))
    assert table.field is None


def test_a_mask_that_learns_off_the_pupil_plane_gets_a_gradient() -> None:
    mask = PixelMask(TETRAPOD().detach().clone(), learn=True)
    psf = build_psf(SPEC.with_(patch_px=15), MICROSCOPE, mask)
    psf(torch.tensor([[0.0, 0.0, 3.0]]), place=EDGE).values.square().sum().backward()
    assert mask.phase.grad is not None and float(mask.phase.grad.abs().max()) > 0
