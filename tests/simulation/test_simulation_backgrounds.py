"""Backgrounds: their levels, their shapes, their seeds."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from deepstorm3d.simulation import (
    Field,
    NoBackground,
    SmoothBackground,
    SuperGaussianBackground,
    UniformBackground,
)
from deepstorm3d.supergaussian import rescale, super_gaussian

FIELD = Field(height=90, width=121, pixel_um=0.11)
ALL = [NoBackground(), UniformBackground(low=10, high=90), SuperGaussianBackground(), SmoothBackground()]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("background", ALL, ids=lambda b: b.kind)
def test_every_background_fills_the_frames_and_repeats_with_its_seed(background: NoBackground) -> None:
    first, again = (background.draw(3, FIELD, seeded(1)) for _ in range(2))
    assert first.shape == (3, 90, 121) and first.dtype == torch.float32
    assert torch.equal(first, again)
    assert first.min() >= 0
    assert background.draw(0, FIELD, seeded()).shape == (0, 90, 121)
    if background.kind != "none":
        assert not torch.equal(first, background.draw(3, FIELD, seeded(2)))
        assert not torch.equal(first[0], first[1])


def test_no_background_is_dark() -> None:
    assert NoBackground().draw(2, FIELD, seeded()).eq(0).all()


def test_a_uniform_background_has_one_level_a_frame() -> None:
    image = UniformBackground(low=10, high=90).draw(500, FIELD, seeded())
    assert image.amax((1, 2)).eq(image.amin((1, 2))).all()
    assert 10 <= image.min() < 12 and 88 < image.max() <= 90


def test_a_super_gaussian_background_spans_its_floor_and_peak_exactly() -> None:
    image = SuperGaussianBackground(floor=(25, 25), peak=(140, 140)).draw(50, FIELD, seeded())
    assert torch.allclose(image.amin((1, 2)), torch.tensor(25.0))
    assert torch.allclose(image.amax((1, 2)), torch.tensor(140.0))


def test_the_floors_and_peaks_of_super_gaussians_fill_their_ranges() -> None:
    image = SuperGaussianBackground().draw(500, FIELD, seeded())
    floor, peak = image.amin((1, 2)), image.amax((1, 2))
    assert 20 <= floor.min() < 20.5 and 29.5 < floor.max() <= 30
    assert 100 <= peak.min() < 102 and 148 < peak.max() <= 150.001


def test_a_super_gaussian_lies_within_10_pixels_of_the_middle() -> None:
    image = SuperGaussianBackground().draw(200, FIELD, seeded()).double()
    weight = (image - image.amin((1, 2), keepdim=True)) ** 8
    x = (weight * torch.arange(121)).sum((1, 2)) / weight.sum((1, 2)) - 60
    y = (weight * torch.arange(90)[:, None]).sum((1, 2)) / weight.sum((1, 2)) - 44.5
    for place in (x, y):
        assert place.abs().max() < 11.5
        assert place.abs().max() > 8


def test_a_super_gaussian_falls_to_exp_minus_a_quarter_at_its_width_along_its_angle() -> None:
    # At u = wu the quadratic form is ½, its square ¼.
    angle = math.pi / 6
    step = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64) * 20
    centre = torch.stack((torch.tensor([50.0, 40.0], dtype=torch.float64) - step,) * 2)
    widths = torch.tensor([[20.0, 10.0], [10.0, 20.0]], dtype=torch.float64)
    value = super_gaussian((81, 101), centre, widths, torch.tensor([angle] * 2, dtype=torch.float64))[:, 40, 50]
    assert value.tolist() == pytest.approx([math.exp(-0.25), math.exp(-4.0)])


def test_rescaling_a_flat_image_gives_the_low_level() -> None:
    image = rescale(torch.ones(1, 4, 4), torch.tensor([3.0]), torch.tensor([9.0]))
    assert image.eq(3).all()


def test_a_smooth_background_stays_in_range_and_varies_over_its_correlation_length() -> None:
    field = Field(height=200, width=200, pixel_um=0.1)
    image = SmoothBackground(low=20, high=150, correlation_um=2.0).draw(200, field, seeded()).double()
    assert image.min() >= 20 - 1e-4 and image.max() <= 150 + 1e-4

    def correlation(shift: int) -> float:
        image_0 = image - image.mean((1, 2), keepdim=True)
        a, b = image_0[:, :, : 200 - shift], image_0[:, :, shift:]
        return float((a * b).sum() / (a * a).sum())

    assert correlation(1) > 0.98
    assert 0.1 < correlation(15) < 0.6
    assert abs(correlation(80)) < 0.1


def test_a_smooth_background_may_be_smoother_than_the_field_is_wide() -> None:
    image = SmoothBackground(correlation_um=500).draw(3, FIELD, seeded())
    assert (image.amax((1, 2)) - image.amin((1, 2))).max() < 10


def test_levels_that_fall_are_refused() -> None:
    for kind, wrong in (
        (UniformBackground, {"low": 5, "high": 2}),
        (SmoothBackground, {"low": 5, "high": 2}),
        (SuperGaussianBackground, {"floor": [30, 20]}),
        (SuperGaussianBackground, {"floor": [20, 120]}),
    ):
        with pytest.raises(ValidationError):
            kind.model_validate(wrong)
