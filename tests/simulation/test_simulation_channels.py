"""Movies of several channels: the same molecules in each, at the transform's places, the light divided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepstorm3d.api.movies import simulate, simulate_channels
from deepstorm3d.channels import ChannelBackground, ChannelView, Transform, TransformSpec
from deepstorm3d.emitters import Emitters
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.field import Field
from deepstorm3d.io.movies import open_movie
from deepstorm3d.io.tables import read_truth
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.optics.masks import ZeroMask
from deepstorm3d.simulation.specimen import Specimen
from factories import tiny_experiment

PIXEL = 0.11
# Mirrored left to right within 64 px, and half a pixel lower.
MIRROR = TransformSpec(x_um=(63 * PIXEL, -1.0, 0.0), y_um=(0.5 * PIXEL, 0.0, 1.0))


def mirrored(light: float = 0.25) -> Experiment:
    """No masks, molecules in focus; the second channel mirrored, with a quarter of the light."""
    base = tiny_experiment(mask=ZeroMask())
    scene = base.scene()
    prior = scene.emitters.with_(z_um=(0.5, 0.7), margin_px=(12.0, 12.0))
    return base.with_(
        scenes={"main": scene.with_(emitters=prior)},
        channels={"side": Channel(light=light, coefficients=MIRROR)},
    )


def test_each_channel_shows_the_molecules_at_its_own_places_with_its_share_of_the_light():
    movies, truth = simulate_channels(mirrored(), frames=40, emitters=1, seed=3)
    assert list(movies) == ["first", "side"] and len(truth) == 40
    assert movies["first"].shape == movies["side"].shape == (40, 64, 64)
    x, y = (truth.xyz[:, :2] / PIXEL).unbind(1)
    for name, column, row in (("first", x, y), ("side", 63 - x, y + 0.5)):
        counts = movies[name].astype(float)
        light = np.clip(counts - np.median(counts, axis=(1, 2), keepdims=True), 0, None)
        for image, here_x, here_y in zip(light, column.tolist(), row.tolist(), strict=True):
            top, left = round(here_y) - 4, round(here_x) - 4
            spot = image[top : top + 9, left : left + 9]
            centre = [(spot.sum(axis) * np.arange(9)).sum() / spot.sum() for axis in (1, 0)]
            assert top + centre[0] == pytest.approx(here_y, abs=0.35)
            assert left + centre[1] == pytest.approx(here_x, abs=0.35)
    background = [np.median(movies[name]) for name in ("first", "side")]
    assert background == pytest.approx([15, 5], abs=1)
    excess = [(movies[name] - level).sum() for name, level in zip(movies, (15.0, 5.0), strict=True)]
    assert excess[1] / sum(excess) == pytest.approx(0.25, abs=0.01)
    assert truth.photons.sum() == 40 * 5000 == pytest.approx(sum(excess), rel=0.05)


def test_a_further_channel_changes_nothing_in_what_one_channel_gives():
    alone, truth = simulate(tiny_experiment(), frames=2, emitters=3, seed=1)
    # Almost all of the light stays in the first channel.
    little = tiny_experiment(channels={"dim": Channel(light=1e-9)})
    movies, same = simulate_channels(little, frames=2, emitters=3, seed=1)
    assert torch.equal(truth.xyz, same.xyz)
    assert (movies["first"] != alone).mean() < 1e-3
    once, _ = simulate_channels(tiny_experiment(), frames=2, emitters=3, seed=1)
    assert np.array_equal(once["first"], alone)


def test_files_one_a_channel_hold_what_is_simulated_in_memory(tmp_path: Path):
    asked: dict[str, Any] = {"frames": 3, "specimen": Specimen(emitters=2), "seed": 5}
    made = simulate_movie(MovieSimulation(mirrored(), **asked), tmp_path / "m.tif", truth=tmp_path / "t.csv")
    assert [path.name for path in made.movies] == ["m.tif", "m.side.tif"]
    movies, truth = simulate_channels(mirrored(), frames=3, emitters=2, seed=5)
    for path, counts in zip(made.movies, movies.values(), strict=True):
        with open_movie(path) as movie:
            assert np.array_equal(movie.read(0, 3), counts)
    assert len(read_truth(tmp_path / "t.csv")) == len(truth) == made.emitters
    # Both halves of one camera.
    halves = simulate_movie(MovieSimulation(mirrored(), **asked), tmp_path / "h.tif", split="left-right")
    assert halves.movies == (tmp_path / "h.tif",)
    with open_movie(tmp_path / "h.tif") as movie:
        assert np.array_equal(movie.read(0, 3), np.concatenate(list(movies.values()), axis=2))


def test_channels_of_other_sizes_are_no_halves_and_leave_no_file(tmp_path: Path):
    wide = tiny_experiment(channels={"wide": Channel(frame_px=(64, 80))})
    movies, _ = simulate_channels(wide, frames=1, emitters=1)
    assert movies["wide"].shape == (1, 64, 80)
    with pytest.raises(InputError, match="64 x 64 px of 110 nm and 80 x 64 px of 110 nm"):
        simulate_movie(MovieSimulation(wide, frames=1), tmp_path / "m.tif", split="top-bottom")
    with pytest.raises(InputError, match="halves of one camera are two channels"):
        simulate_movie(MovieSimulation(tiny_experiment(), frames=1), tmp_path / "m.tif", split="top-bottom")
    assert list(tmp_path.iterdir()) == []


def test_one_movie_of_several_channels_is_refused_with_the_way_out():
    with pytest.raises(InputError, match=r"2 channels \(first, side\); get a movie of each"):
        simulate(mirrored())
    assert simulate(mirrored().of_channel(1))[0].shape == (1, 64, 64)


def test_a_background_keeps_its_light_where_a_channel_is_magnified():
    first, second = Field(20, 30, 0.1), Field(44, 62, 0.1)
    # Twice as large on the same camera: a pixel collects from a quarter of the area.
    doubled = Transform.affine(2 * torch.eye(2), torch.tensor([0.05, 0.05]))
    slope = torch.linspace(10, 50, 30).expand(2, 20, 30).contiguous()
    seen = ChannelBackground(ChannelView("far", doubled, 0.0, 0.5, second), first)(slope)
    assert seen.shape == (2, 44, 62)
    # A column of the first is at 2 · column + ½ of the second.
    for column in (3, 12, 25):
        there = (seen[0, 20, 2 * column] + seen[0, 20, 2 * column + 1]) / 2
        assert float(there) == pytest.approx(float(slope[0, 0, column]) * 0.5 / 4, rel=1e-4)


def test_molecules_outside_the_first_frame_shine_into_the_second():
    # The second camera is shifted by 30 pixels.
    shift = TransformSpec(x_um=(30 * PIXEL, 1.0, 0.0), y_um=(0.0, 0.0, 1.0))
    base = mirrored()
    scene = base.scene()
    beyond = scene.emitters.with_(margin_px=(-30.0, -30.0), z_um=(0.55, 0.65))
    shifted = base.with_(
        channels={"side": Channel(light=0.5, coefficients=shift)},
        scenes={"main": scene.with_(emitters=beyond)},
    )
    made = MovieSimulation(shifted, frames=20, seed=2)
    block = next(iter(made.blocks()))
    assert isinstance(block.truth, Emitters)
    assert made.views[0].field.inside(block.truth.xyz).all()
    left = block.further[0][:, :, :20].float()
    # Columns 0 to 20 of the second show −30 to −10 of the first: nothing in the list, and light there.
    assert float((left - left.median()).sum()) > 20 * 5000 * 0.5 * 0.2
