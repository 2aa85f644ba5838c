"""The noise that clipping hides is told from the counts that are left, and only where counts were clipped."""

from __future__ import annotations

import pytest
import torch
from scenes_of_pixels import movie

from deepstorm3d.pixels.clipping import clipped_noise


def dark(sigma: float) -> torch.Tensor:
    return sigma * torch.randn(8, 60, 60, generator=torch.Generator().manual_seed(4))


def test_noise_cut_in_its_middle_is_what_was_there() -> None:
    for sigma in (3.0, 40.0):
        assert clipped_noise(dark(sigma).clamp(min=0)) == pytest.approx(sigma, rel=0.1)
        assert clipped_noise(dark(sigma).clamp(min=0) + 100) == pytest.approx(sigma, rel=0.1)


def test_noise_below_a_threshold_is_at_least_the_threshold() -> None:
    cut = torch.where(dark(10.0) > 25, dark(10.0), 0.0)
    assert 25 < clipped_noise(cut) < 60


def test_a_few_hot_pixels_do_not_count() -> None:
    cut = dark(10.0).clamp(min=0)
    cut[:, ::15, ::15] = 10000.0
    assert clipped_noise(cut) == pytest.approx(10, rel=0.15)


def test_frames_that_were_not_clipped_hide_nothing() -> None:
    assert clipped_noise(dark(10.0).round()) == 0
    assert clipped_noise(movie(4, level=3.0)) == 0
    assert clipped_noise(movie(4, level=60.0) * 10 + 100) == 0
    assert clipped_noise(torch.zeros(3, 20, 20)) == 0
    assert clipped_noise(torch.zeros(0, 20, 20)) == 0
