"""Frames of one kind are alike, of two kinds not; lists of points find their shift."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from deepstorm3d.analysis.point_registration import register_points
from deepstorm3d.errors import InputError
from deepstorm3d.frames.similarity import compare_frames, radial_spectrum


def noise(sigma: float, seed: int) -> np.ndarray:
    return 100 + sigma * np.random.default_rng(seed).standard_normal((10, 80, 80))


def test_two_draws_of_one_noise_are_alike():
    similarity = compare_frames(noise(5, 1), noise(5, 2)[:, :66, :64])
    assert similarity.complaints() == []
    assert max(similarity.values, similarity.contrasts, similarity.spectra) < 0.15


def test_stronger_noise_is_told_in_all_three():
    similarity = compare_frames(noise(5, 1), noise(9, 2))
    assert similarity.values == pytest.approx(0.8 * np.sqrt(2 / np.pi), rel=0.05)
    assert similarity.spectra == pytest.approx(2 * np.log(9 / 5), rel=0.05)
    assert len(similarity.complaints()) == 3


def test_white_noise_has_its_variance_at_every_frequency():
    assert radial_spectrum(noise(3, 4)).power == pytest.approx(9.0, rel=0.15)


def test_frames_that_cannot_be_compared_are_refused():
    with pytest.raises(InputError, match="16 px"):
        compare_frames(noise(1, 1), noise(1, 1)[:, :8])


def test_points_find_their_shift_among_false_and_missing_ones():
    generator = np.random.default_rng(1)
    truth = generator.uniform([0, 0, 2], [20, 20, 6], (60, 3))
    moved = np.concatenate([truth[10:] - [0.31, -0.42, 0.83], generator.uniform(0, 20, (15, 3))])
    moved += 0.03 * generator.standard_normal(moved.shape)
    shift = register_points(moved, truth)
    assert shift.xyz == pytest.approx([0.31, -0.42, 0.83], abs=0.02)
    assert shift.pairs > 40
    with pytest.raises(InputError, match="cannot be registered"):
        register_points(generator.uniform(0, 20, (40, 3)), truth)
    with pytest.raises(InputError, match="cannot be registered"):
        register_points(np.zeros((0, 3)), truth)


def test_long_lists_are_registered_frame_by_frame_in_little_memory():
    generator = np.random.default_rng(2)
    frames, rows = 1000, 20_000
    frame = generator.integers(0, frames, rows)
    truth = generator.uniform(0, [20, 20, 2], (rows, 3))
    kept = generator.permutation(rows)[:18_000]
    moved = truth[kept] - [0.3, -0.7, 0.11] + generator.normal(0, 0.01, (len(kept), 3))
    tracemalloc.start()
    shift = register_points(moved, truth, (frame[kept], frame))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(shift.xyz, [0.3, -0.7, 0.11], atol=5 * shift.sigma.max())
    assert shift.pairs > 0.95 * len(kept)
    # All rows with all others would be 9 GB.
    assert peak < 1e8
    # Rows of other frames are no partners.
    with pytest.raises(InputError, match="cannot be registered"):
        register_points(moved, truth, (frame[kept], frame + frames))
