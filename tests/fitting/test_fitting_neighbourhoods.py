"""Changes tried near their place: the frame's deviance changes as the window's does, and nothing else moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, MICROSCOPE, Scene, scene

from deepstorm3d.fitting.changes import APART_UM, Changes
from deepstorm3d.fitting.frame_model import FrameModel
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.neighbourhoods import Neighbourhoods
from deepstorm3d.fitting.refine import Bounds, Effort, Refined
from deepstorm3d.fitting.state import REMOVAL, JointState
from deepstorm3d.noise import Noise

BIG = (190, 230)  # px, larger than a window
BOUNDS = Bounds(DEPTH)


def model_of(truth: Scene) -> FrameModel:
    return FrameModel(truth.psf, truth.background, BOUNDS, Effort(15, 0.1))


def fitted(truth: Scene, likelihood: Likelihood, rows: torch.Tensor | None = None) -> Refined:
    state = truth.state if rows is None else truth.state.rows(rows)
    state = replace(state, refused=torch.zeros(len(state), dtype=torch.int64))
    return model_of(truth).fit(state, likelihood)


def tried(now: Refined, truth: Scene, likelihood: Likelihood, changes: Changes) -> Neighbourhoods:
    model = model_of(truth)
    return Neighbourhoods(model, now.state, model.image(now.state, likelihood), likelihood, changes)


def removal(state: JointState, *rows: int) -> Changes:
    index = torch.tensor(rows)
    return Changes.removals(state, index, torch.arange(len(rows)).double())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["PyTorch", "compiled"])
@pytest.mark.parametrize("noise", [Noise(), Noise(2.0, 3.0)], ids=["shot noise", "camera"])
def test_the_deviance_of_the_frame_changes_as_that_of_the_window(dtype: torch.dtype, noise: Noise) -> None:
    truth = scene(24, 2, seed=4, size=BIG, dtype=dtype)
    likelihood = Likelihood(truth.noisy(1).frames, noise)
    now = fitted(truth, likelihood)
    near = tried(now, truth, likelihood, removal(now.state, 3, 17))
    windows = near.model.fit(near.changed(), near.likelihood)
    everywhere = torch.ones(2, dtype=torch.bool)
    merged = near.merged(windows.state, everywhere, ~everywhere)
    model = model_of(truth)
    before, after = (likelihood.deviance(model.image(state, likelihood)) for state in (now.state, merged))
    assert len(merged) == 22
    assert near.frame.tolist() == [0, 1]
    assert bool((windows.deviance - near.deviance > 50).all())
    # A spot at the rim of a neighbourhood may exceed the window by dim pixels.
    torch.testing.assert_close(after - before, windows.deviance - near.deviance, rtol=1e-2, atol=0.3)


def test_molecules_and_splines_far_away_stay_as_they_are() -> None:
    truth = scene(30, 1, seed=6, size=BIG)
    likelihood = truth.noisy(2)
    now = fitted(truth, likelihood)
    near = tried(now, truth, likelihood, removal(now.state, 5))
    windows = near.model.fit(near.changed(), near.likelihood)
    merged = near.merged(windows.state, torch.tensor([True]), torch.tensor([False]))
    far = (now.state.xyz[:, :2] - now.state.xyz[5, :2]).norm(dim=1) > APART_UM
    assert 0 < int(far.sum()) < 29
    assert bool((now.state.xyz[far, None] == merged.xyz).all(2).any(1).all())
    same = merged.coefficients == now.state.coefficients
    assert 0 < int((~same).sum()) <= 36 < same.numel()


def test_a_refused_change_is_remembered_until_its_neighbourhood_changes() -> None:
    truth = scene(16, 1, seed=8, size=BIG)
    likelihood = truth.noisy(3)
    now = fitted(truth, likelihood)
    near = tried(now, truth, likelihood, removal(now.state, 2))
    windows = near.model.fit(near.changed(), near.likelihood)
    refused = near.merged(windows.state, torch.tensor([False]), torch.tensor([True]))
    assert refused.refused is not None
    assert refused.refused.tolist() == [REMOVAL if row == 2 else 0 for row in range(16)]
    torch.testing.assert_close(refused.xyz, now.state.xyz, rtol=0, atol=0)
    assert bool((model_of(truth).fit(refused, likelihood).state.refused == 0).all())


def test_neighbouring_changes_are_tried_together_and_only_once() -> None:
    truth = scene(16, 1, seed=9, size=BIG)
    likelihood = truth.noisy(4)
    now = fitted(truth, likelihood)
    first = now.state.xyz[4]
    xyz = torch.stack([first, first + 0.4, first - 0.4])
    xyz[:, 2] = 0.6
    each = torch.arange(3)
    new = JointState(xyz, torch.full((3,), 500.0, dtype=torch.float64), each, torch.zeros(3, 1, 1))
    gain = torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)
    changes = Changes.fitted(new, torch.zeros_like(each), gain)
    near = tried(now, truth, likelihood, changes)
    assert len(near) == 1
    assert len(near.changed()) == len(near.before) + 3


def test_a_window_at_the_edge_has_the_splines_of_the_edge() -> None:
    truth = scene(4, 1, size=BIG)
    size = (140, 140)
    corner = torch.tensor([[0, 0], [BIG[1] - 140, BIG[0] - 140], [40, 20]])
    part, (rows, columns) = truth.background.in_windows(corner, size)
    whole = torch.zeros(3, *truth.background.shape, dtype=torch.float64)
    values = torch.rand(3, *part.shape, dtype=torch.float64)
    for k in range(3):
        whole[k, rows[k][:, None], columns[k]] = values[k]
        x, y = corner[k].tolist()
        # Splines that fill up the number are 0 everywhere.
        empty = part.basis()[0][k].sum(0) == 0, part.basis()[1][k].sum(1) == 0
        whole[k, rows[k][empty[0]]] = 0
        whole[k][:, columns[k][empty[1]]] = 0
        surface = truth.background.surface(whole)[k]
        inside = torch.zeros(BIG, dtype=torch.bool)
        inside[y : y + 140, x : x + 140] = True
        assert float(surface[~inside].abs().max()) < 1e-5
        torch.testing.assert_close(part.surface(values)[k], surface[y : y + 140, x : x + 140])
    assert MICROSCOPE.pixel_um * 140 > 2 * APART_UM


def test_a_change_takes_several_molecules_away_and_adds_others() -> None:
    truth = scene(16, 1, seed=9, size=BIG)
    likelihood = truth.noisy(4)
    now = fitted(truth, likelihood)
    near = (now.state.xyz[:, :2] - now.state.xyz[4, :2]).norm(dim=1).argsort()[:2]
    xyz = now.state.xyz[4] + torch.tensor([[0.3, 0.0, 0.0], [0.0, 0.3, 0.0], [-0.3, 0.0, 0.0]])
    new = JointState(xyz, torch.full((3,), 900.0), torch.zeros(3, dtype=torch.int64), torch.zeros(1, 1, 1))
    changes = Changes(
        frame=torch.zeros(1, dtype=torch.int64),
        place=now.state.xyz[4:5, :2],
        gain=torch.ones(1),
        gone=near,
        gone_of=torch.zeros(2, dtype=torch.int64),
        new=new,
    )
    assert changes.more.tolist() == [1]
    window = tried(now, truth, likelihood, changes)
    merged = window.merged(window.changed(), torch.tensor([True]), torch.tensor([False]))
    assert len(merged) == 17
    assert not bool((now.state.xyz[near, None] == merged.xyz).all(2).any())
    assert bool((xyz[:, None] == merged.xyz).all(2).any(1).all())


def test_some_of_the_changes_keep_what_they_take_and_add() -> None:
    state = scene(6, 1, seed=3).state
    xyz = state.xyz[[0, 1, 1, 3]]
    new = JointState(xyz, torch.arange(4.0), torch.tensor([0, 1, 1, 2]), torch.zeros(3, 1, 1))
    frame, gain = torch.zeros(3, dtype=torch.int64), torch.tensor([1.0, 2.0, 3.0])
    some = Changes.fitted(new, frame, gain, torch.tensor([0, 1, 3])).select(torch.tensor([2, 1]))
    assert some.gone.tolist() == [1, 3]
    assert some.gone_of.tolist() == [1, 0]
    assert some.new.frame.tolist() == [0, 1, 1]
    assert some.new.photons.tolist() == [3, 1, 2]
    assert some.more.tolist() == [0, 1]
    torch.testing.assert_close(some.place, xyz[[3, 1], :2])
