"""A PSF that changes across the field draws at each place what the exact PSF draws with its aberrations."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.field import Field
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.field_aberrations import FieldGrid, FieldSpec
from deepstorm3d.optics.psf import psf_in_field
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.optics.tabulated import TabulatedPSF
from deepstorm3d.optics.vectorial import VectorialPSFSpec

FIELD = FieldSpec(size_px=(300, 400), rises={5: (0.4, -0.2), 8: (0.3, 0.5), 12: (0.0, 0.0)})
SIDE = 25

KINDS = {"scalar": ScalarPSFSpec, "vectorial": VectorialPSFSpec}


def experiment_with(field: FieldSpec, **changes: float) -> Experiment:
    base = preset("quickstart")
    return base.with_(psf=base.psf.with_(patch_px=SIDE, field=field, aberrations={5: 0.05}, **changes))


def table_of(experiment: Experiment) -> TabulatedPSF:
    return experiment.psf.tabulate(
        experiment.microscope,
        experiment_mask(experiment),
        experiment.z_um,
        (1.0, 1.0),
        finer=True,
    )


@pytest.fixture(scope="module")
def table() -> TabulatedPSF:
    return table_of(experiment_with(FIELD))


def scattered(count: int, pixel_um: float) -> torch.Tensor:
    size = torch.tensor([400 * pixel_um, 300 * pixel_um, 1.2])
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(3)) * size


def exact_at(experiment: Experiment, xyz: torch.Tensor) -> torch.Tensor:
    """Each emitter by the exact PSF of its place."""
    pixel, images = experiment.microscope.pixel_um, []
    for place in xyz:
        across = (float(place[0]) / pixel + 0.5) / 400 - 0.5
        down = (float(place[1]) / pixel + 0.5) / 300 - 0.5
        spec = experiment.psf.at(across, down)
        psf = build_psf(spec, experiment.microscope, experiment_mask(experiment))
        images.append(psf(place[None]).values[0])
    return torch.stack(images)


def test_each_place_is_drawn_with_its_own_aberrations(table: TabulatedPSF):
    experiment = experiment_with(FIELD)
    xyz = scattered(12, table.pixel_um)
    true = exact_at(experiment, xyz)
    peak = true.amax((1, 2), keepdim=True)
    assert float(((table(xyz).values - true) / peak).abs().max()) < 0.015
    middle = build_psf(experiment.psf, experiment.microscope, experiment_mask(experiment))(xyz).values
    assert float(((middle - true) / peak).abs().max()) > 0.15


def test_beyond_the_field_it_is_as_at_the_edge(table: TabulatedPSF):
    pixel = table.pixel_um
    edge = torch.tensor([[399.5 * pixel, 120 * pixel, 0.6]])
    beyond = edge + torch.tensor([[50 * pixel, 0.0, 0.0]])
    assert torch.allclose(table(edge).values, table(beyond).values, atol=1e-5)


@pytest.mark.parametrize("model", ["scalar", "vectorial"])
def test_the_exact_psf_draws_each_image_at_the_place_it_is_told(model: str):
    experiment = experiment_with(FIELD)
    experiment = experiment.with_(psf=experiment.psf.to_kind(KINDS[model]))
    xyz = torch.rand(5, 3, generator=torch.Generator().manual_seed(1)).double()
    place = torch.rand(5, 2, generator=torch.Generator().manual_seed(2)).double() - 0.5
    mask = experiment_mask(experiment)
    told = build_psf(experiment.psf, experiment.microscope, mask)(xyz, place=place).values
    for k in range(5):
        alone = build_psf(experiment.psf.at(*place[k].tolist()), experiment.microscope, mask)
        assert torch.allclose(told[k], alone(xyz[k : k + 1]).values[0], atol=1e-9)


def test_not_told_the_exact_psf_is_that_of_the_middle():
    experiment, plain = experiment_with(FIELD), experiment_with(FieldSpec())
    xyz, mask = scattered(3, experiment.microscope.pixel_um), experiment_mask(experiment)
    middle = build_psf(experiment.psf, experiment.microscope, mask)(xyz).values
    assert torch.equal(middle, build_psf(plain.psf, experiment.microscope, mask)(xyz).values)


def test_nothing_that_rises_is_the_same_everywhere():
    assert table_of(experiment_with(FieldSpec(rises={5: (0.0, 0.0)}))).field is None


def test_derivatives_are_those_of_the_images(table: TabulatedPSF):
    xyz, step = scattered(6, table.pixel_um).double(), 1e-4
    # Within a pixel, or the patch would move on.
    xyz[:, :2] = (xyz[:, :2] / table.pixel_um).round() * table.pixel_um
    wide = tabulated_with_blurs()
    blur = torch.full((6,), 1.1, dtype=torch.float64)
    patches, slopes = wide.derivatives(xyz, blur, in_blur=True)
    for axis in range(4):
        shift = torch.zeros(3, dtype=torch.float64)
        wider = step if axis == 3 else 0.0
        if axis < 3:
            shift[axis] = step
        there = wide(xyz + shift, blur + wider).values - wide(xyz - shift, blur - wider).values
        tolerance = 0.02 * float(slopes[:, axis].abs().max())
        assert torch.allclose(there / (2 * step), slopes[:, axis], atol=tolerance)
    assert torch.allclose(patches.values, wide(xyz, blur).values)


def tabulated_with_blurs() -> TabulatedPSF:
    experiment = experiment_with(FIELD)
    mask = experiment_mask(experiment)
    # Single precision has no room for differences of 1e-4 µm.
    table = experiment.psf.tabulate(experiment.microscope, mask, experiment.z_um, (0.9, 1.3))
    return table.double()


def test_a_part_of_the_field_is_drawn_as_in_the_whole(table: TabulatedPSF):
    begin = (210, 96)
    field = Field(120, 150, table.pixel_um, begin)
    part = table.in_field(field)
    xyz = scattered(5, table.pixel_um)
    shift = torch.tensor([210 * table.pixel_um, 96 * table.pixel_um, 0.0])
    whole, here = table(xyz), part(xyz - shift)
    assert torch.allclose(whole.values, here.values, atol=2e-5)
    assert torch.equal(whole.corner - torch.tensor(begin), here.corner)
    _, slopes = part.derivatives(xyz - shift)
    assert torch.allclose(slopes, table.derivatives(xyz)[1], atol=2e-4 * float(slopes.abs().max()))
    # The whole PSF is as it was, and a part knows its place in the whole, not in the part it was made from.
    assert torch.equal(table(xyz).values, whole.values)
    assert torch.equal(part.in_field(field)(xyz - shift).values, here.values)


def test_each_molecule_may_be_measured_in_a_part_of_its_own(table: TabulatedPSF):
    begins = [(0, 0), (210, 96), (150, 0), (0, 130)]
    fields = [Field(120, 150, table.pixel_um, begin) for begin in begins]
    xyz = torch.tensor([[5.0, 4.0, 0.6]]).repeat(4, 1)
    own = table.in_field(fields)(xyz)
    for k, field in enumerate(fields):
        alone = table.in_field(field)(xyz[k : k + 1])
        assert torch.equal(own.values[k], alone.values[0]) and torch.equal(own.corner[k], alone.corner[0])
    assert float((own.values[0] - own.values[1]).abs().max()) > 0.1 * float(own.values.max())


def test_a_psf_that_is_the_same_everywhere_needs_no_place():
    experiment = experiment_with(FieldSpec())
    plain = table_of(experiment)
    there = Field(30, 40, plain.pixel_um, (100, 50))
    assert plain.in_field(there) is plain
    exact = build_psf(
        preset("quickstart").psf, preset("quickstart").microscope, experiment_mask(preset("quickstart"))
    )
    assert psf_in_field(exact, there) is exact


@pytest.mark.parametrize(("rise", "count"), [(0.0, 1), (0.5, 3), (1.4, 5)])
def test_weights_draw_polynomials_and_sum_to_one(rise: float, count: int):
    grid = FieldGrid(FieldSpec(size_px=(100, 200), rises={6: (rise, 0.0)}), 0.1)
    assert grid.counts == (count, 1)
    xyz = torch.rand(20, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([19.9, 9.9, 1.0])
    weights = grid.weights(xyz)
    assert torch.allclose(weights.sum(1), torch.ones(20))
    across = torch.tensor([place[0] for place in grid.places])
    if count > 1:
        exact = (xyz[:, 0] / 0.1 + 0.5) / 200 - 0.5
        assert torch.allclose(weights @ across.square(), exact.square(), atol=1e-6)


def test_aberrations_of_a_place_add_to_those_of_all():
    spec = ScalarPSFSpec(aberrations={5: 0.1, 11: 0.2}, field=FieldSpec(rises={5: (0.4, -0.2), 7: (0.2, 0.2)}))
    there = spec.at(0.5, 0.5)
    assert there.aberrations == pytest.approx({5: 0.2, 11: 0.2, 7: 0.2})
    assert not there.field.changes and spec.field.changes
    assert spec.unaberrated.aberrations == {} and not spec.unaberrated.field.changes


@pytest.mark.parametrize("wrong", [{"size_px": (0, 512)}, {"rises": {0: (0.1, 0.1)}}, {"rises": {5: (0.1,)}}])
def test_a_field_that_cannot_be_is_refused(wrong: dict[str, object]):
    with pytest.raises(ValueError, match=r"size_px|Noll|rises"):
        FieldSpec(**wrong)  # pyright: ignore[reportArgumentType]
