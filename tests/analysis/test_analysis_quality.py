"""The quality of a list is that of its columns: counted, and in their units."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.quality import list_quality, local_density
from deepstorm3d.emitters import Localizations


def made(n: int = 4000, frames: int = 100) -> Localizations:
    """Rows over 10 µm, σ of z growing with depth from 10 to 30 nm."""
    g = torch.Generator().manual_seed(2)
    xyz = torch.rand(n, 3, generator=g) * torch.tensor([10.0, 10.0, 2.0])
    found = Localizations.proposals(xyz, torch.arange(n) * frames // max(n, 1), torch.rand(n, generator=g))
    sigma = torch.stack([torch.full((n,), 0.005), torch.full((n,), 0.006), 0.01 + 0.01 * xyz[:, 2]], 1)
    return dataclasses.replace(
        found, photons=1000 + 4000 * torch.rand(n, generator=g), sigma_xyz=sigma, sigma_source="fit"
    )


def test_columns_are_counted_in_their_units():
    quality = list_quality(made(), 100)
    assert (quality.rows, quality.frames, quality.per_frame) == (4000, 100, 40.0)
    photons = quality.columns["photons"]
    assert photons.quantiles == pytest.approx((1200, 2000, 3000, 4000, 4800), rel=0.05)
    assert photons.counts.sum() == pytest.approx(0.99 * 4000, abs=2)
    assert quality.columns["sigma_x_nm"].median == pytest.approx(5, abs=1e-4)
    assert quality.columns["z_nm"].median == pytest.approx(1000, rel=0.05)


def test_a_column_that_nobody_measured_is_not_shown():
    quality = list_quality(made(), 100)
    assert "background" not in quality.columns
    assert "fit_quality" not in quality.columns
    half = torch.zeros(4000)
    half[:1000] = 1.5
    fitted = list_quality(dataclasses.replace(made(), fit_quality=half), 100).columns["fit_quality"]
    assert (fitted.rows, fitted.median) == (1000, 1.5)


def test_sigma_is_followed_through_the_depth():
    depth = list_quality(made(), 100).depth
    assert depth is not None
    assert np.allclose(depth.quartiles[:, 2, 1], 10 + 0.01 * depth.at, atol=0.3)
    assert np.allclose(depth.quartiles[:, 0], 5, atol=1e-4)


def test_rows_are_counted_along_the_movie():
    found = made()
    late = found.select(found.frame >= 50)
    time = list_quality(late, 100).time
    assert time is not None
    assert time.mean[time.at < 49].max() == 0
    assert np.allclose(time.mean[time.at > 50], 40)


def test_density_counts_the_neighbours_of_the_same_frame():
    place = [[0, 0, 0], [0.5, 0, 5], [0.9, 0, 0], [0.1, 0, 0]]
    pair = Localizations.proposals(
        torch.tensor(place, dtype=torch.float32), torch.tensor([0, 0, 0, 1]), torch.ones(4)
    )
    assert (local_density(pair) * math.pi).tolist() == pytest.approx([2, 2, 2, 0])
    # Uniform: as many neighbours per area as rows per area, less what lies outside of the field.
    assert np.mean(local_density(made())) == pytest.approx(0.4 * 0.91, rel=0.06)


def test_long_lists_are_sampled_by_whole_frames(monkeypatch):
    whole = np.mean(local_density(made()))
    monkeypatch.setattr("deepstorm3d.analysis.quality._DENSITY_ROWS", 1000)
    some = local_density(made())
    assert 600 < len(some) < 1100
    assert np.mean(some) == pytest.approx(whole, rel=0.1)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_long_list_with_rows_in_every_third_frame_has_the_same_density(monkeypatch, first: int):
    monkeypatch.setattr("deepstorm3d.analysis.quality._DENSITY_ROWS", 1000)
    every = made()
    sparse = dataclasses.replace(every, frame=3 * every.frame + first)
    assert np.array_equal(local_density(sparse), local_density(every))
