"""Molecules seen in several channels: derivatives through the transform, and the joint bound."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, SIZE, scene, table
from torch import Tensor

from deepstorm3d.channels import Transform
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.fitting.sites.channel import ChannelModel
from deepstorm3d.fitting.sites.climb import climb_sites
from deepstorm3d.fitting.sites.covariance import lights_of, site_bounds
from deepstorm3d.fitting.sites.frames import Movie
from deepstorm3d.fitting.sites.state import Sites
from deepstorm3d.fitting.state import JointState
from deepstorm3d.watch import SILENT

LEVEL = 20.0
BOUNDS = Bounds((DEPTH[0], DEPTH[1] - 0.1))
MIDDLE = torch.tensor([2.6, 2.1], dtype=torch.float64)


def bent(mirrored: bool = True) -> Transform:
    """Turned by 5°, 1.03 times as large, mirrored, with terms of the second degree of up to 80 nm."""
    turn = math.radians(5.0)
    matrix = 1.03 * torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    if mirrored:
        matrix = matrix @ torch.diag(torch.tensor([-1.0, 1.0]))
    bend = torch.tensor([[0.03, -0.02, 0.03], [0.02, 0.04, -0.02]])
    coefficients = torch.cat([MIDDLE[:, None] + 0.1, 2.5 * matrix.double(), bend.double()], 1)
    return Transform(coefficients, MIDDLE, 2.5)


def channel(
    dtype: torch.dtype = torch.float32,
    transform: Transform | None = None,
    depth_um: float = 0.0,
    blur: tuple[float, float] | None = None,
) -> ChannelModel:
    psf = table(*((1.0, 1.0) if blur is None else (0.75, 1.25)), dtype)
    surface = SplineBackground(SIZE, math.inf, torch.zeros(1, dtype=dtype))
    return ChannelModel(psf, surface, math.inf, transform, depth_um, blur or (0.0, 1.0))


def state(blur: bool) -> JointState:
    made = scene(4, 1, blur=blur, seed=2).state
    made = replace(made, coefficients=torch.full((1, 1, 1), LEVEL, dtype=torch.float64))
    return replace(made, xyz=torch.cat([made.xyz[:, :2], made.xyz[:, 2:].clamp(0.15, 0.95)], 1))


@pytest.mark.parametrize("blur", [False, True])
def test_derivatives_go_through_the_transform(blur: bool) -> None:
    seen = channel(torch.float64, bent(), 0.1, (0.1, 0.9) if blur else None)
    at = state(blur)
    frame = torch.poisson(
        torch.full((1, *SIZE), 30.0, dtype=torch.float64), generator=torch.Generator().manual_seed(1)
    )
    movie = Movie((seen,), BOUNDS, lights_of([Likelihood(frame)]), SILENT)
    terms = movie.terms(0, at)
    unknowns = 4 if blur else 3

    def moved(row: int, axis: int, by: float) -> JointState:
        xyz, blurs = at.xyz.clone(), None if at.blur_px is None else at.blur_px.clone()
        if axis < 3:
            xyz[row, axis] += by
        else:
            assert blurs is not None
            blurs[row] += by
        return replace(at, xyz=xyz, blur_px=blurs)

    found, expected, step = [], [], 1e-5
    for row in range(len(at)):
        for axis in range(unknowns):
            up, down = (movie.deviance(0, moved(row, axis, by)) for by in (step, -step))
            found.append(-(up - down) / (4 * step))
            expected.append(float(terms.gradient[row * unknowns + axis]))
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=2e-3, atol=0.3)
    # The information is that of the image's derivatives by the places of the first channel.
    information = movie.lights[0].information(terms.image.image)
    columns = []
    for row in range(len(at)):
        for axis in range(unknowns):
            up, down = (movie.terms(0, moved(row, axis, by)).image.image for by in (step, -step))
            columns.append(((up - down) / (2 * step)).flatten())
    slopes = torch.stack(columns)
    whole = (slopes * information.flatten()) @ slopes.mT
    torch.testing.assert_close(terms.matrix[: len(columns), : len(columns)], whole, rtol=2e-3, atol=2.0)
    light = len(columns)
    cross = (slopes * information.flatten()) @ terms.image.image.new_ones(slopes.shape[1])
    torch.testing.assert_close(terms.matrix[:light, -1], cross, rtol=5e-3, atol=0.3)


def true_sites(place: Tensor, photons: list[float], level: float = LEVEL) -> Sites:
    """Sites (S, 3) of one frame with a look in each channel, with these photons."""
    number, count = len(place), len(photons)
    return Sites(
        place.double(),
        torch.arange(number).repeat(count),
        torch.arange(count).repeat_interleave(number),
        torch.tensor(photons, dtype=torch.float64).repeat_interleave(number),
        torch.arange(number * count),
        (torch.full((1, 1), level, dtype=torch.float64),) * count,
        torch.zeros(number * count, dtype=torch.bool),
        channels=count,
    )


def images(channels: list[ChannelModel], sites: Sites) -> list[Tensor]:
    """The expected images (1, H, W) of sites of one frame."""
    made = Movie(
        tuple(channels), BOUNDS, lights_of([Likelihood(torch.zeros(1, *SIZE))] * len(channels)), SILENT
    )
    rows = sites.slices()
    return [
        made.terms(number, sites.of_image(number, rows[number], torch.float32)).image.image
        for number in range(len(channels))
    ]


def noisy(expected: list[Tensor], seed: int) -> list[Likelihood]:
    generator = torch.Generator().manual_seed(seed)
    return [Likelihood(torch.poisson(image, generator=generator)) for image in expected]


def apart(number: int) -> Tensor:
    """Places (number, 3) µm far from each other and from the edge, at four depths."""
    four = torch.tensor([[1.3, 1.2, 0.25], [3.9, 1.3, 0.45], [1.4, 3.1, 0.6], [3.8, 3.0, 0.8]])
    return four.repeat(-(-number // 4), 1)[:number]


def test_two_equal_channels_have_the_bound_of_one_over_the_root_of_two() -> None:
    one, place = channel(), apart(2)
    bound = []
    for channels in ([one], [one, one]):
        sites = true_sites(place, [3000.0] * len(channels))
        made = Movie(tuple(channels), BOUNDS, lights_of(noisy(images(channels, sites), 0)), SILENT)
        bound.append(site_bounds(made, sites))
    torch.testing.assert_close(bound[1].place, bound[0].place / math.sqrt(2), rtol=1e-4, atol=0)


def test_a_channel_that_is_turned_and_mirrored_tells_as_much_as_the_first() -> None:
    turn = Transform.affine(torch.tensor([[0.0, -1.0], [-1.0, 0.0]]), torch.tensor([4.7, 4.9]))
    place = torch.tensor([[2.6, 2.2, 0.5]])
    bound = []
    for second in (channel(), channel(transform=turn)):
        sites = true_sites(place, [3000.0, 3000.0])
        channels = [channel(), second]
        made = Movie(tuple(channels), BOUNDS, lights_of(noisy(images(channels, sites), 0)), SILENT)
        bound.append(site_bounds(made, sites).place[0])
    same, turned = bound
    # x of the first channel is y of the second: an astigmatic PSF knows the two differently.
    mixed = (2 / (1 / same[0] ** 2 + 1 / same[1] ** 2)).sqrt()
    torch.testing.assert_close(turned[:2], mixed.expand(2), rtol=0.02, atol=0)


def test_draws_of_the_noise_are_at_the_joint_bound_through_a_bent_transform() -> None:
    channels = [channel(), channel(transform=bent(), depth_um=0.1)]
    sites, errors = true_sites(apart(4), [2500.0, 1000.0]), []
    expected = images(channels, sites)
    for seed in range(30):
        made = Movie(tuple(channels), BOUNDS, lights_of(noisy(expected, seed)), SILENT)
        fitted = climb_sites(made, sites)
        assert fitted.settled
        errors.append((fitted.sites.place - sites.place) / site_bounds(made, sites).place)
    # The mean of 120 squares of a unit normal is 1 ± 0.13; three σ each way.
    ratio = torch.cat(errors).square().mean(0)
    assert bool((ratio > 0.61).all()) and bool((ratio < 1.39).all()), ratio


def test_the_second_channel_tells_a_wrong_transform_by_its_deviance() -> None:
    right = [channel(), channel(transform=bent())]
    sites = true_sites(apart(4), [2500.0, 2500.0])
    lights = noisy(images(right, sites), 3)
    deviance = []
    for off in (0.0, 0.1):
        shift = Transform.affine(torch.eye(2), torch.tensor([off, 0.0]))
        channels = (right[0], replace(right[1], transform=bent().then(shift)))
        deviance.append(climb_sites(Movie(channels, BOUNDS, lights_of(lights), SILENT), sites).deviance)
    pixels = SIZE[0] * SIZE[1]
    # Of the right one, about 1 a pixel with the scatter √(2 / pixels); 100 nm cost some hundreds in all.
    assert bool((deviance[0] / pixels - 1).abs().lt(0.12).all())
    assert float((deviance[1] - deviance[0]).sum()) > 200
