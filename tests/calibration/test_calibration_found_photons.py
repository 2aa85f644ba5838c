"""Of what kind the brightness is, told from some hundred measured molecules with strays among them."""

from __future__ import annotations

import numpy as np
import pytest

from deepstorm3d.calibration.movie_statistics.photon_distribution import photons_family
from deepstorm3d.simulation.priors import FixedPhotons, GammaPhotons, UniformPhotons


def measured(true: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """With the errors of a fit, and one in fifty of half or twice the photons."""
    g = np.random.default_rng(seed)
    seen = true * (1 + noise * g.normal(size=len(true)))
    stray = g.random(len(true)) < 0.02
    return np.where(stray, seen * g.choice([0.5, 2.0], len(true)), seen)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["fixed", "uniform", "gamma", "wide gamma"])
def test_the_kind_and_its_numbers_come_back(kind: str, seed: int):
    g = np.random.default_rng(100 + seed)
    true = {
        "fixed": np.full(400, 3e4),
        "uniform": g.uniform(5e3, 3e4, 400),
        "gamma": g.gamma(6.0, 3e3, 400),
        "wide gamma": g.gamma(2.0, 5e3, 400),
    }[kind]
    found = photons_family(measured(true, 0.06, seed), float(true.std() / true.mean()), 0.06)
    match found:
        case FixedPhotons():
            assert kind == "fixed"
            assert found.photons == pytest.approx(3e4, rel=0.03)
        case UniformPhotons():
            assert kind == "uniform"
            assert (found.low, found.high) == (pytest.approx(5e3, abs=2e3), pytest.approx(3e4, rel=0.07))
        case GammaPhotons():
            assert kind in ("gamma", "wide gamma")
            assert found.shape * found.scale == pytest.approx(true.mean(), rel=0.05)
            assert found.shape == pytest.approx(6.0 if kind == "gamma" else 2.0, rel=0.25)
