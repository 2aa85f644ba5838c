"""Where sites begin: rows of a list, which need σ, and new molecules, within the bounds; how they are tried."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from test_fitting_sites import joint_fit, movie, single_frames, true_sites
from test_fitting_sites_arrangements import frames_of

from deepstorm3d.errors import InputError
from deepstorm3d.fitting import parallel
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.fitting.sites.arrangements import Arrangement
from deepstorm3d.fitting.sites.fit import SiteFit
from deepstorm3d.fitting.sites.missing import Missing
from deepstorm3d.fitting.sites.neighbourhood import images_of
from deepstorm3d.fitting.sites.state import Sites
from deepstorm3d.fitting.sites.trials import OverFrames, tried
from deepstorm3d.fitting.sites.unseen import Unseen

PLACES = torch.tensor([[1.2, 1.3, 0.4], [2.4, 2.3, 0.6]])


@pytest.mark.parametrize(
    "sigma", [(0.0, 0.3, 0.3), (math.nan, 0.01, 0.01), (0.3, 0.3, math.inf), (0.01, 0.01, -0.01)]
)
def test_a_row_without_sigma_is_refused_sharp_or_not(sigma: tuple[float, float, float]) -> None:
    made = movie(PLACES, [0, 1, 0], [0, 0, 1], [3000.0] * 3)
    likelihood = made.noisy(0)
    rows = single_frames(made, likelihood)
    wrong = rows.sigma_xyz.clone()
    wrong[1] = torch.tensor(sigma)
    with pytest.raises(InputError, match="1 of 3 rows have no σ"):
        SiteFit(joint_fit(made))(replace(rows, sigma_xyz=wrong), likelihood)


def test_new_molecules_begin_alike_whoever_finds_them() -> None:
    made = movie(PLACES, [0, 1], [0, 0], [3000.0] * 2)
    bounds, frames = Bounds((0.2, 1.0), (0.4, 1.2)), frames_of(made, made.noisy(0))
    frames = replace(frames, bounds=bounds)
    xyz, light = torch.tensor([1.5, 1.6, 1.3]), torch.tensor([500.0])

    def begins(sites: Sites) -> list[float]:
        one = Unseen(xyz, light, 30.0, 0, 0).arrangement(sites, bounds)
        (other,) = Missing(xyz[None], light[None], torch.tensor([30.0])).arrangements(frames, sites)
        assert torch.equal(one.new, other.new)
        return [round(value, 4) for value in one.new[0].tolist()]

    sites = true_sites(made)
    assert begins(sites) == [1.5, 1.6, 1.0]
    blurred = replace(sites, place=torch.cat([sites.place, torch.tensor([[0.5], [0.7]]).double()], 1))
    assert begins(blurred) == [1.5, 1.6, 1.0, 0.6]
    # Without any site the middle of what blur may be.
    nothing = blurred.of_looks(torch.zeros(0, dtype=torch.int64)).compact()
    assert begins(nothing) == [1.5, 1.6, 1.0, 0.8]


def test_a_trial_runs_in_the_thread_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    made = movie(PLACES, [0, 1, 0, 1], [0, 0, 1, 1], [3000.0] * 4)
    frames, sites = frames_of(made, made.noisy(0)), true_sites(made)
    images, pools = images_of(frames, sites), list[int]()

    class Counted(parallel.ThreadPoolExecutor):
        def __init__(self, threads: int) -> None:
            pools.append(threads)
            super().__init__(threads)

    monkeypatch.setattr(parallel, "ThreadPoolExecutor", Counted)
    wanted = [Arrangement.removal(sites, site) for site in range(2)]
    after = tried(frames, sites, images, wanted, OverFrames(25.0, 1e-3, torch.ones(2)))
    assert len(after.vain) == 2 and len(pools) == 1
