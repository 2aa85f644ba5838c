"""Passes over doubtful molecules: which are, what changes, and that threads and batches change nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, scene
from test_fitting_second_pass import BOUNDS, seeing, selector_of, stuck

from deepstorm3d.emitters import Localizations
from deepstorm3d.fitting.doubt import doubtful, pairs_overlap
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.passes import Passes
from deepstorm3d.fitting.second_pass import SecondPass


def test_molecules_are_doubtful_near_light_that_is_not_explained() -> None:
    truth = scene(6, 1, seed=1, size=(44, 44), dtype=torch.float32)
    likelihood, selector = truth.noisy(1), selector_of(truth)
    whole = selector.model.fit(truth.state, likelihood)
    assert not bool(doubtful(selector, whole, likelihood).any())
    place = truth.state.xyz[:, :2]
    twin = (torch.cdist(place, place) + 9 * torch.eye(6)).min(1).values.argmin()
    without = selector.model.fit(truth.state.rows(torch.arange(6) != twin), likelihood)
    found = doubtful(selector, without, likelihood)
    far = (without.state.xyz[:, :2] - truth.state.xyz[twin, :2]).norm(dim=1)
    assert bool(found[far.argmin()])
    assert not bool(found[far.argmax()])


def test_a_frame_with_few_overlapping_spots_is_left_alone() -> None:
    many, few = scene(36, 1, seed=1, size=(44, 44)).state, scene(2, 1, seed=1, size=(44, 44)).state
    both = replace(many, coefficients=many.coefficients.expand(2, -1, -1)).joined(few, few.frame + 1)
    assert pairs_overlap(both).tolist() == [True, False]


def test_frames_together_end_as_each_alone() -> None:
    one, other = stuck(0), stuck(4)
    size, both = one[1].frames.shape[1:], torch.cat([one[1].frames, other[1].frames])
    xyz = torch.cat([one[0].state.xyz, other[0].state.xyz]) + 0.02
    start = Localizations.concat(
        [
            Localizations.proposals(each[3].state.xyz, each[3].state.frame + k, torch.ones(len(each[3].state)))
            for k, each in enumerate((one, other))
        ]
    )
    fit = JointFit(one[0].psf, one[0].psf, BOUNDS, DEPTH, most_per_um2=20.0, network=seeing(xyz))
    assert tuple(size) == tuple(both.shape[1:])
    threads = torch.get_num_threads()
    together = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            together.append(fit(start, Likelihood(both)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(together[0].xyz, together[1].xyz)
    for k in range(2):
        alone = fit(start.select(start.frame == k).shift(frames=-k), Likelihood(both[k : k + 1]))
        assert torch.equal(alone.xyz, together[0].xyz[together[0].frame == k])


def test_a_frame_without_doubt_keeps_its_list_bit_for_bit() -> None:
    truth = scene(6, 1, seed=1, size=(44, 44), dtype=torch.float32)
    likelihood, selector = truth.noisy(1), selector_of(truth)
    start = selector.improve(selector.model.fit(truth.state, likelihood), likelihood)
    asked: list[torch.Tensor] = []
    end = Passes(selector, SecondPass(seeing(truth.state.xyz, asked), 20.0))(start, likelihood)
    assert torch.equal(end.state.xyz, start.state.xyz)
    assert not asked


@pytest.mark.parametrize("seed", [0, 4, 6])
def test_the_cost_of_no_frame_rises(seed: int) -> None:
    truth, likelihood, selector, found = stuck(seed)
    # A network that sees every second molecule, and each in a wrong place.
    place = truth.state.xyz[::2] + torch.tensor([0.15, -0.15, 0.2])
    end = Passes(selector, SecondPass(seeing(place), 20.0))(found, likelihood)
    assert float(selector.cost(end)) <= float(selector.cost(found))
