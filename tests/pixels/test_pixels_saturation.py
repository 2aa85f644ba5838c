"""The end of the scale is found from the counts, and not where there is none."""

from __future__ import annotations

import torch
from scenes_of_pixels import movie

from deepstorm3d.pixels.saturation import plateau


def test_counts_that_end_are_found_and_only_these() -> None:
    bright = 10 * movie(4, peak=900.0) + 100
    assert plateau(bright) is None
    assert plateau(bright.clamp(max=4095)) == 4095
    assert plateau(movie(4, level=240.0, molecules=0)) is None


def test_dim_black_and_empty_movies_have_no_end() -> None:
    assert plateau(torch.full((3, 20, 20), 1000.0)) is None
    assert plateau(torch.zeros(3, 20, 20)) is None
    assert plateau(torch.zeros(0, 20, 20)) is None
    assert plateau(movie(2, level=4.0, molecules=0)) is None
