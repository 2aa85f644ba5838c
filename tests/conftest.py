"""What all tests share: property tests that draw the same examples in every run, however slow the machine."""

from __future__ import annotations

import pytest
from hypothesis import settings

from deepstorm3d.jobs.experiment import Experiment
from deepstorm3d.jobs.presets import preset
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.optics.model import PSFSpec

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def small_design() -> Experiment:
    """A mask of 21 pixels across and a network of seconds, to design and compare masks with."""
    base = preset("mask-design")
    return base.with_(
        microscope=base.microscope.with_(mask_pitch=200.0),
        psf=PSFSpec(patch_px=13),
        network=CoarseSpec(channels=8, skip=8, dilations=(1,)),
    )
