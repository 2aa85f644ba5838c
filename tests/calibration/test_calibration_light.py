"""Density, brightness and background from pixel values: closed forms, then frames of known truth."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from deepstorm3d.calibration.movie_statistics.estimate import _doubts
from deepstorm3d.calibration.movie_statistics.experiment import estimated_experiment
from deepstorm3d.calibration.movie_statistics.molecules import LightModel, measure_light
from deepstorm3d.calibration.movie_statistics.scene_match import SceneGuess
from deepstorm3d.calibration.movie_statistics.shot_noise import ShotNoise, band_pass, filtered
from deepstorm3d.camera import ScmosCamera
from deepstorm3d.errors import InputError
from deepstorm3d.field import Field
from deepstorm3d.simulation.backgrounds import SuperGaussianBackground, UniformBackground
from deepstorm3d.simulation.priors import FixedPhotons, GammaPhotons, UniformPhotons
from factories import tiny_experiment


def spot(sigma: float = 1.6, side: int = 15) -> Tensor:
    place = torch.arange(side) - side // 2
    image = torch.exp(-(place[:, None] ** 2 + place**2) / (2 * sigma**2))
    return (image / image.sum())[None]


def frames(density: float, photons: Tensor, background: float, count: int, side: int = 72) -> Tensor:
    """Spots on pixels at random places, over the edges too: density per pixel, brightness one of `photons`."""
    generator = torch.Generator().manual_seed(11)
    wide = side + 32
    number = torch.poisson(torch.full((count, wide, wide), density), generator=generator)
    drawn = photons[torch.randint(len(photons), number.shape, generator=generator)] * number
    light = filtered(drawn, spot()[0])[:, 23 : 23 + side, 23 : 23 + side]
    return torch.poisson((light + background).clamp(min=0), generator=generator)


def test_a_level_alone_is_poisson():
    kernel, frequency = band_pass(1.0, 3.0), np.array([0.05, 0.3])
    table = ShotNoise.of(spot(), kernel, frequency, 1000.0)
    counts = torch.poisson(torch.full((200, 64, 64), 20.0), generator=torch.Generator().manual_seed(1))
    values = filtered(counts, kernel)[:, 18:-18, 18:-18].double()
    for u, predicted in zip(frequency, table.log_characteristic(1e-30, 500.0, 0.3, 20.0, 0.0), strict=True):
        measured = torch.log(torch.exp(1j * u * values).mean())
        assert complex(measured) == pytest.approx(complex(predicted), abs=2e-3)


def test_at_small_frequencies_the_curvature_is_campbells_variance():
    kernel, photons, density = band_pass(1.0, 3.0), 800.0, 0.01
    u = np.array([1e-4])
    table = ShotNoise.of(spot(), kernel, u, 4000.0)
    got = table.log_characteristic(density, photons, 0.1, 0.0, 0.0)[0].real
    image = filtered(spot().double(), kernel)
    # Of gamma-distributed brightness ⟨N²⟩ = N²·(1 + spread²); counted photons add their own variance.
    shot = density * photons * float((filtered(spot().double(), kernel.square())).sum())
    variance = density * photons**2 * 1.01 * float(image.square().sum()) + shot
    assert got == pytest.approx(-(u[0] ** 2) * variance / 2, rel=0.01)


@pytest.mark.parametrize(("density", "background"), [(0.003, 20.0), (0.02, 5.0)])
def test_density_photons_and_background_are_found(density: float, background: float):
    gamma = torch.distributions.Gamma(4.0, 4.0 / 900.0)
    torch.manual_seed(0)
    seen = frames(density, gamma.sample(torch.Size([5000])), background, 60)
    light = measure_light(seen, LightModel(spot(), 0.0))
    assert light.density == pytest.approx(density, rel=0.15)
    assert light.photons == pytest.approx(900, rel=0.15)
    assert light.spread == pytest.approx(0.5, abs=0.15)
    assert light.background == pytest.approx(background, rel=0.2)
    assert 0 < light.sigma[0] < 0.2


def test_small_or_empty_frames_are_refused():
    with pytest.raises(InputError, match="too small"):
        measure_light(torch.ones(3, 40, 40), LightModel(spot(), 0.0))
    with pytest.raises(InputError, match="same value"):
        measure_light(torch.zeros(3, 96, 96), LightModel(spot(), 0.0))


GUESS = SceneGuess(0.3, 0.2, 9000.0, 0.4, 60.0, 25.0, 5.0)


def test_a_guess_becomes_a_scene_of_the_same_mean_and_spread():
    generator = torch.Generator().manual_seed(0)
    count = GUESS.count()
    assert (count.low + count.high) / 2 == pytest.approx(0.3)
    for like in (UniformPhotons(), GammaPhotons()):
        drawn = GUESS.brightness(like).draw(20000, generator)
        assert float(drawn.mean()) == pytest.approx(9000, rel=0.02)
        assert float(drawn.std() / drawn.mean()) == pytest.approx(0.4, rel=0.05)
    narrow = SceneGuess(0.3, 0.0, 9000.0, 0.1, 60.0, 25.0, 5.0)
    assert narrow.brightness(UniformPhotons()) == FixedPhotons(photons=9000.0)
    field = Field(121, 121, 0.11)
    for like in (UniformBackground(), SuperGaussianBackground()):
        level = GUESS.levels(like).draw(300, field, generator)
        assert float(level.mean()) == pytest.approx(60, rel=0.06)
    assert float(level.amin((1, 2)).mean()) == pytest.approx(25, rel=0.1)


@pytest.mark.parametrize("baseline", [0.01234, 1.5, 99.87, 398.51, 1234.41, 32768.03])
def test_the_baseline_of_a_camera_is_kept_to_a_hundredth_however_high_it_is(baseline: float):
    known = tiny_experiment()
    guess = SceneGuess(1.0, 0.2, 1000.0, 0.3, 12345.6, 12345.6, 0.0)
    made = estimated_experiment(
        known, None, known.scene(), guess, ScmosCamera(baseline=baseline, gain=0.234567)
    )
    assert isinstance(made.camera, ScmosCamera)
    assert made.camera.baseline == pytest.approx(baseline, abs=1e-4 if baseline < 1 else 0.005)
    assert made.camera.gain == 0.235
    assert set(made.scene().background.levels) == {12350}


def test_what_is_uncertain_or_was_moved_by_simulations_is_named_as_a_quantity() -> None:
    """The density, and the number of photons: "the photons is" is no English."""
    found = SimpleNamespace(
        guess=SimpleNamespace(photon_spread=0.0),
        light=SimpleNamespace(sigma=np.array([0.2, 0.3])),
        corrections=(3.0, 0.2),
    )
    told = _doubts(cast(Any, found), next(iter(tiny_experiment().scenes.values())).emitters)
    assert [text.partition(" by ")[0] for text in told] == [
        "the density is uncertain",
        "the number of photons is uncertain",
        "simulations moved the density",
        "simulations moved the number of photons",
    ]
