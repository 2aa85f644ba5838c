"""Molecules seen in several channels: derivatives through the transform, and the joint bound."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, SIZE, scene, table
from torch import Tensor

from deepstorm3d.channels import Transform
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.fitting.sites.candidates import CandidatesFit
from deepstorm3d.fitting.sites.channel import ChannelModel
from deepstorm3d.fitting.sites.channels import ChannelsFit, FurtherChannel
from deepstorm3d.fitting.sites.climb import climb_sites
from deepstorm3d.fitting.sites.covariance import lights_of, site_bounds
from deepstorm3d.fitting.sites.known_shares import in_common
from deepstorm3d.fitting.sites.mismatch import Mismatch
from deepstorm3d.fitting.sites.movie import Movie
from deepstorm3d.fitting.sites.neighbourhood import images_of
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
    information = movie.lights[0].information(terms.views[0].image.image)
    columns = []
    for row in range(len(at)):
        for axis in range(unknowns):
            up, down = (movie.expected(0, moved(row, axis, by))[0] for by in (step, -step))
            columns.append(((up - down) / (2 * step)).flatten())
    slopes = torch.stack(columns)
    whole = (slopes * information.flatten()) @ slopes.mT
    torch.testing.assert_close(terms.matrix[: len(columns), : len(columns)], whole, rtol=2e-3, atol=2.0)
    light = len(columns)
    cross = (slopes * information.flatten()) @ slopes.new_ones(slopes.shape[1])
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
    """The expected images (1, H, W) of sites of one frame, whose looks are those of single channels."""
    made = Movie(
        tuple(channels), BOUNDS, lights_of([Likelihood(torch.zeros(1, *SIZE))] * len(channels)), SILENT
    )
    return images_of(made, in_common(sites, made) if made.shared else sites)


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


def fits() -> ChannelsFit:
    first = JointFit(
        channel().psf,
        channel().psf,
        Bounds(DEPTH),
        DEPTH,
        spacing_px=math.inf,
        search_spacing_px=math.inf,
        rounds=0,
    )
    return ChannelsFit(first, (FurtherChannel(first, bent(), 0.1),))


def seen(
    place: Tensor, shares: list[float], seed: int, total: float = 4000.0
) -> tuple[list[Likelihood], list[Localizations]]:
    """Frames of both channels with molecules at places (S, 3) that have these shares of their light in the
    second, and the list of each channel of the molecules that have light there."""
    channels = [channel(), channel(transform=bent(), depth_um=0.1)]
    share = torch.tensor(shares, dtype=torch.float64)
    sites = replace(
        true_sites(place, [1.0, 1.0]), photons=total * torch.cat([1 - share, share]).clamp(min=1e-3)
    )
    lights, lists = noisy(images(channels, sites), seed), []
    for number, light in enumerate(lights):
        there = channels[number].places(place.double())[sites.photons.view(2, -1)[number] > 200]
        start = Localizations.proposals(
            there.float(), torch.zeros(len(there), dtype=torch.int64), torch.ones(len(there))
        )
        lists.append(fits().first(start, light))
    return lights, lists


def test_a_molecule_of_both_channels_has_one_row_at_the_joint_position() -> None:
    place, shares = apart(4), [0.3, 0.5, 0.0, 1.0]
    errors, singles, deviations = [], [], []
    for seed in range(12):
        lights, lists = seen(place, shares, seed)
        found = fits()(lists, lights)
        rows = found.localizations
        assert len(rows) == 4 and found.together == 2 and found.removed == 0, found
        assert rows.share is not None and rows.sigma_share is not None
        nearest = torch.cdist(place[:, :2], rows.xyz[:, :2]).argmin(1)
        rows = rows[nearest]
        errors.append((rows.xyz - place) / rows.sigma_xyz)
        singles.append((lists[0].sigma_xyz[0], rows.sigma_xyz[0]))
        assert rows.share is not None and rows.sigma_share is not None
        deviations.append((rows.share - torch.tensor(shares))[:2] / rows.sigma_share[:2])
        assert bool((rows.sigma_share > 0).all())
        # What has no light in one channel: its share is within 4 σ of 0 or 1.
        assert bool(((rows.share - torch.tensor(shares)).abs() < 4 * rows.sigma_share)[2:].all())
        assert float((found.misfit - 1).abs().max()) < 0.12
        total = (rows.photons - 4000) / rows.sigma_photons
        assert float(total.abs().max()) < 4.5
    ratio = torch.cat(errors).square().mean(0)
    # 48 squares of a unit normal have the mean 1 ± 0.2.
    assert bool((ratio > 0.4).all()) and bool((ratio < 1.6).all()), ratio
    spread = torch.cat(deviations).square().mean()
    assert 0.3 < float(spread) < 1.9, spread
    # The molecule of the first row has 70 % of its light in the first channel: the second adds to it.
    assert all(bool((both < alone).all()) for alone, both in singles)


def test_a_molecule_that_one_list_lacks_gets_its_light_there_at_the_known_place() -> None:
    lights, lists = seen(apart(4), [0.4] * 4, seed=5)
    without = lists[1][torch.tensor([0, 2])]
    found = fits()([lists[0], without], lights)
    assert len(found.localizations) == 4 and found.together == 4 and found.filled == 2
    whole = fits()(lists, lights)
    assert float((found.localizations.xyz - whole.localizations.xyz).norm(dim=1).max()) < 0.002
    # And a molecule of the second channel alone is given in the first one's place.
    alone = fits()([lists[0][:0], lists[1]], lights)
    assert len(alone.localizations) == 4 and alone.together == 4


def test_two_molecules_of_one_channel_each_stay_two() -> None:
    # 90 nm apart, each in one channel: within 3 σ of each other only for dim ones; the likelihood divides them.
    place = torch.tensor([[2.6, 2.2, 0.4], [2.69, 2.2, 0.4]])
    lights, lists = seen(place, [0.0, 1.0], seed=1)
    wide = [replace(rows, sigma_xyz=torch.full_like(rows.sigma_xyz, 0.05)) for rows in lists]
    found = fits()(wide, lights)
    rows = found.localizations[torch.argsort(found.localizations.xyz[:, 0])]
    assert found.split == 1 and len(rows) == 2
    assert float(((rows.xyz - place) / rows.sigma_xyz).abs().max()) < 4
    assert rows.share is not None and rows.sigma_share is not None
    assert bool(((rows.share - torch.tensor([0.0, 1.0])).abs() < 4 * rows.sigma_share).all())


def test_a_place_that_the_second_channel_does_not_show_has_no_share() -> None:
    away = Transform.affine(torch.eye(2), torch.tensor([3.0, 0.0]))
    place = torch.tensor([[3.9, 1.3, 0.45], [1.3, 3.1, 0.45]])
    first, second = channel(), channel(transform=away)
    sites = true_sites(place, [2000.0, 2000.0])
    lights = noisy(images([first, second], sites), 2)
    fit = fits()
    fit = ChannelsFit(fit.first, (FurtherChannel(fit.first, away),))
    start = Localizations.proposals(place, torch.zeros(2, dtype=torch.int64), torch.ones(2))
    rows = fit([fit.first(start, lights[0]), Localizations.empty()], lights).localizations
    assert len(rows) == 2 and rows.sigma_share is not None and rows.share is not None
    rows = rows[torch.argsort(rows.xyz[:, 0])]
    assert rows.sigma_share is not None and rows.share is not None
    assert float(rows.sigma_share[1]) == 0 and float(rows.share[1]) == 0
    assert abs(float(rows.share[0]) - 0.5) < 4 * float(rows.sigma_share[0]) < 0.2


def test_frames_without_molecules_and_channels_without_a_common_depth() -> None:
    light = Likelihood(torch.full((2, *SIZE), LEVEL))
    found = fits()([Localizations.empty()] * 2, [light] * 2)
    assert len(found.localizations) == 0 and found.misfit.shape == (2, 2)
    with pytest.raises(InputError, match=r"no depth in common.*0 to 1.2 µm and 2 to 3.2"):
        ChannelsFit(fits().first, (FurtherChannel(fits().first, bent(), -2.0),))


def candidates(place: Tensor, unlikely: int = 0) -> Localizations:
    """Candidates, the last ones of which the network finds unlikely."""
    frame = torch.zeros(len(place), dtype=torch.int64)
    probability = torch.full((len(place),), 0.7)
    probability[len(place) - unlikely :] = 0.1
    return Localizations.proposals(place.float(), frame, probability)


def after_candidates() -> CandidatesFit:
    fit = fits()
    single = replace(fit.first, rounds=8, dim_photons=800.0)
    return CandidatesFit(ChannelsFit(single, (replace(fit.others[0], single=single),)))


def test_of_candidates_the_false_ones_go_and_the_missing_one_is_found() -> None:
    place, errors = apart(4), []
    for seed in range(6):
        lights, _ = seen(place, [0.4] * 4, seed)
        off = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
        start = place + 0.05 * off / off.norm(dim=1, keepdim=True)
        # One is missing, one is there twice, and one is where nothing is.
        wrong = torch.stack([start[1] + torch.tensor([0.1, 0.05, 0.1]), torch.tensor([2.6, 2.1, 0.5])])
        found = after_candidates()(candidates(torch.cat([start[:3], wrong]), unlikely=2), lights)
        rows = found.localizations
        assert len(rows) == 4 and found.filled == 1 and found.removed == 2 and found.together == 4, found
        assert sorted(set(rows.probability.tolist())) == pytest.approx([0.7, 0.999])
        nearest = torch.cdist(place[:, :2], rows.xyz[:, :2]).argmin(1)
        errors.append((rows[nearest].xyz - place) / rows[nearest].sigma_xyz)
        (tie,) = found.mismatch
        assert tie.compared == 4 and bool((tie.shift_um[0].abs() < 4.5 * tie.shift_um[1]).all())
    # 24 squares of a unit normal have the mean 1 ± 0.29.
    ratio = torch.cat(errors).square().mean(0)
    assert bool((ratio > 0.3).all()) and bool((ratio < 2.0).all()), ratio


def test_one_candidate_for_two_molecules_is_divided_by_both_channels_together() -> None:
    place = torch.tensor([[2.5, 2.1, 0.35], [2.72, 2.1, 0.6]])
    lights, _ = seen(place, [0.5, 0.5], seed=4, total=6000.0)
    found = after_candidates()(candidates(place.mean(0, keepdim=True)), lights)
    rows = found.localizations[torch.argsort(found.localizations.xyz[:, 0])]
    assert len(rows) == 2 and found.filled == 1
    assert float(((rows.xyz - place) / rows.sigma_xyz).abs().max()) < 4.5


def test_a_shift_between_the_channels_is_measured_by_their_ties() -> None:
    place = apart(4)
    lights, _ = seen(place, [0.5] * 4, seed=8)
    fit = after_candidates().channels
    away = bent().then(Transform.affine(torch.eye(2), torch.tensor([0.03, 0.0])))
    wrong = CandidatesFit(replace(fit, others=(replace(fit.others[0], transform=away),)))
    (tie,) = wrong(candidates(place), lights).mismatch
    shift, sigma = tie.shift_um
    # 30 nm too far along x there; here, mirrored and turned by 5°, the other way.
    slope = torch.linalg.inv(bent().jacobian(MIDDLE[None]))[0] @ torch.tensor([-0.03, 0.0]).double()
    assert float((shift[:2] - slope).norm()) < 0.01 and float(sigma[:2].max()) < 0.01


def test_what_the_transform_is_known_to_be_wrong_by_does_not_count_molecules_as_apart() -> None:
    place = apart(4)
    lights, _ = seen(place, [0.5] * 4, seed=8, total=10_000.0)
    fit = after_candidates().channels
    away = bent().then(Transform.affine(torch.eye(2), torch.tensor([0.04, 0.0])))

    def tie(excess: float) -> Mismatch:
        other = replace(fit.others[0], transform=away, excess_um=(excess, excess, 0.0))
        return CandidatesFit(replace(fit, others=(other,)))(candidates(place), lights).mismatch[0]

    strict, held = tie(0.0), tie(0.04)
    assert strict.compared == held.compared == 4
    assert strict.apart >= 3 and held.apart == 0
    # The pull of all of them together is told as before.
    assert torch.equal(strict.shift_um[0], held.shift_um[0])


def test_molecules_are_not_divided_by_what_the_transform_is_wrong_by() -> None:
    place = torch.tensor([[1.3, 1.2, 0.4], [3.7, 1.3, 0.5], [1.4, 3.0, 0.6], [3.7, 3.0, 0.7]])
    lights, lists = seen(place, [0.5] * 4, seed=3, total=40_000.0)
    fit = fits()
    off = bent().then(Transform.affine(torch.eye(2), torch.tensor([0.06, 0.0])))
    wrong = FurtherChannel(fit.first, off, 0.1)
    divided = ChannelsFit(fit.first, (wrong,))(lists, lights)
    assert len(divided.localizations) > 4
    held = ChannelsFit(fit.first, (replace(wrong, excess_um=(0.06, 0.06, 0.0)),))(lists, lights)
    assert held.split == 0 and len(held.localizations) == 4 and held.together == 4
