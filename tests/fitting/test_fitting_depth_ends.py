"""A depth held by an end of the range of a fit is not measured, and no fit states that it is."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from fitting_scenes import DEPTH, SIZE, table

from deepstorm3d.analysis.stated_sigma import failed_fits
from deepstorm3d.channels import Transform
from deepstorm3d.emitters import UNKNOWN_SIGMA_UM, Localizations
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import expected_image
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.fitting.single import SingleFit
from deepstorm3d.fitting.sites.channels import ChannelsFit, FurtherChannel
from deepstorm3d.fitting.sites.fit import SiteFit
from deepstorm3d.fitting.sites.windows import FoundBlock, SitesOverMovie
from deepstorm3d.fitting.state import JointState

FRAMES = 4
BOUNDS = Bounds((0.3, 0.9))
# Above the range, inside it, below it, and inside near an end.
TRUTH = torch.tensor([[1.0, 1.0, 0.1], [3.8, 1.0, 0.6], [1.0, 3.2, 1.1], [3.8, 3.2, 0.4]])
BEYOND = torch.tensor([True, False, True, False])


def movie() -> Likelihood:
    psf, number = table(dtype=torch.float32), len(TRUTH)
    state = JointState(
        TRUTH.repeat(FRAMES, 1),
        torch.full((FRAMES * number,), 6000.0),
        torch.arange(FRAMES).repeat_interleave(number),
        torch.full((FRAMES, 1, 1), 10.0),
    )
    image = expected_image(psf, state, SplineBackground(SIZE, math.inf, TRUTH), (FRAMES, *SIZE))
    return Likelihood(torch.poisson(image, generator=torch.Generator().manual_seed(4)))


def joint() -> JointFit:
    psf, inf = table(dtype=torch.float32), math.inf
    return JointFit(psf, psf, BOUNDS, BOUNDS.z_um, spacing_px=inf, search_spacing_px=inf, rounds=0)


def of_single_frames(light: Likelihood) -> Localizations:
    frame = torch.arange(FRAMES).repeat_interleave(len(TRUTH))
    return joint()(Localizations.proposals(TRUTH.repeat(FRAMES, 1), frame, torch.ones(len(frame))), light)


def of_single_spots(light: Likelihood) -> Localizations:
    return SingleFit(table(dtype=torch.float32), BOUNDS, BOUNDS.z_um, apart_px=8)(light)


def over_frames(light: Likelihood) -> Localizations:
    return SiteFit(joint())(of_single_frames(light), light).localizations


def over_windows(light: Likelihood) -> Localizations:
    blocks = [FoundBlock(0, of_single_frames(light), light)]
    return Localizations.concat(SitesOverMovie(SiteFit(joint()), 2)(blocks))


def of_two_channels(light: Likelihood) -> Localizations:
    fit = ChannelsFit(joint(), (FurtherChannel(joint(), Transform.identity()),))
    single = of_single_frames(light)
    return fit([single, single], [light, light]).localizations


@pytest.mark.parametrize("fit", [of_single_frames, of_single_spots, over_frames, over_windows, of_two_channels])
def test_a_depth_at_an_end_of_the_range_has_the_sigma_of_an_unknown(
    fit: Callable[[Likelihood], Localizations],
) -> None:
    found = fit(movie())
    molecule = torch.cdist(found.xyz[:, :2], TRUTH[:, :2]).argmin(1)
    beyond = BEYOND[molecule]
    # Of those at the ends and of those inside about as many as there are frames.
    assert min(int(beyond.sum()), int((~beyond).sum())) >= 2 * FRAMES - 1
    ends = torch.where(TRUTH[molecule, 2] < 0.5, BOUNDS.z_um[0], BOUNDS.z_um[1])
    torch.testing.assert_close(found.xyz[beyond, 2], ends[beyond], rtol=0, atol=1e-5)
    assert found.sigma_xyz[beyond, 2].tolist() == [UNKNOWN_SIGMA_UM] * int(beyond.sum())
    assert float(found.sigma_xyz[~beyond].min()) > 0.001 and float(found.sigma_xyz[~beyond].max()) < 0.1
    assert float(found.sigma_xyz[:, :2].max()) < 0.1
    error = (found.xyz - TRUTH[molecule])[~beyond] / found.sigma_xyz[~beyond]
    assert float(error.abs().max()) < 5
    assert torch.equal(failed_fits(found), beyond)


def test_the_range_says_which_depths_its_ends_hold() -> None:
    low, high = Bounds(DEPTH).at_ends(torch.tensor([0.0, 1e-3, 0.6, 1.199, 1.2]))
    assert low.tolist() == [True, False, False, False, False]
    assert high.tolist() == [False, False, False, False, True]


def test_where_there_is_one_depth_nothing_is_held() -> None:
    xyz, sigma = torch.tensor([[0.0, 0.0, 0.5]]), torch.tensor([[0.01, 0.01, 0.02, 30.0]])
    assert torch.equal(Bounds((0.5, 0.5)).stated(xyz, sigma), sigma[:, :3])
    assert float(Bounds((0.5, 1.5)).stated(xyz, sigma)[0, 2]) == UNKNOWN_SIGMA_UM
