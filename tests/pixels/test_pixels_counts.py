"""Where counts end is found in every type that holds them, and not in floats that are no counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scenes_of_pixels import movie

from bead_stacks import bead_stack, small_experiment
from deepstorm3d.calibration.beads.one_stack import OneStack
from deepstorm3d.calibration.camera_maps.pixel_moments import Top
from deepstorm3d.camera import IdealCamera
from deepstorm3d.frames.pixel_faults import faults_of
from deepstorm3d.io.movies.array_movie import ArrayMovie
from deepstorm3d.pixels.counts import whole_counts

TYPES = ["u2", "i2", "u4", "i4", ">u2", ">f4", "f2", "f4", "f8"]
CAMERA = IdealCamera()
END = 255


def evenly_lit() -> NDArray[np.float64]:
    """Counts (60, 20, 20) that would reach beyond END."""
    return np.random.default_rng(1).poisson(240.0, (60, 20, 20)).astype(np.float64)


def end_of_light(counts: NDArray[np.generic]) -> float:
    top = Top(counts.shape[1:], counts.dtype)
    for block in np.split(counts, 6):
        top.add(block)
    return top.end


def end_of_movie(counts: NDArray[np.generic]) -> float:
    return faults_of(counts, CAMERA, {}, small_experiment().microscope).full


def end_of_beads(counts: NDArray[np.generic]) -> float:
    faults = faults_of(counts, CAMERA, {}, small_experiment().microscope)
    stack = OneStack(ArrayMovie(counts), CAMERA, 1, faults)
    stack.means(torch.arange(len(counts)).float())
    return stack.saturation


@pytest.mark.parametrize("stored", TYPES)
def test_the_end_of_the_scale_is_found_in_every_type_that_holds_counts(stored: str) -> None:
    assert end_of_light(evenly_lit().clip(max=END).astype(stored)) == END
    assert end_of_movie(movie(4).numpy().clip(max=END).astype(stored)) == END
    assert end_of_beads(bead_stack().numpy().clip(max=END).astype(stored)) == END


@pytest.mark.parametrize("stored", TYPES)
def test_no_end_is_found_where_counts_do_not_end(stored: str) -> None:
    assert end_of_light(evenly_lit().astype(stored)) == np.inf
    assert end_of_movie(movie(4).numpy().astype(stored)) >= min(CAMERA.saturation, 2**15 - 1)


@pytest.mark.parametrize("stored", ["f2", "f4", "f8"])
def test_floats_that_are_no_counts_have_no_end(stored: str) -> None:
    assert end_of_light((0.37 * evenly_lit().clip(max=END)).astype(stored)) == np.inf
    assert end_of_movie((0.37 * movie(4).numpy().clip(max=END)).astype(stored)) == CAMERA.saturation
    # Where the type has no fractions left, whole numbers tell nothing.
    assert not whole_counts(np.array([1.0, 1.0 / np.finfo(stored).eps], stored))
    assert not whole_counts(np.array([1.0, np.nan], stored)) and not whole_counts(np.zeros(0, stored))


def test_the_end_does_not_depend_on_the_blocks_that_are_read() -> None:
    rising = np.sort(evenly_lit().clip(max=END), axis=0).astype(np.float32)
    for counts in (rising, rising[::-1]):
        whole = Top((20, 20), counts.dtype)
        whole.add(counts)
        assert end_of_light(counts) == whole.end == END


@pytest.mark.parametrize("hot", [65535.0, 1000.0])
def test_a_hot_pixel_is_neither_the_end_of_the_counts_nor_a_saturated_bead(hot: float) -> None:
    counts = bead_stack().numpy().round()
    row, column = (int(at) for at in np.unravel_index(counts.mean(axis=0).argmax(), counts.shape[1:]))
    counts[:, row + 4, column - 3] = hot
    faults = faults_of(counts, CAMERA, {}, small_experiment().microscope)
    assert faults.defective == ((row + 4, column - 3),)
    stack = OneStack(ArrayMovie(counts.astype(np.uint16)), IdealCamera(saturation=hot), 1, faults)
    stack.means(torch.arange(len(counts)).float())
    assert stack.greatest < hot and stack.saturation == hot
    stack.images(torch.tensor([[column, row]]), 21)
    assert not stack.full.any()
