"""Training frames: scenes mixed by weight, labels for what can be found and nothing else."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.camera import IdealCamera
from deepstorm3d.emitters import Emitters
from deepstorm3d.field import Field
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.field_aberrations import FieldSpec
from deepstorm3d.optics.masks import ZeroMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF, ScalarPSFSpec
from deepstorm3d.simulation.backgrounds import UniformBackground
from deepstorm3d.simulation.priors import EmitterPrior, FixedCount, FixedPhotons, Scene, UniformPhotons
from deepstorm3d.simulation.simulator import Simulator
from deepstorm3d.training.sampler import FrameSampler

SIDE = 20


@pytest.fixture(scope="module")
def psf() -> ScalarPSF:
    microscope = Microscope(focus=0.0)
    return build_psf(ScalarPSFSpec(patch_px=11, blur_px=1.0), microscope, ZeroMask().build(microscope))


def scene(level: float, *, weight: float = 1.0, count: int = 2, **prior: object) -> Scene:
    emitters = {"count": FixedCount(count=count), "z_um": (0.0, 0.5), "margin_px": (4.0, 4.0), **prior}
    return Scene(
        emitters=EmitterPrior(**emitters),  # pyright: ignore[reportArgumentType]
        background=UniformBackground(low=level, high=level),
        weight=weight,
    )


def sampler(psf: ScalarPSF, *scenes: Scene) -> FrameSampler:
    return FrameSampler(Simulator(psf, IdealCamera(), Field(SIDE, SIDE, psf.pixel_um)), scenes)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_scenes_are_mixed_in_proportion_to_their_weights(psf: ScalarPSF) -> None:
    draws = sampler(psf, scene(10, weight=3.0, count=0), scene(1000, count=0)).draw(400, seeded(0))
    assert draws.photons.shape == (400, SIDE, SIDE)
    bright = (draws.photons.mean((1, 2)) > 500).double().mean()
    assert bright == pytest.approx(0.25, abs=0.07)
    assert len(draws.truth) == 0


def test_labels_stand_in_the_frame_that_shows_them_whatever_the_scene(psf: ScalarPSF) -> None:
    dim = scene(10, count=1, photons=FixedPhotons(photons=20_000.0), blur_px=(1.0, 1.2))
    bright = scene(500, count=3, photons=FixedPhotons(photons=90_000.0))
    batch = sampler(psf, dim, bright).draw(30, seeded(1))
    is_bright = batch.photons.amin((1, 2)) > 250
    assert 0 < is_bright.sum() < 30
    expected = torch.where(is_bright, 3, 1)
    assert torch.equal(torch.bincount(batch.truth.frame, minlength=30), expected)
    column, row = (batch.truth.xyz[:, :2] / psf.pixel_um).round().long().unbind(1)
    level = batch.photons.median(2).values.median(1).values[batch.truth.frame]
    assert (batch.photons[batch.truth.frame, row, column] > level + 200).all()


def test_dim_emitters_shine_but_bear_no_label(psf: ScalarPSF) -> None:
    photons = UniformPhotons(low=1000.0, high=9000.0)
    batch = sampler(psf, scene(0, count=5, photons=photons, min_photons=5000.0)).draw(50, seeded(2))
    assert batch.truth.photons.min() >= 5000
    assert 0.4 < len(batch.truth) / 250 < 0.6
    # Labelled light alone would be 2.5 × 7000 photons a frame, all of it 5 × 5000 (some misses the patch).
    assert batch.photons.sum((1, 2)).mean() > 19_000


def test_emitters_outside_the_frame_shine_in_but_bear_no_label(psf: ScalarPSF) -> None:
    wide = scene(0, count=40, margin_px=(-4.0, -4.0), photons=FixedPhotons(photons=5000.0))
    batch = sampler(psf, wide).draw(20, seeded(3))
    place = batch.truth.xyz[:, :2] / psf.pixel_um
    assert place.min() >= -0.5 and place.max() < SIDE - 0.5
    inside = SIDE**2 / (SIDE + 8) ** 2
    assert len(batch.truth) / 800 == pytest.approx(inside, abs=0.06)
    alone = sampler(psf, scene(0, count=0)).simulator.expected(batch.truth, torch.zeros(20, SIDE, SIDE))
    edge = torch.ones(SIDE, SIDE, dtype=torch.bool)
    edge[2:-2, 2:-2] = False
    assert batch.photons[:, edge].mean() > 1.1 * alone[:, edge].mean()


def test_a_seed_reproduces_a_batch_and_the_next_draw_differs(psf: ScalarPSF) -> None:
    frames = sampler(psf, scene(20), scene(50))
    generator = seeded(4)
    first, second = frames.draw(4, generator), frames.draw(4, generator)
    again = frames.draw(4, seeded(4))
    assert torch.equal(first.photons, again.photons)
    assert torch.equal(first.truth.xyz, again.truth.xyz)
    assert not torch.equal(first.photons, second.photons)


def test_a_sampler_needs_a_scene(psf: ScalarPSF) -> None:
    with pytest.raises(ValueError, match="at least one scene"):
        sampler(psf)


def test_crops_come_from_everywhere_in_a_field_that_changes(psf: ScalarPSF) -> None:
    model = Simulator(psf, IdealCamera(), Field(60, 100, psf.pixel_um, (7, 9)))
    sampler = FrameSampler(model, [scene(10, count=1)], crop_px=SIDE)
    crops = sampler.expose(sampler.scenes[0], 300, seeded(2)).crops
    assert crops is not None
    begin = torch.tensor([crop.origin_px for crop in crops])
    assert begin.min(0).values.tolist() == [7, 9]
    assert begin.max(0).values.tolist() == [7 + 100 - SIDE, 9 + 60 - SIDE]
    # Labels count from the crop's own first pixel.
    assert float(sampler.draw(300, seeded(2)).truth.xyz[:, :2].max()) < SIDE * psf.pixel_um


def test_a_crop_shows_the_aberrations_of_its_place() -> None:
    microscope = Microscope(focus=0.0)
    across = FieldSpec(size_px=(SIDE, 200), rises={6: (1.0, 0.0)})
    mask = ZeroMask().build(microscope)
    spec = ScalarPSFSpec(patch_px=11, blur_px=1.0, field=across)
    table = spec.tabulate(microscope, mask, (0.0, 0.5), (1.0, 1.0))
    whole = Field(SIDE, 200, table.pixel_um)
    model = Simulator(table, IdealCamera(), whole)
    middle = torch.tensor([[10 * table.pixel_um, 10 * table.pixel_um, 0.4]]).repeat(2, 1)
    emitters = Emitters(middle, torch.tensor([0, 1]), torch.full((2,), 1000.0), torch.arange(2))
    crops = [whole.part((x, 0, x + SIDE, SIDE)) for x in (0, 200 - SIDE)]
    left, right = model.expected(emitters, torch.zeros(2, SIDE, SIDE), crops)
    for frame, place in ((left, -0.4475), (right, 0.4525)):
        exact = build_psf(spec.at(place, 0.0), microscope, mask)(middle[:1]).values[0]
        assert torch.allclose(frame[5:16, 5:16], 1000 * exact, atol=0.015 * 1000 * float(exact.max()))
    assert float((left - right).abs().max()) > 0.1 * float(left.max())
