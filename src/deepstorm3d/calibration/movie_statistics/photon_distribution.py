"""Of what kind the brightness of found molecules is: one value, evenly spread, or gamma distributed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...simulation.priors import FixedPhotons, GammaPhotons, Photons, UniformPhotons

__all__ = ["photons_family"]

Floats = NDArray[np.float64]

# Relative standard deviation of photons below which all molecules are taken to have the same brightness.
_ONE_BRIGHTNESS = 0.15
# Relative standard deviation above which a uniform distribution would begin below 0.
_WIDEST_UNIFORM = 0.55
# Merged and false molecules have photons that no distribution draws.
_STRAYS = 0.02


def photons_family(photons: Floats, spread: float, noise: float) -> Photons:
    """The likelier of uniform and gamma for photons (N,) of molecules, or one brightness for all.

    spread: relative standard deviation, without that of the measurement;  noise: of the measurement, relative.
    Both have the mean of the photons and this spread; one in fifty may be a stray.
    """
    from scipy.stats import gamma, norm

    mean = float(photons.mean())
    if spread <= _ONE_BRIGHTNESS:
        return FixedPhotons(photons=mean)
    as_gamma = GammaPhotons(shape=1 / spread**2, scale=mean * spread**2)
    if spread > _WIDEST_UNIFORM:
        return as_gamma
    half, blur = math.sqrt(3.0) * spread * mean, max(noise, 0.01) * mean
    as_uniform = UniformPhotons(low=mean - half, high=mean + half)
    inside = norm.cdf((photons - as_uniform.low) / blur) - norm.cdf((photons - as_uniform.high) / blur)
    stray = _STRAYS / max(float(photons.max()), 1.0)
    likelihoods = [
        np.log((1 - _STRAYS) * density + stray).sum()
        for density in (inside / (2 * half), gamma.pdf(photons, as_gamma.shape, scale=as_gamma.scale))
    ]
    return as_uniform if likelihoods[0] > likelihoods[1] else as_gamma
