"""Emitter priors: numbers, places, depths and brightness as the record asks for them."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from deepstorm3d.errors import InputError
from deepstorm3d.simulation import (
    DensityCount,
    EmitterPrior,
    Field,
    FixedCount,
    FixedPhotons,
    GammaPhotons,
    Scene,
    SuperGaussianBackground,
    UniformCount,
    UniformPhotons,
)
from deepstorm3d.spec import spec_from_mapping

FIELD = Field(height=121, width=121, pixel_um=0.11)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def per_frame(prior: EmitterPrior, frames: int, field: Field = FIELD) -> torch.Tensor:
    return torch.bincount(prior.draw(frames, field, seeded()).frame, minlength=frames)


def test_a_fixed_count_is_in_every_frame() -> None:
    assert per_frame(EmitterPrior(count=FixedCount(count=7)), 50).eq(7).all()


def test_a_uniform_count_takes_every_number_from_low_to_high_alike() -> None:
    counts = per_frame(EmitterPrior(count=UniformCount(low=1, high=5)), 5000)
    shares = torch.bincount(counts, minlength=6) / 5000
    assert shares[0] == 0 and len(shares) == 6
    torch.testing.assert_close(shares[1:], torch.full((5,), 0.2), rtol=0, atol=0.03)


def test_a_density_gives_poisson_numbers_over_the_area_inside_the_margin() -> None:
    counts = per_frame(EmitterPrior(count=DensityCount(low=0.5, high=0.5)), 4000).double()
    mean = 0.5 * (81 * 0.11) ** 2
    assert counts.mean().item() == pytest.approx(mean, rel=0.01)
    assert counts.var().item() == pytest.approx(mean, rel=0.08)


def test_a_range_of_densities_spreads_the_numbers_beyond_poisson() -> None:
    counts = per_frame(EmitterPrior(count=DensityCount(low=0.2, high=1.2)), 4000).double()
    area = (81 * 0.11) ** 2
    assert counts.mean().item() == pytest.approx(0.7 * area, rel=0.02)
    assert counts.var().item() == pytest.approx(0.7 * area + area**2 / 12, rel=0.08)


def test_emitters_fill_the_pixels_inside_the_margin_and_no_others() -> None:
    field = Field(height=60, width=100, pixel_um=0.11)
    xyz = (
        EmitterPrior(count=FixedCount(count=500), margin_px=(20, 20), z_um=(0, 4)).draw(20, field, seeded()).xyz
    )
    x, y, z = xyz[:, 0] / 0.11, xyz[:, 1] / 0.11, xyz[:, 2]
    for place, low, high in ((x, 19.5, 79.5), (y, 19.5, 39.5), (z, 0.0, 4.0)):
        assert low <= place.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < place.max() <= high
        assert place.mean().item() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))


def test_a_negative_margin_puts_emitters_outside_the_frame_too() -> None:
    field = Field(height=50, width=50, pixel_um=0.1)
    prior = EmitterPrior(count=DensityCount(low=1, high=1), margin_px=(-10, -10))
    emitters = prior.draw(400, field, seeded())
    x = emitters.xyz[:, 0] / 0.1
    assert x.min() < -10 and x.max() > 59 and x.min() >= -10.5 and x.max() <= 59.5
    assert len(emitters) / 400 == pytest.approx(7 * 7, rel=0.02)


def test_the_margin_differs_from_frame_to_frame_within_its_range() -> None:
    prior = EmitterPrior(count=FixedCount(count=2000), margin_px=(0, 30))
    emitters = prior.draw(100, FIELD, seeded())
    reach = torch.stack([(emitters.xyz[emitters.frame == k, 0] / 0.11 + 0.5).min() for k in range(100)])
    assert reach.min() < 2 and reach.max() > 28
    assert reach.mean().item() == pytest.approx(15, abs=3)


def test_a_margin_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(InputError, match="no room"):
        EmitterPrior(margin_px=(0, 20)).draw(1, Field(40, 80, 0.11), seeded())


def test_photons_follow_their_distribution() -> None:
    for photons, mean, variance in (
        (FixedPhotons(photons=30_000), 30_000, 0),
        (UniformPhotons(low=10_000, high=60_000), 35_000, 50_000**2 / 12),
        (GammaPhotons(shape=3, scale=3000), 9000, 3 * 3000**2),
    ):
        drawn = EmitterPrior(count=FixedCount(count=1000), photons=photons).draw(50, FIELD, seeded()).photons
        assert drawn.mean().item() == pytest.approx(mean, rel=0.02)
        assert drawn.double().var().item() == pytest.approx(variance, rel=0.05)


def test_dim_emitters_are_drawn_but_not_labelled() -> None:
    prior = EmitterPrior(
        count=FixedCount(count=200), photons=GammaPhotons(shape=3, scale=3000), min_photons=6000
    )
    emitters = prior.draw(50, FIELD, seeded())
    labelled = prior.labelled(emitters)
    assert torch.equal(labelled, emitters.photons >= 6000)
    # A gamma of shape 3 exceeds 2 scales with probability 5/e².
    assert labelled.float().mean().item() == pytest.approx(0.6767, abs=0.02)


def test_blur_is_in_its_range_or_left_to_the_psf() -> None:
    blur = EmitterPrior(count=FixedCount(count=300), blur_px=(0.75, 1.25)).draw(3, FIELD, seeded()).blur_px
    assert blur is not None and 0.75 <= blur.min() < 0.77 and 1.23 < blur.max() <= 1.25
    assert EmitterPrior().draw(3, FIELD, seeded()).blur_px is None


def test_rows_come_in_order_of_frame_each_with_its_own_id() -> None:
    emitters = EmitterPrior(count=UniformCount(low=0, high=5)).draw(30, FIELD, seeded())
    assert emitters.frame.diff().ge(0).all()
    assert torch.equal(emitters.id, torch.arange(len(emitters)))
    assert emitters.xyz.dtype == emitters.photons.dtype == torch.float32


def test_no_emitters_is_an_empty_table() -> None:
    assert len(EmitterPrior(count=FixedCount(count=0), blur_px=(1, 1)).draw(4, FIELD, seeded())) == 0
    assert len(EmitterPrior().draw(0, FIELD, seeded())) == 0


def test_a_seed_gives_the_same_emitters_again() -> None:
    first, again, other = (EmitterPrior().draw(5, FIELD, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.xyz, again.xyz) and torch.equal(first.photons, again.photons)
    assert not torch.equal(first.xyz[:5], other.xyz[:5])


def test_a_scene_survives_its_plain_form() -> None:
    scene = Scene(
        emitters=EmitterPrior(count=DensityCount(low=0, high=2), photons=GammaPhotons(), blur_px=(0.75, 1.25)),
        background=SuperGaussianBackground(),
        weight=2,
    )
    assert spec_from_mapping(Scene, scene.to_mapping()) == scene


def test_ranges_that_fall_are_refused() -> None:
    for wrong in (
        {"z_um": [4, 2]},
        {"margin_px": [5, 1]},
        {"blur_px": [-1, 1]},
        {"count": {"kind": "uniform", "low": 9, "high": 3}},
        {"photons": {"kind": "uniform", "low": 9, "high": 3}},
    ):
        with pytest.raises(ValidationError):
            EmitterPrior.model_validate(wrong)
