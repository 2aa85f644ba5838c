"""Beads are found, those that cannot be used are told; slices out of order are noticed."""

from __future__ import annotations

import pytest
import torch

from bead_stacks import CENTRES, SIDE, bead_stack, cut_beads, focus_of_slices, small_experiment
from deepstorm3d.calibration.beads.finding import (
    Spots,
    find_beads,
    find_spots,
    judge_spots,
    side_that_fits,
)
from deepstorm3d.calibration.beads.slice_order import distance_of_slices, jumps, order_ratio
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.optics.computed import build_psf


def template() -> torch.Tensor:
    experiment = small_experiment()
    psf = build_psf(experiment.psf, experiment.microscope, experiment_mask(experiment), patch_px=SIDE)
    focus = focus_of_slices()
    places = torch.tensor([[0.0, 0.0, 0.1]]).expand(len(focus), -1)
    return psf(places, focus_um=focus).values.mean(0)


def test_the_beads_are_found_where_they_are_and_nothing_else():
    found = find_beads(bead_stack().mean(0), template(), SIDE)
    assert not found.rejected
    places = sorted(tuple(place) for place in found.centre.tolist())
    assert places == sorted((round(x), round(y)) for x, y in CENTRES)
    assert found.brightness.tolist() == sorted(found.brightness.tolist(), reverse=True)


def test_beads_too_close_and_at_the_border_are_told_and_left_out():
    stack = bead_stack((*CENTRES[:2], (60.4, 34.0), (5.0, 62.0)))
    found = find_beads(stack.mean(0), template(), SIDE)
    assert found.centre.tolist() == [[20, 20]]
    assert sum("px away" in sentence for sentence in found.rejected) == 2
    assert sum("from the border" in sentence for sentence in found.rejected) == 1


def test_noise_holds_no_bead():
    noise = torch.poisson(torch.full((21, 84, 84), 10.0), generator=torch.Generator().manual_seed(0))
    found = find_beads(noise.mean(0), template(), SIDE)
    assert len(found.centre) == 0
    assert not found.rejected


def test_slices_in_order_are_alike_and_shuffled_ones_are_not():
    images = cut_beads(bead_stack()).select(torch.arange(21))
    distance = distance_of_slices(images.likelihood)
    assert order_ratio(distance, images.position_um) < 0.35
    shuffled = images.position_um[torch.randperm(21, generator=torch.Generator().manual_seed(0))]
    assert order_ratio(distance, shuffled) > 0.7
    assert jumps(distance, images.position_um) == []


def test_noise_alone_does_not_make_slices_unlike():
    images = cut_beads(bead_stack())
    bright, dim = (images.select(images.bead == bead) for bead in (0, 2))
    first, second = (order_ratio(distance_of_slices(i.likelihood), i.position_um) for i in (bright, dim))
    assert abs(first - second) < 0.15


def test_a_slice_from_elsewhere_is_named():
    images = cut_beads(bead_stack()).select(torch.arange(21))
    position = images.position_um.clone()
    position[[2, 15]] = position[[15, 2]]
    assert jumps(distance_of_slices(images.likelihood), position) == [15, 2]


@pytest.mark.parametrize(("side", "off"), [(15, (0, 0)), (15, (1, -1)), (SIDE, (0, 0)), (31, (3, 2))])
def test_a_bead_that_fills_its_crop_is_found(side: int, off: tuple[int, int]) -> None:
    column, row = round(CENTRES[0][0]) - off[0], round(CENTRES[0][1]) - off[1]
    begin = max(0, row - side // 2), max(0, column - side // 2)
    crop = bead_stack()[:, begin[0] : begin[0] + side, begin[1] : begin[1] + side]
    cut = (SIDE - min(side, SIDE)) // 2
    image = template()[cut : SIDE - cut, cut : SIDE - cut]
    spots = find_spots(crop.mean(0), image, min(side, SIDE), crop)
    fits = side_that_fits([spots], min(side, SIDE))
    found = judge_spots(spots, fits)
    assert fits >= 11
    assert len(found.centre) == 1 and not found.rejected
    expected = torch.tensor([round(CENTRES[0][0]) - begin[1], round(CENTRES[0][1]) - begin[0]])
    assert int((found.centre[0] - expected).abs().max()) <= 1


@pytest.mark.parametrize("side", [15, 41])
def test_a_crop_of_noise_holds_no_bead(side: int) -> None:
    noise = torch.poisson(torch.full((21, side, side), 10.0), generator=torch.Generator().manual_seed(0))
    cut = max(0, (SIDE - side) // 2)
    image = template()[cut : SIDE - cut, cut : SIDE - cut]
    assert len(find_beads(noise.mean(0), image, side, noise).centre) == 0


def test_a_square_shrinks_for_a_crop_and_not_for_a_bead_at_the_border() -> None:
    def spots(column: int, size: int) -> Spots:
        return Spots(torch.tensor([[column, size // 2]]), torch.ones(1), (size, size))

    assert side_that_fits([spots(20, 41)], 41) == 41
    assert side_that_fits([spots(17, 41), spots(20, 41)], 41) == 35
    assert side_that_fits([spots(5, 41), spots(20, 41)], 41) == 41
