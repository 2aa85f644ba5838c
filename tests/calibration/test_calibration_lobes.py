"""A bead's own lobes are no neighbours, whatever it is looked for with; true neighbours are."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from bead_stacks import SLICES, focus_of_slices, small_experiment
from deepstorm3d.calibration.beads.finding import find_beads
from deepstorm3d.calibration.beads.lobes import echo
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import (
    AstigmaticMask,
    DoubleHelixMask,
    MaskSpec,
    TetrapodMask,
    ZeroMask,
)
from deepstorm3d.optics.scalar import ScalarPSFSpec

SIDE = 41
FIELD = ((35, 30), (105, 34), (33, 98), (99, 101))


@cache
def images(kind: MaskSpec, side: int = SIDE) -> Tensor:
    """Images of a bead in each slice, fraction of its light: (S, side, side)."""
    optics = small_experiment().microscope.with_(mask_pitch=60.0)
    psf = build_psf(ScalarPSFSpec(patch_px=side, blur_px=0.9), optics, kind.build(optics))
    return psf(torch.tensor([[0.0, 0.0, 0.1]]).expand(SLICES, -1), focus_um=1.5 * focus_of_slices()).values


def field_of(pattern: Tensor, places: tuple[tuple[int, int], ...], light: tuple[float, ...]) -> Tensor:
    """Photons (S, 140, 140) of beads at columns and rows, over 10 of background."""
    mean = torch.full((SLICES, 140, 140), 10.0)
    half = pattern.shape[-1] // 2
    for (column, row), photons in zip(places, light, strict=True):
        mean[:, row - half : row + half + 1, column - half : column + half + 1] += photons * pattern
    return torch.poisson(mean, generator=torch.Generator().manual_seed(0))


SHAPES = [TetrapodMask(), DoubleHelixMask(), AstigmaticMask()]


@pytest.mark.parametrize(
    ("shape", "start"),
    [*((shape, ZeroMask()) for shape in SHAPES), (TetrapodMask(), AstigmaticMask())],
    ids=lambda kind: kind.kind,
)
def test_every_bead_of_a_field_is_one_from_another_design(shape: MaskSpec, start: MaskSpec) -> None:
    stack = field_of(images(shape), FIELD, (4e4, 3e4, 2e4, 2e4))
    found = find_beads(stack.mean(0), images(start).mean(0), SIDE, stack)
    assert not found.rejected
    away = torch.cdist(found.centre.double(), torch.tensor(FIELD).double()).amin(0)
    assert len(found.centre) == len(FIELD) and float(away.max()) < 4


@pytest.mark.parametrize(
    ("shape", "apart"),
    zip(SHAPES, [(9, 2), (-14, 6), (5, -9)], strict=True),
    ids=lambda value: getattr(value, "kind", None),
)
def test_a_true_neighbour_is_refused(shape: MaskSpec, apart: tuple[int, int]) -> None:
    beside = FIELD[3][0] + apart[0], FIELD[3][1] + apart[1]
    stack = field_of(images(shape), (*FIELD, beside), (4e4, 3e4, 2e4, 2e4, 1.4e4))
    found = find_beads(stack.mean(0), images(ZeroMask()).mean(0), SIDE, stack)
    assert len(found.centre) == 3
    assert any("px away" in sentence for sentence in found.rejected)


def test_noise_has_no_echo() -> None:
    noise = torch.poisson(torch.full((16, SIDE, SIDE), 20.0), generator=torch.Generator().manual_seed(0))
    assert echo(noise) < 0.04
