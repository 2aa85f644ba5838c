"""A second pass of the network over crowded frames: what it adds, where it is made, what it cannot spoil."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields, replace

import pytest
import torch
from fitting_scenes import DEPTH, Scene, scene
from torch import Tensor

from deepstorm3d.emitters import Localizations
from deepstorm3d.fitting import exchange, passes, selection
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.frame_model import FrameModel
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.passes import Passes
from deepstorm3d.fitting.proposals import Proposer
from deepstorm3d.fitting.refine import Bounds, Effort, Refined
from deepstorm3d.fitting.search import MatchedFilter
from deepstorm3d.fitting.second_pass import SecondPass, crowded, half
from deepstorm3d.fitting.selection import Selector
from deepstorm3d.fitting.state import JointState

SIZE = (44, 44)  # px: with 36 molecules, more than half of each spot overlaps others
BOUNDS = Bounds(DEPTH)


def selector_of(truth: Scene) -> Selector:
    model = FrameModel(truth.psf, truth.background, BOUNDS, Effort(15, 0.5))
    return Selector(model, Proposer(truth.psf, BOUNDS, MatchedFilter(truth.psf, DEPTH, SIZE, truth.state.xyz)))


def stuck(seed: int) -> tuple[Scene, Likelihood, Selector, Refined]:
    """A crowded frame in which the search, started without a fifth of the molecules, misses some for good."""
    truth = scene(36, 1, seed=seed, size=SIZE, dtype=torch.float32)
    likelihood, selector = truth.noisy(seed), selector_of(truth)
    keep = torch.rand(36, generator=torch.Generator().manual_seed(seed)) < 0.8
    return (
        truth,
        likelihood,
        selector,
        selector.improve(selector.model.fit(truth.state.rows(keep), likelihood), likelihood),
    )


def seeing(xyz: Tensor, asked: list[Tensor] | None = None) -> Callable[[Tensor, Tensor], Localizations]:
    """A network that sees molecules at these places in every frame; `asked` keeps the frames it was given."""

    def network(frames: Tensor, _: Tensor) -> Localizations:
        if asked is not None:
            asked.append(frames)
        here = xyz.to(frames.device)
        frame = torch.arange(len(frames), device=here.device).repeat_interleave(len(here))
        return Localizations.proposals(
            here.repeat(len(frames), 1), frame, torch.ones_like(here[:, 0]).repeat(len(frames))
        )

    return network


def test_a_search_that_is_stuck_goes_on() -> None:
    """The list ends with a lower cost than the truth has, which the search alone does not reach."""
    freed = 0
    for seed in range(40):  # which ones are stuck depends on the rounding of the processor
        truth, likelihood, selector, found = stuck(seed)
        least = selector.cost(selector.model.fit(truth.state, likelihood))
        if float(selector.cost(found)) <= float(least) + selector.price:
            continue
        error = 0.03 * torch.randn(36, 3, generator=torch.Generator().manual_seed(seed + 1))
        end = Passes(selector, SecondPass(seeing(truth.state.xyz + error), 20.0))(found, likelihood)
        if float(selector.cost(end)) >= float(least):
            continue  # three of those that are stuck must go on
        torch.testing.assert_close(
            end.deviance, likelihood.deviance(selector.model.image(end.state, likelihood)), rtol=1e-4, atol=0.5
        )
        freed += 1
        if freed == 3:
            return
    raise AssertionError(f"{freed} of 40 searches were stuck and went on, three are needed")


def test_what_the_network_sees_wrongly_raises_no_cost() -> None:
    _, likelihood, selector, found = stuck(4)
    side = torch.tensor([SIZE[1], SIZE[0]]) * selector.model.psf.pixel_um
    place = torch.rand(30, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor(
        [*side.tolist(), DEPTH[1]]
    )
    end = Passes(selector, SecondPass(seeing(place), 20.0))(found, likelihood)
    assert float(selector.cost(end)) <= float(selector.cost(found))


def test_the_network_is_shown_the_frame_without_half_of_the_light_and_then_without_the_other() -> None:
    _, likelihood, selector, found = stuck(1)
    asked: list[Tensor] = []
    Passes(selector, SecondPass(seeing(found.state.xyz, asked), 20.0))(found, likelihood)
    # It sees what is known already, so nothing changes, and after both halves no more is asked.
    assert len(asked) == 3
    dark = selector.model.image(found.state.rows(torch.zeros(0, dtype=torch.int64)), likelihood)
    light = selector.model.image(found.state, likelihood) - dark
    parts = [float((likelihood.frames - each).sum() / light.sum()) for each in asked[1:]]
    assert all(0.3 < part < 0.7 for part in parts)
    assert parts[0] + parts[1] == pytest.approx(1, abs=0.05)


def test_no_pass_is_made_over_sparse_frames_nor_over_frames_that_the_model_does_not_explain() -> None:
    asked: list[Tensor] = []
    sparse = scene(4, 1, seed=2, size=SIZE, dtype=torch.float32)
    light = sparse.noisy(1)
    now = selector_of(sparse).model.fit(sparse.state, light)
    Passes(selector_of(sparse), SecondPass(seeing(sparse.state.xyz, asked), 20.0))(now, light)
    _, likelihood, selector, found = stuck(1)
    wrong = Likelihood(likelihood.frames * 8)
    now = selector.model.fit(replace(found.state, photons=8 * found.state.photons), wrong)
    Passes(selector, SecondPass(seeing(found.state.xyz, asked), 20.0))(now, wrong)
    assert not asked


def test_halves_are_disjoint_and_depend_on_their_own_frame_alone() -> None:
    state = scene(31, 3, seed=5).state
    for number in range(0, 6, 2):
        part = half(state, number)
        assert torch.equal(part, ~half(state, number + 1))
        for frame in range(3):
            alone = state.select(torch.tensor([frame]))
            assert torch.equal(half(alone, number), part[state.frame == frame])
            assert abs(int(part[state.frame == frame].sum()) - len(alone) / 2) <= 0.5


def test_a_frame_is_crowded_or_not_whatever_the_others_are() -> None:
    many, few = scene(36, 1, seed=1, size=SIZE).state, scene(5, 1, seed=1, size=SIZE).state
    both = replace(many, coefficients=many.coefficients.expand(2, -1, -1)).joined(few, few.frame + 1)
    assert crowded(both).tolist() == [True, False]
    nobody = both.rows(torch.zeros(0, dtype=torch.int64))
    assert crowded(nobody).tolist() == [False, False]


def more_with_a_network(seed: int) -> bool:
    """Whether a fit of a crowded frame ends with more molecules if a network shows them again."""
    truth = scene(36, 1, seed=seed, size=SIZE, dtype=torch.float32)
    keep = torch.rand(36, generator=torch.Generator().manual_seed(seed)) < 0.8
    start = Localizations.proposals(truth.state.xyz[keep], truth.state.frame[keep], torch.ones(int(keep.sum())))
    fit, asked = JointFit(truth.psf, truth.psf, BOUNDS, DEPTH, most_per_um2=20.0), list[Tensor]()
    again = replace(fit, network=seeing(truth.state.xyz + 0.02, asked))
    found, alone = again(start, truth.noisy(seed)), fit(start, truth.noisy(seed))
    assert asked
    return len(found) > len(alone)


def test_a_fit_with_a_network_asks_it_again() -> None:
    # Which searches find everything alone depends on the rounding of the processor.
    assert any(more_with_a_network(seed) for seed in range(8))


def test_the_network_is_told_which_frame_of_all_it_is_shown() -> None:
    many = scene(36, 1, seed=4, size=SIZE, dtype=torch.float32)
    few = scene(3, 1, seed=2, size=SIZE, dtype=torch.float32)
    frames = torch.cat([few.noisy(1).frames, many.noisy(4).frames, few.noisy(2).frames])
    start = Localizations.proposals(many.state.xyz, many.state.frame + 1, torch.ones(36))
    told: list[list[int]] = []

    def network(_: Tensor, numbers: Tensor) -> Localizations:
        told.append(numbers.tolist())
        return Localizations.empty()

    JointFit(many.psf, many.psf, BOUNDS, DEPTH, most_per_um2=20.0, network=network).explain(
        start, Likelihood(frames)
    )
    assert told and all(numbers == [1] for numbers in told)


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda")
def test_a_gpu_asks_the_network_again_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((passes, "_PASSES"), (exchange, "_ROUNDS"), (selection, "_PRUNING_ROUNDS")):
        monkeypatch.setattr(module, name, 1)
    # Which searches are stuck depends on the rounding of the processor.
    assert any(a_gpu_goes_on(seed) for seed in range(8))


def a_gpu_goes_on(seed: int) -> bool:
    """Whether passes on a GPU lower the cost of a search by more than the price of a molecule."""
    truth, likelihood, _, found = stuck(seed)
    columns = {each.name: getattr(found.state, each.name) for each in fields(found.state)}
    there = {name: column.to("cuda") for name, column in columns.items() if column is not None}
    start = Refined(JointState(**there), found.deviance.to("cuda"), found.settled.to("cuda"))
    light = Likelihood(likelihood.frames.to("cuda"))
    psf = copy.deepcopy(truth.psf).to("cuda")  # pyright: ignore[reportAttributeAccessIssue]
    surface = SplineBackground(SIZE, 20.0, light.frames)
    selector = selector_of(replace(truth, psf=psf, background=surface, state=start.state))
    end = Passes(selector, SecondPass(seeing(truth.state.xyz + 0.02), 20.0))(start, light, rounds=1)
    assert end.state.xyz.is_cuda
    return float(selector.cost(end)) < float(selector.cost(start)) - selector.price
