"""Ranges of records run upwards, and say so where they do not."""

from __future__ import annotations

import pytest

from deepstorm3d.errors import InputError
from deepstorm3d.simulation.backgrounds import SmoothBackground, SuperGaussianBackground, UniformBackground
from deepstorm3d.simulation.counts import DensityCount, UniformCount
from deepstorm3d.simulation.photons import UniformPhotons
from deepstorm3d.simulation.priors import EmitterPrior
from deepstorm3d.spec import Spec, spec_from_mapping

TWO = [UniformBackground, SmoothBackground, DensityCount, UniformCount, UniformPhotons]


@pytest.mark.parametrize("kind", TWO)
def test_low_may_equal_high_and_not_exceed_it(kind: type[Spec]):
    spec_from_mapping(kind, {"low": 7, "high": 7}, source="x.yaml")
    with pytest.raises(InputError, match=r"low must not be above high, got 8.* and 7"):
        spec_from_mapping(kind, {"low": 8, "high": 7}, source="x.yaml")


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (EmitterPrior, {"z_um": (6, 2)}, r"z_um: .*lower first, got 6.* and 2"),
        (EmitterPrior, {"margin_px": (2, -2)}, r"margin_px: .*lower first"),
        (EmitterPrior, {"blur_px": (2, 1)}, r"blur_px.*lower first"),
        (EmitterPrior, {"blur_px": (-1, 1)}, r"blur_px must not be negative, got -1"),
        (SuperGaussianBackground, {"floor": (30, 20)}, r"floor: .*lower first"),
        (SuperGaussianBackground, {"floor": (20, 120), "peak": (100, 150)}, r"0 <= floor <= peak must hold"),
        (SuperGaussianBackground, {"floor": (-1, 20)}, r"0 <= floor <= peak must hold"),
    ],
)
def test_a_range_the_wrong_way_round_is_named(kind: type[Spec], values: dict[str, object], words: str):
    with pytest.raises(InputError, match=words):
        spec_from_mapping(kind, values, source="x.yaml")
