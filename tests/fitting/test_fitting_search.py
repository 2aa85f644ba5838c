"""The matched filter: its gain is the fall of the deviance, its candidates lie where molecules are missing."""

from __future__ import annotations

import gc
import math
import weakref
from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, MICROSCOPE, SIZE, scene, table
from torch import Tensor

from deepstorm3d.fitting import search as search_module
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.search import Candidates, MatchedFilter, gain_threshold
from deepstorm3d.noise import Noise
from deepstorm3d.optics.assembly import Assembly

PIXEL = MICROSCOPE.pixel_um


def matched_filter(step_um: float = 0.125) -> MatchedFilter:
    return MatchedFilter(table(), DEPTH, SIZE, torch.zeros(1, dtype=torch.float64), step_um)


def image_of(xyz: Tensor, photons: float, size: tuple[int, int] = SIZE) -> Tensor:
    """One molecule alone in a frame: (1, H, W)."""
    patches = table()(xyz)
    assembled = Assembly(patches.corner, torch.zeros(len(xyz), dtype=torch.int64), (21, 21), (1, *size))
    return assembled.add(assembled.inside(patches.values * photons))


def found(
    filter_: MatchedFilter,
    likelihood: Likelihood,
    mean: Tensor,
    least: float,
    *,
    apart_px: int = 12,
    most: int = 8,
) -> Candidates:
    level = torch.full((len(mean),), least, dtype=torch.float64)
    return filter_.search(
        likelihood.score(mean), likelihood.information(mean), level, apart_px=apart_px, most=most
    )


@pytest.mark.parametrize("place", [(20, 20, 4), (3, 38, 0), (47, 0, 9)], ids=["middle", "edge", "corner"])
@pytest.mark.parametrize(("excess", "variance"), [(1.0, 0.0), (2.0, 9.0)])
def test_the_gain_is_the_fall_of_the_deviance_that_the_molecule_brings(
    place: tuple[int, int, int], excess: float, variance: float
) -> None:
    search, (column, row, depth), photons = matched_filter(), place, 100.0
    xyz = torch.tensor([[column * PIXEL, row * PIXEL, float(search.z[depth])]], dtype=torch.float64)
    slope = torch.linspace(60, 120, SIZE[1], dtype=torch.float64).expand(1, *SIZE)
    molecule = image_of(xyz, photons)
    likelihood = Likelihood(slope + molecule, Noise(excess, variance))
    gain, bright = search.gains(likelihood.score(slope)[0], likelihood.information(slope)[0])
    assert gain.shape == bright.shape == (len(search.z), *SIZE)
    # Dim against its background: terms of third order are 1 % of the gain.
    fall = likelihood.deviance(slope) - likelihood.deviance(slope + molecule)
    assert float(gain[depth, row, column]) == pytest.approx(float(fall), rel=0.03)
    assert float(bright[depth, row, column]) == pytest.approx(photons, rel=1e-3)
    assert int(gain.argmax()) == (depth * SIZE[0] + row) * SIZE[1] + column


@pytest.mark.parametrize("depth", [0, 5, 9])
@pytest.mark.parametrize("place", [(45, 45), (50, 41), (38, 55)])
def test_light_that_the_background_has_taken_is_made_good(depth: int, place: tuple[int, int]) -> None:
    like, size, (column, row) = torch.zeros(1, dtype=torch.float64), (96, 90), place
    aware = MatchedFilter(table(), DEPTH, size, like, spacing_px=18)
    unaware = MatchedFilter(table(), DEPTH, size, like)
    xyz = torch.tensor([[column * PIXEL, row * PIXEL, float(aware.z[depth])]], dtype=torch.float64)
    frame = 5000.0 + image_of(xyz, 100.0, size)
    surface = SplineBackground(size, 18, like)
    without = surface.surface(surface.gram_solve(surface.adjoint(frame)))
    likelihood = Likelihood(frame, Noise())
    terms = likelihood.score(without)[0], likelihood.information(without)[0]
    (gain, bright), (_, dim) = aware.gains(*terms), unaware.gains(*terms)
    here = (depth, row, column)
    # Where it is between the knots changes the share by a fifth of it.
    assert float(bright[here]) == pytest.approx(100, rel=0.25)
    assert abs(float(bright[here]) - 100) < abs(float(dim[here]) - 100) / 2
    assert abs(int(gain[:, row, column].argmax()) - depth) <= 1


def test_where_light_is_too_much_rather_than_missing_nothing_is_gained() -> None:
    mean = torch.full((1, *SIZE), 50.0, dtype=torch.float64)
    likelihood = Likelihood(mean - 5)
    gain, photons = matched_filter().gains(likelihood.score(mean)[0], likelihood.information(mean)[0])
    assert float(gain.max()) < 1e-9
    assert float(photons.max()) < 1e-9


def test_a_molecule_left_out_is_found_at_its_place_within_a_voxel() -> None:
    frames = 20
    made = scene(5 * frames, frames, seed=30)
    likelihood, search = made.noisy(5), matched_filter()
    # The first molecule of each frame is left out; kept away from the edge so that all of it shows.
    missing = torch.arange(0, 5 * frames, 5)
    keep = torch.ones(5 * frames, dtype=torch.bool)
    keep[missing] = False
    mean = replace(made, state=made.state.rows(keep)).image()
    best = found(search, likelihood, mean, 30.0, most=1)
    assert best.frame.tolist() == list(range(frames))
    off = (best.xyz - made.state.xyz[missing]).abs()
    # Noise can push one beyond the nearest voxel: to the next.
    limit = torch.tensor([1.05 * PIXEL, 1.05 * PIXEL, 0.126], dtype=torch.float64)
    assert bool((off < limit).all()), off.max(0)
    torch.testing.assert_close(best.photons, made.state.photons[missing], rtol=0.4, atol=0)


@pytest.mark.parametrize("few", [0.0, 0.04, 1.0], ids=["all pixels", "as it is", "one by one"])
def test_every_second_pixel_shows_where_all_pixels_would_find_something(
    few: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gains near the limit, where passing over a frame or a part of it could lose something."""
    monkeypatch.setattr(search_module, "_FEW", few)
    frames, least = 60, 30.0
    made = scene(frames, frames, seed=33)
    dim = replace(made.state, photons=made.state.photons / 25)
    mean = made.background.surface(made.state.coefficients)
    likelihood = Likelihood(torch.poisson(replace(made, state=dim).image()))
    search, every = matched_filter(), matched_filter()
    assert search._rough is not None
    every._rough = None
    quick, thorough = (found(each, likelihood, mean, least) for each in (search, every))
    gain, _ = search.gains(likelihood.score(mean), likelihood.information(mean))
    best = gain.amax((1, 2, 3))
    assert bool((best < least).any()), "no frame to be passed over"
    assert bool(((best > least) & (best < 2 * least)).any()), "no frame near the limit"
    torch.testing.assert_close(quick.xyz, thorough.xyz, rtol=0, atol=0)
    torch.testing.assert_close(quick.gain, thorough.gain, rtol=1e-10, atol=0)
    torch.testing.assert_close(quick.photons, thorough.photons, rtol=1e-10, atol=0)


def test_candidates_keep_their_distance_and_come_best_first() -> None:
    made = scene(10, 2, seed=31)
    mean = made.background.surface(made.state.coefficients)
    likelihood, search = made.noisy(6), matched_filter()
    for apart in (4, 12):
        some = found(search, likelihood, mean, 25.0, apart_px=apart, most=3)
        assert bool((torch.bincount(some.frame, minlength=2) <= 3).all())
        assert bool((some.gain > 25.0).all())
        for frame in range(2):
            rows = some.frame == frame
            assert some.gain[rows].tolist() == sorted(some.gain[rows].tolist(), reverse=True)
            gaps = (some.xyz[rows, None, :2] - some.xyz[None, rows, :2]).abs().amax(2) / PIXEL
            assert bool((gaps[~torch.eye(len(gaps), dtype=torch.bool)] > apart).all())


def test_light_in_one_corner_makes_no_ghost_in_another() -> None:
    mean = torch.full((1, *SIZE), 50.0, dtype=torch.float64)
    xyz = torch.tensor([[0.0, 0.0, 0.5]], dtype=torch.float64)
    likelihood = Likelihood(mean + image_of(xyz, 5000.0))
    gain, _ = matched_filter().gains(likelihood.score(mean)[0], likelihood.information(mean)[0])
    best = gain.amax(0)
    assert float(best[0, 0]) > 1000
    assert float(best[22:].max()) < 1e-6
    assert float(best[:, 22:].max()) < 1e-6


def test_in_frames_of_noise_nothing_passes_the_threshold() -> None:
    mean = torch.full((80, *SIZE), 30.0, dtype=torch.float64)
    likelihood = Likelihood(torch.poisson(mean, generator=torch.Generator().manual_seed(7)))
    search = matched_filter()
    assert len(found(search, likelihood, mean, gain_threshold(search.positions, 1e-3)).frame) == 0
    # At a rate that 80 frames can measure: a share of 0.2 or less, yet the threshold is not far too high.
    passing = found(search, likelihood, mean, gain_threshold(search.positions, 0.2)).frame.unique()
    assert len(passing) <= 16
    assert len(found(search, likelihood, mean, 10.0).frame.unique()) > 20


@pytest.mark.parametrize("false_alarms", [0.1, 1e-3, 1e-6])
@pytest.mark.parametrize("positions", [100.0, 20_000.0])
def test_the_threshold_is_where_a_normal_leaves_the_stated_share(positions: float, false_alarms: float) -> None:
    from scipy.stats import norm

    threshold = gain_threshold(positions, false_alarms)
    assert positions * norm.sf(math.sqrt(threshold)) == pytest.approx(false_alarms, rel=1e-4)
    assert math.isclose(gain_threshold(2 * positions, 2 * false_alarms), threshold, rel_tol=1e-9)
    # As a share of the rows they depend on the density; less than one row in a frame counts as one.
    assert math.isclose(gain_threshold(20 * positions, false_alarms, 20), threshold, rel_tol=1e-9)
    assert gain_threshold(positions, false_alarms, 0.1) == threshold


def test_more_room_has_more_positions() -> None:
    like = torch.zeros(1)
    small = MatchedFilter(table(), DEPTH, (20, 20), like).positions
    wide = MatchedFilter(table(), DEPTH, (20, 40), like).positions
    deep = MatchedFilter(table(), (0.0, 0.6), (20, 20), like).positions
    assert wide == pytest.approx(2 * small)
    assert deep < small


def test_frames_of_a_size_share_a_filter_as_long_as_the_psf_is_there() -> None:
    psf, like = table.__wrapped__(), torch.zeros(1, dtype=torch.float64)  # one of its own
    first = MatchedFilter.shared(psf, DEPTH, SIZE, like, None, 20.0)
    assert MatchedFilter.shared(psf, DEPTH, SIZE, torch.ones_like(like), None, 20.0) is first
    for other in (
        MatchedFilter.shared(psf, DEPTH, SIZE, like, None, 10.0),
        MatchedFilter.shared(psf, DEPTH, (50, 60), like, None, 10.0),
        MatchedFilter.shared(psf, DEPTH, (50, 60), like.float(), None, 10.0),
    ):
        assert other is not first
    kept, filter_ = weakref.ref(psf), weakref.ref(other)
    del psf, first, other
    gc.collect()
    assert kept() is None and filter_() is None
