"""Simulated frames: emitters, backgrounds and the image model that turns them into camera counts."""

from __future__ import annotations

from ..field import Field
from .backgrounds import (
    BACKGROUNDS,
    Background,
    BackgroundSpec,
    NoBackground,
    SmoothBackground,
    SuperGaussianBackground,
    UniformBackground,
)
from .blinking import blink
from .counts import COUNTS, CountSpec
from .lifetimes import BLINKING, BlinkingSpec, ExponentialBlinking, NoBlinking
from .photons import PHOTONS, PhotonSpec
from .priors import (
    DensityCount,
    EmitterPrior,
    FixedCount,
    FixedPhotons,
    GammaPhotons,
    Scene,
    UniformCount,
    UniformPhotons,
)
from .simulator import Simulator
from .structures import ellipsoid_surface, filaments, mitochondria, nucleus

__all__ = [
    "BACKGROUNDS",
    "BLINKING",
    "COUNTS",
    "PHOTONS",
    "Background",
    "BackgroundSpec",
    "BlinkingSpec",
    "CountSpec",
    "DensityCount",
    "EmitterPrior",
    "ExponentialBlinking",
    "Field",
    "FixedCount",
    "FixedPhotons",
    "GammaPhotons",
    "NoBackground",
    "NoBlinking",
    "PhotonSpec",
    "Scene",
    "Simulator",
    "SmoothBackground",
    "SuperGaussianBackground",
    "UniformBackground",
    "UniformCount",
    "UniformPhotons",
    "blink",
    "ellipsoid_surface",
    "filaments",
    "mitochondria",
    "nucleus",
]
