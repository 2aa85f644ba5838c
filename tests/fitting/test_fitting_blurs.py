"""One blur for each molecule: fitted at once or last, with the same list."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, Scene, nanometres, scene
from torch import Tensor

from deepstorm3d.fitting import blurs
from deepstorm3d.fitting.blurs import searched_with_blurs
from deepstorm3d.fitting.frame_model import FrameModel
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.proposals import Proposer
from deepstorm3d.fitting.refine import Bounds, Effort, Refined
from deepstorm3d.fitting.search import MatchedFilter
from deepstorm3d.fitting.selection import Selector
from deepstorm3d.fitting.state import JointState

BOUNDS = Bounds(DEPTH, (0.75, 1.25))
WIDE = (60, 220)  # px
# Places of four molecules in each frame, µm: far from each other, and in the second frame within 0.9 µm.
APART = ((2.5, 3.0), (8.0, 3.5), (14.0, 3.0), (20.0, 3.5))
TOGETHER = ((11.0, 3.0), (11.6, 3.2), (11.3, 3.7), (11.7, 2.6))


def frames_of(*places: tuple[tuple[float, float], ...]) -> Scene:
    """Four molecules in each frame, each with a blur of its own."""
    made = scene(4 * len(places), len(places), blur=True, seed=21, size=WIDE)
    lateral = torch.tensor(places, dtype=torch.float64).flatten(0, 1)
    xyz = torch.cat([lateral, made.state.xyz[:, 2:]], 1)
    return replace(made, state=replace(made.state, xyz=xyz))


def selector_of(truth: Scene) -> Selector:
    model = FrameModel(truth.psf, truth.background, BOUNDS, Effort(20, 0.05))
    return Selector(model, Proposer(truth.psf, BOUNDS, MatchedFilter(truth.psf, DEPTH, WIDE, truth.state.xyz)))


def start_of(truth: Scene) -> JointState:
    origin = torch.arange(len(truth.state))
    return replace(truth.disturbed(0.03, 0.05), blur_px=None, origin=origin)


def searched(truth: Scene, likelihood: Likelihood, *, without: int | None = None) -> Refined:
    start = start_of(truth)
    if without is not None:
        start = start.rows(torch.arange(len(start)) != without)
    return searched_with_blurs(selector_of(truth), start, likelihood, 4)


def part_of(truth: Scene, frames: Tensor) -> Scene:
    return replace(truth, state=truth.state.select(frames))


def test_blurs_are_fitted_last_only_where_spots_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, late = frames_of(APART, TOGETHER, APART), []
    likelihood = truth.noisy(3)

    def counted(selector: Selector, start: JointState, light: Likelihood, rounds: int) -> Refined:
        late.append((len(light), start.xyz[:, 0].mean()))
        return selector.completed(blurs._blurred(start, selector), light, rounds)

    monkeypatch.setattr(blurs, "_blurs_last", counted)
    found = searched(truth, likelihood)
    assert [frames for frames, _ in late] == [1]
    assert float(late[0][1]) == pytest.approx(11.4, abs=0.1)
    assert found.state.counts.tolist() == [4, 4, 4]


def test_every_molecule_gets_the_blur_that_it_has() -> None:
    truth = frames_of(APART, APART)
    found = searched(truth, truth.noisy(4)).state
    assert found.blur_px is not None
    assert truth.state.blur_px is not None
    assert float((found.blur_px - truth.state.blur_px).square().mean().sqrt()) < 0.07
    assert bool(nanometres(found, truth.state).abs().lt(50).all())


def test_the_list_of_a_frame_does_not_depend_on_the_others() -> None:
    truth = frames_of(APART, TOGETHER, APART)
    likelihood, together = truth.noisy(5), searched(truth, truth.noisy(5))
    for number in range(3):
        frame = torch.tensor([number])
        alone = searched(part_of(truth, frame), likelihood.select(frame))
        torch.testing.assert_close(alone.state.xyz, together.state.select(frame).xyz, rtol=0, atol=1e-4)
        torch.testing.assert_close(alone.deviance, together.deviance[frame], rtol=1e-6, atol=0.05)


def test_where_spots_are_apart_both_ways_end_alike() -> None:
    truth = frames_of(APART, APART)
    likelihood, selector = truth.noisy(6), selector_of(truth)
    at_once = searched_with_blurs(selector, start_of(truth), likelihood, 4)
    last = blurs._blurs_last(selector, start_of(truth), likelihood, 4)
    torch.testing.assert_close(at_once.deviance, last.deviance, rtol=0, atol=0.5)
    assert bool(nanometres(at_once.state, last.state).abs().lt(3).all())


def test_a_molecule_that_the_list_lacks_is_found_with_blurs_free() -> None:
    truth = frames_of(APART)
    found = searched(truth, truth.noisy(7), without=2).state
    assert len(found) == 4
    nearest = torch.cdist(truth.state.xyz, found.xyz).amin(1)
    assert bool((nearest < 0.08).all())


def test_without_rounds_the_list_stays() -> None:
    truth = frames_of(APART, TOGETHER)
    start = start_of(truth)
    found = searched_with_blurs(selector_of(truth), start, truth.noisy(8), 0).state
    assert found.blur_px is not None
    torch.testing.assert_close(found.frame, start.frame)
