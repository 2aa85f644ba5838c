"""Pictures of narrow fields: they fill their panels, and no numbers stand over each other."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

import deepstorm3d as ds


def tracked(width: float, height: float) -> ds.Localizations:
    rows = torch.Generator().manual_seed(0)
    begin = torch.rand(20, 1, 3, generator=rows) * torch.tensor([width, height, 0.5])
    xyz = (begin + 0.05 * torch.randn(20, 15, 3, generator=rows).cumsum(1)).transpose(0, 1).reshape(-1, 3)
    frame, track = torch.arange(15).repeat_interleave(20), torch.arange(20).repeat(15)
    return replace(ds.Localizations.proposals(xyz, frame, torch.ones(300)), track=track)


def assert_apart(axis: Any) -> None:
    """The numbers of an axis do not overlap."""
    boxes = [
        text.get_window_extent() for text in axis.get_ticklabels() if text.get_text() and text.get_visible()
    ]
    assert not any(one.overlaps(two) for one, two in pairwise(boxes))


@pytest.mark.parametrize("size", [(2, 60), (60, 2), (0.5, 10), (20, 5), (8, 8)], ids=str)
def test_trajectories_of_any_field_fill_their_panel(size: tuple[float, float]) -> None:
    figure = ds.plot.tracks(tracked(*size))
    figure.draw_without_rendering()
    above = figure.axes[0]
    segments = np.concatenate(above.collections[0].get_segments())
    for reach, limits in zip(np.ptp(segments, axis=0), (above.get_xlim(), above.get_ylim()), strict=True):
        assert reach > 0.3 * abs(limits[1] - limits[0])
    box = above.get_window_extent()
    assert min(box.width, box.height) > 0.5 * figure.dpi
    scale = box.width / np.ptp(above.get_xlim()), box.height / np.ptp(above.get_ylim())
    stretched = "×" in above.get_xlabel() + above.get_ylabel()
    assert stretched == (not np.isclose(*scale, rtol=0.05))
    assert stretched == (max(size) > 8 * min(size))
    for axes in figure.axes[:2]:
        assert_apart(axes.xaxis)
        assert_apart(axes.yaxis)


@pytest.mark.parametrize("rows", [1, 2])
def test_the_numbers_of_a_rendering_of_one_place_stand_apart(rows: int) -> None:
    xyz = torch.tensor([[3.0, 2.0, 0.5]]).repeat(rows, 1)
    figure = ds.plot.rendering(ds.Localizations.proposals(xyz, torch.arange(rows), torch.ones(rows)))
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert_apart(axes.xaxis)
        assert_apart(axes.yaxis)
