"""Fourier correlation: theory for known structures, what block splits are for, answers that are no number."""

from __future__ import annotations

import numpy as np
import pytest

from deepstorm3d.analysis.fourier import (
    THRESHOLD,
    Correlation,
    Grid,
    _fade,
    _tiles,
    block_halves,
    correlate,
    slabs,
    smoothed,
)
from deepstorm3d.errors import InputError

GRID = Grid((0.005, 0.005), (1024, 1024), 4)
WIDTH = 5.0


def places(number: int, seed: int) -> np.ndarray:
    return WIDTH * np.random.default_rng(seed).random((number, 2))


def halves_of(frame: np.ndarray, block: int = 100, splits: int = 3) -> list[np.ndarray]:
    return block_halves(frame, block, splits, np.random.default_rng(5))


@pytest.mark.parametrize(("sigma_um", "per_half"), [(0.010, 10.0), (0.015, 4.0), (0.015, 20.0)])
def test_many_localizations_of_each_molecule_resolve_as_theory_says(sigma_um: float, per_half: float):
    # FRC(q) = m g / (1 + m g), g = exp(−4π²σ²q²), m localizations of each molecule in a half.
    rng = np.random.default_rng(1)
    molecules = places(1500, 2)
    who = rng.integers(len(molecules), size=int(2 * per_half * len(molecules)))
    points = molecules[who] + sigma_um * rng.normal(size=(len(who), 2))
    found = correlate(points, halves_of(rng.integers(5000, size=len(who))), GRID)
    expected = 2 * np.pi * sigma_um / np.sqrt(np.log(6 * per_half))
    assert found.resolution_um == pytest.approx(expected, rel=0.05)
    assert found.status == "measured"
    gain = per_half * np.exp(-((2 * np.pi * sigma_um * found.frequency) ** 2))
    middle = slice(10, len(gain) // 2)
    assert np.abs(found.smooth.mean(0) - gain / (1 + gain))[middle].max() < 0.06


def test_evenly_spread_noise_does_not_correlate():
    points = places(30_000, 3)
    found = correlate(points, halves_of(np.random.default_rng(4).integers(5000, size=len(points))), GRID)
    assert np.abs(found.smooth[:, 5:]).max() < 0.1
    assert found.resolution_um is None
    assert found.status == "never above"


def test_blinks_over_neighbouring_frames_correlate_only_where_single_localizations_are_dealt_out():
    rng = np.random.default_rng(6)
    molecules = np.repeat(places(10_000, 7), 4, axis=0)
    frame = np.repeat(rng.integers(4996, size=10_000), 4) + np.tile(np.arange(4), 10_000)
    points = molecules + 0.01 * rng.normal(size=molecules.shape)
    single = correlate(points, [rng.random(len(frame)) < 0.5], GRID)
    blocks = correlate(points, halves_of(frame, 250), GRID)
    low = slice(5, 50)
    assert single.smooth[:, low].min() > 0.5
    assert np.abs(blocks.smooth[:, low]).max() < THRESHOLD
    assert single.status == "measured"
    assert blocks.status == "never above"


def test_a_resolution_finer_than_the_pixels_is_no_number():
    rng = np.random.default_rng(8)
    points = places(300, 9)[rng.integers(300, size=20_000)] + 0.002 * rng.normal(size=(20_000, 2))
    found = correlate(points, halves_of(rng.integers(5000, size=20_000)), Grid((0.02, 0.02), (256, 256), 4))
    assert found.resolution_um is None
    assert found.status == "beyond the pixels"


def test_shells_in_3d_follow_the_same_theory():
    rng = np.random.default_rng(10)
    molecules = np.random.default_rng(11).random((400, 3))
    who = rng.integers(400, size=8000)
    points = molecules[who] + 0.02 * rng.normal(size=(8000, 3))
    found = correlate(points, halves_of(rng.integers(5000, size=8000)), Grid((0.01,) * 3, (108,) * 3, 4))
    assert found.resolution_um == pytest.approx(2 * np.pi * 0.02 / np.sqrt(np.log(60)), rel=0.07)


def test_sections_of_slabs_resolve_their_own_axes():
    rng = np.random.default_rng(12)
    molecules = rng.random((1500, 3)) * [4.0, 3.0, 2.0]
    who = rng.integers(1500, size=30_000)
    points = molecules[who] + 0.015 * rng.normal(size=(30_000, 3))
    side = slabs(points, 1, 1.0, 1024 * 0.005)
    assert np.allclose(side[:, 1], points[:, 2] - points[:, 2].min())
    found = correlate(side, halves_of(rng.integers(5000, size=30_000)), Grid((0.005, 0.005), (1024, 512), 4))
    assert found.resolution_um == pytest.approx(2 * np.pi * 0.015 / np.sqrt(np.log(60)), rel=0.05)


def test_a_tile_has_points_of_one_slab_only_in_a_field_of_any_shape():
    """A triangle: its slabs have neither the same first point nor the same last one."""
    rng = np.random.default_rng(13)
    points = rng.random((20_000, 3)) * [10.0, 6.0, 1.0]
    points = points[points[:, 0] < 10.0 * (1 - points[:, 1] / 6.0)]
    for across, flipped in ((1, False), (1, True), (0, False), (0, True)):
        turned = points * [-1.0, 1.0, 1.0] if flipped else points
        side = slabs(turned, across, 1.0, 2.56)
        slab = np.floor(turned[:, across] - turned[:, across].min())
        tiles = list(_tiles(side, Grid((0.02, 0.02), (128, 64), 1000, begin_um=0.0)))
        assert sum(len(rows) for rows, _ in tiles) > 0.99 * len(points)
        for rows, _ in tiles:
            assert len(np.unique(slab[rows])) == 1


def test_blocks_stay_whole_and_half_of_them_are_taken():
    frame = np.arange(1000)
    for half in block_halves(frame, 50, 4, np.random.default_rng(1)):
        by_block = half.reshape(20, 50)
        assert (by_block.all(1) | ~by_block.any(1)).all()
        assert by_block[:, 0].sum() == 10


def test_too_few_blocks_are_refused():
    with pytest.raises(InputError, match="fewer than 4 blocks of 50"):
        block_halves(np.arange(150), 50, 1, np.random.default_rng(1))


def test_smoothing_keeps_a_straight_line():
    line = np.linspace(1, 0, 200)
    assert np.allclose(smoothed(line, np.arange(1.0, 201.0)), line)


def test_spread_needs_several_halvings():
    q = np.arange(1, 11.0)
    curve = np.linspace(1, 0, 10)[None]
    one = Correlation(q, curve, curve, np.zeros(10), 10.0)
    assert one.spread_um is None
    at = 1 + (1 - THRESHOLD) * 9
    assert one.resolution_um == pytest.approx(1 / at)


@pytest.mark.parametrize("shape", [(48, 64), (16, 20, 24)])
def test_the_correlation_is_that_of_the_two_halves_transformed_each(shape: tuple[int, ...]):
    grid, rng = Grid((0.01,) * len(shape), shape, 1), np.random.default_rng(12)
    spots = 0.01 * np.array(shape) * rng.random((40, len(shape)))
    points = spots[rng.integers(40, size=3000)] + 0.012 * rng.normal(size=(3000, len(shape)))
    points = points[((points > 0) & (points < 0.01 * np.array(shape))).all(1)]
    halves = [rng.random(len(points)) < share for share in (0.45, 0.55, 0.999)]
    found = correlate(points, halves, grid)
    low = (points.min(0) + points.max(0) - 0.01 * np.array(shape)) / 2
    cell = np.floor((points - low) / 0.01).astype(int)
    fade = _fade(shape).astype(np.float64)
    ring, number = grid.rings()
    for curve, first in zip(found.raw, halves, strict=True):
        spectra = []
        for half in (first, ~first):
            counts = np.zeros(shape)
            np.add.at(counts, tuple(cell[half].T), 1)
            level = (counts * fade).sum() / fade.sum()
            spectra.append(np.fft.rfftn((counts - level) * fade))
        one, other = spectra
        products = ((one * other.conj()).real, np.abs(one) ** 2, np.abs(other) ** 2)
        across, of_one, of_other = (
            np.array([product[ring == each].sum() for each in range(1, number)]) for product in products
        )
        assert curve == pytest.approx(across / np.sqrt(of_one * of_other), abs=2e-5)


@pytest.mark.parametrize("size", [16, 101, 2048])
def test_the_window_is_a_tukey_window(size: int):
    from scipy.signal.windows import tukey

    assert _fade((size,)) == pytest.approx(tukey(size + 2, 0.25)[1:-1], abs=1e-6)


def test_where_all_rows_are_in_one_half_nothing_correlates():
    points = places(2000, 13)
    for first in (np.ones(2000, np.bool_), np.zeros(2000, np.bool_)):
        found = correlate(points, [first], GRID)
        assert not found.raw.any()
        assert found.status == "never above"
