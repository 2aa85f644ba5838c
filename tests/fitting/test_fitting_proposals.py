"""Proposals: a missing molecule is proposed at its place, a spot of two is divided, noise is left alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from fitting_scenes import DEPTH, SIZE, Scene, scene
from torch import Tensor

from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import LinearImage
from deepstorm3d.fitting.proposals import Proposer
from deepstorm3d.fitting.refine import Bounds, refine
from deepstorm3d.fitting.search import MatchedFilter
from deepstorm3d.fitting.state import DIVISION, JointState

PRICE = 25.0


def proposer(truth: Scene) -> Proposer:
    search = MatchedFilter(truth.psf, DEPTH, SIZE, truth.state.xyz)
    return Proposer(truth.psf, Bounds(DEPTH, (0.75, 1.25)), search)


def linear(truth: Scene, state: JointState) -> LinearImage:
    return LinearImage(truth.psf, state, truth.background, truth.shape)


def pair(apart: tuple[float, float, float], photons: tuple[float, float] = (6000, 6000)) -> Scene:
    """One molecule that is two, and one by itself far away."""
    base = scene(3, 1, seed=5)
    middle = torch.tensor([1.6, 2.2, 0.6], dtype=torch.float64)
    half = torch.tensor(apart, dtype=torch.float64) / 2
    alone = torch.tensor([3.9, 2.0, 0.4], dtype=torch.float64)
    xyz = torch.stack([middle - half, middle + half, alone])
    bright = torch.tensor([*photons, 5000.0], dtype=torch.float64)
    return replace(base, state=replace(base.state, xyz=xyz, photons=bright))


def fitted_as_one(truth: Scene, likelihood: Likelihood) -> JointState:
    state = truth.state
    one = replace(
        state.rows(torch.tensor([0, 2])),
        xyz=torch.stack([state.xyz[:2].mean(0), state.xyz[2]]),
        photons=torch.stack([state.photons[:2].sum(), state.photons[2]]),
    )
    return refine(truth.psf, one, likelihood, truth.background, Bounds(DEPTH)).state


def test_a_missing_molecule_is_proposed_where_it_is() -> None:
    truth = scene(5, 2, seed=1)
    likelihood = truth.noisy()
    state = truth.state.rows(torch.arange(5) != 3)
    changes = proposer(truth).missing(state, linear(truth, state).image, likelihood, PRICE)
    assert changes.frame.tolist() == [int(truth.state.frame[3])]
    assert changes.gone.tolist() == []
    assert changes.more.tolist() == [1]
    nearest = torch.cdist(truth.state.xyz[3:4], changes.new.xyz).min()
    # In its window with all others fixed it is found almost as well as it can be.
    assert float(nearest) < 0.05


def test_a_proposed_molecule_brings_a_blur_where_the_others_have_one() -> None:
    truth = scene(4, 1, blur=True, seed=1)
    likelihood = truth.noisy()
    state = truth.state.rows(torch.arange(4) != 2)
    changes = proposer(truth).missing(state, linear(truth, state).image, likelihood, PRICE)
    assert changes.new.blur_px is not None
    assert changes.new.blur_px.shape == (1,)
    assert bool(((changes.new.blur_px >= 0.75) & (changes.new.blur_px <= 1.25)).all())


def test_nothing_is_proposed_where_the_list_is_complete() -> None:
    truth = scene(6, 3, seed=2)
    likelihood = truth.noisy()
    state = refine(truth.psf, truth.state, likelihood, truth.background, Bounds(DEPTH)).state
    image = linear(truth, state)
    assert not len(proposer(truth).missing(state, image.image, likelihood, PRICE))
    assert not len(proposer(truth).divided(state, image, likelihood, PRICE))


def nearest_to(truth: Tensor, found: Tensor) -> float:
    return float(torch.cdist(truth, found).amin(1).max())


def test_a_spot_of_two_is_divided_along_the_line_between_them() -> None:
    for apart in ((0.3, 0.0, 0.0), (0.0, 0.3, 0.0), (0.0, 0.0, 0.6), (0.2, -0.2, 0.0)):
        truth = pair(apart)
        likelihood = truth.noisy()
        state = fitted_as_one(truth, likelihood)
        changes = proposer(truth).divided(state, linear(truth, state), likelihood, PRICE)
        assert changes.frame.tolist() == [0]
        assert changes.gone.tolist() == [0]
        assert changes.more.tolist() == [1]
        assert nearest_to(truth.state.xyz[:2], changes.new.xyz) < 0.15


def test_a_division_keeps_the_light_of_the_spot() -> None:
    truth = pair((0.3, 0.0, 0.0), (9000, 4000))
    likelihood = truth.noisy()
    state = fitted_as_one(truth, likelihood)
    changes = proposer(truth).divided(state, linear(truth, state), likelihood, PRICE)
    assert abs(float(changes.new.photons.sum() / state.photons[0]) - 1) < 0.1


def test_a_division_that_was_tried_in_vain_is_not_proposed_again() -> None:
    truth = pair((0.3, 0.0, 0.0))
    likelihood = truth.noisy()
    state = replace(fitted_as_one(truth, likelihood), refused=torch.tensor([DIVISION, 0]))
    assert not len(proposer(truth).divided(state, linear(truth, state), likelihood, PRICE))


def test_single_precision_sees_what_a_division_brings_as_double_precision_does() -> None:
    # Information about the photons is ten orders of magnitude below that about the position.
    truth = pair((0.0, 0.0, 0.4))
    likelihood = truth.noisy()
    one = fitted_as_one(truth, likelihood)
    gain, _ = proposer(truth)._division_gains(one, linear(truth, one), likelihood)
    assert float(gain[0]) > 50
    single = scene(3, 1, seed=5, dtype=torch.float32)
    state = replace(
        one, xyz=one.xyz.float(), photons=one.photons.float(), coefficients=one.coefficients.float()
    )
    single_gain, _ = proposer(single)._division_gains(
        state, linear(single, state), Likelihood(likelihood.frames.float())
    )
    torch.testing.assert_close(single_gain.double(), gain, rtol=1e-3, atol=1e-3)
