"""The animation of a design: one image a stage, and never half an animation under its name."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from deepstorm3d.errors import InputError
from deepstorm3d.optics.masks import AstigmaticMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF
from deepstorm3d.plot.phase_mask import evolution_animation

COARSE = Microscope(mask_pitch=200.0)


DEPTHS = [(0.0, 2.0)]


def stages(*strengths: float, channels: int = 1) -> Iterator[tuple[int, dict[str, ScalarPSF]]]:
    for step, strength in enumerate(strengths):
        mask = AstigmaticMask(strength=strength).build(COARSE)
        yield 100 * step, {f"channel {k}": ScalarPSF(COARSE, mask, patch_px=13) for k in range(channels)}


def stopped() -> Iterator[tuple[int, dict[str, ScalarPSF]]]:
    yield from stages(0.1)
    raise RuntimeError("the disk of the history is gone")


def test_each_stage_is_an_image_of_its_own(tmp_path: Path) -> None:
    evolution_animation(stages(0.0, 0.8, 1.6), DEPTHS, tmp_path / "evolution.gif")
    with Image.open(tmp_path / "evolution.gif") as film:
        images = [np.asarray(each.convert("L"), dtype=int) for each in ImageSequence.Iterator(film)]
    assert len(images) == 3
    assert all(np.abs(one - other).max() > 50 for one, other in pairwise(images))
    assert [path.name for path in tmp_path.iterdir()] == ["evolution.gif"]


def test_channels_lie_below_each_other(tmp_path: Path) -> None:
    evolution_animation(stages(0.4, 0.8), DEPTHS, tmp_path / "one.gif")
    evolution_animation(stages(0.4, 0.8, channels=2), 2 * DEPTHS, tmp_path / "two.gif")
    with Image.open(tmp_path / "one.gif") as one, Image.open(tmp_path / "two.gif") as two:
        assert one.width == two.width
        assert two.height == pytest.approx(one.height * 4.6 / 2.6, abs=2)


def test_what_fails_in_the_middle_leaves_the_animation_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "evolution.gif"
    evolution_animation(stages(0.0, 0.8), DEPTHS, path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="history is gone"):
        evolution_animation(stopped(), DEPTHS, path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["evolution.gif"]


def test_an_animation_that_cannot_be_written_is_told_as_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"evolution\.gif"):
        evolution_animation(stages(0.0), DEPTHS, tmp_path / "absent" / "evolution.gif")
