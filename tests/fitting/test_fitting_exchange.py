"""Exchange between two lists: each is right where the other is wrong, and the result is right everywhere."""

from __future__ import annotations

from dataclasses import replace

import torch
from fitting_scenes import DEPTH, Scene, scene

from deepstorm3d.fitting.exchange import differences, exchanged
from deepstorm3d.fitting.frame_model import FrameModel
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.proposals import Proposer
from deepstorm3d.fitting.refine import Bounds, Effort, Refined
from deepstorm3d.fitting.search import MatchedFilter
from deepstorm3d.fitting.selection import Selector
from deepstorm3d.fitting.state import JointState

SIZE = (44, 110)  # px, 12 µm long: its ends are different neighbourhoods
BOUNDS = Bounds(DEPTH)


def selector_of(truth: Scene) -> Selector:
    model = FrameModel(truth.psf, truth.background, BOUNDS, Effort(15, 0.5))
    search = MatchedFilter(truth.psf, DEPTH, SIZE, truth.state.xyz)
    return Selector(model, Proposer(truth.psf, BOUNDS, search))


def fitted(select: Selector, state: JointState, likelihood: Likelihood) -> Refined:
    return select.model.fit(replace(state, refused=torch.zeros_like(state.frame)), likelihood)


def test_two_lists_that_are_each_wrong_at_one_end_become_the_right_one() -> None:
    truth = scene(24, 1, seed=3, size=SIZE, dtype=torch.float32)
    likelihood, select = truth.noisy(1), selector_of(truth)
    left, right = truth.state.xyz[:, 0].argmin(), truth.state.xyz[:, 0].argmax()
    number = torch.arange(24)
    one, other = (fitted(select, truth.state.rows(number != gone), likelihood) for gone in (left, right))
    best = fitted(select, truth.state, likelihood)
    end = exchanged(select, one, other, likelihood)
    assert float(select.cost(one)) > float(select.cost(best)) + select.price
    assert float(select.cost(other)) > float(select.cost(best)) + select.price
    assert len(end.state) == 24
    assert float(select.cost(end)) < float(select.cost(best)) + 2
    again = exchanged(select, one, other, likelihood)
    assert torch.equal(again.state.xyz, end.state.xyz)


def test_a_worse_list_changes_nothing() -> None:
    truth = scene(24, 1, seed=3, size=SIZE, dtype=torch.float32)
    likelihood, select = truth.noisy(1), selector_of(truth)
    best = fitted(select, truth.state, likelihood)
    worse = fitted(select, truth.state.rows(torch.arange(24) % 5 > 0), likelihood)
    end = exchanged(select, best, worse, likelihood)
    assert torch.equal(end.state.xyz, best.state.xyz)
    torch.testing.assert_close(select.cost(end), select.cost(best), rtol=0, atol=0.01)


def test_differences_are_groups_within_a_frame_with_their_neighbours() -> None:
    def state(*rows: tuple[float, float, int]) -> JointState:
        table = torch.tensor(rows)
        xyz = torch.cat([table[:, :2], torch.full((len(rows), 1), 0.5)], 1)
        return JointState(xyz, torch.arange(len(rows)) + 1.0, table[:, 2].long(), torch.zeros(2, 1, 1))

    # A spot that is two in the other list, with a neighbour; a molecule that only the other list has.
    mine = state((1.0, 1.0, 0), (1.6, 1.0, 0), (9.0, 1.0, 0), (1.0, 1.0, 1))
    theirs = state((0.8, 1.0, 0), (1.2, 1.0, 0), (1.61, 1.0, 0), (9.0, 1.0, 0), (1.0, 1.0, 1), (5.0, 1.0, 1))
    found = differences(mine, theirs)
    assert found.frame.tolist() == [0, 1]
    assert found.gone.tolist() == [0, 1]
    assert found.gone_of.tolist() == [0, 0]
    assert found.new.frame.tolist() == [0, 0, 0, 1]
    assert found.new.photons.tolist() == [1, 2, 3, 6]
    assert found.more.tolist() == [1, 1]
    torch.testing.assert_close(found.place, torch.tensor([[1.0, 1.0], [5.0, 1.0]]))


def test_equal_lists_and_empty_ones_have_no_differences() -> None:
    state = scene(8, 2, seed=1).state
    nobody = state.rows(torch.zeros(0, dtype=torch.int64))
    assert len(differences(state, state)) == 0
    assert len(differences(nobody, nobody)) == 0
    assert int(differences(nobody, state).more.sum()) == 8
    assert int(differences(state, nobody).more.sum()) == -8
