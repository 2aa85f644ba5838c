"""Molecules at an edge of the field are put to the most likely of several places, and say how sure it is."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from fitting_scenes import DEPTH, MICROSCOPE, SIZE, Scene, scene, table
from torch import Tensor

from deepstorm3d.emitters import Localizations
from deepstorm3d.field import Field
from deepstorm3d.fitting.at_edges import AtEdges
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.edge_starts import ALL_EDGES, Edges, EdgeStarts
from deepstorm3d.fitting.frame_model import FrameModel
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.proposals import Proposer
from deepstorm3d.fitting.refine import Bounds, Effort, Refined
from deepstorm3d.fitting.search import MatchedFilter
from deepstorm3d.fitting.selection import Selector
from deepstorm3d.fitting.state import JointState

PIXEL = MICROSCOPE.pixel_um
BOUNDS = Bounds(DEPTH)
NO_EDGES: Edges = (False, False, False, False)
SIDES = ("left", "top", "right", "bottom")
EACH = 10  # molecules beyond each side


def at_side(side: str, beyond: Tensor, along: Tensor, z: Tensor) -> Tensor:
    """Places (K, 3) µm at a distance beyond a side of the frame."""
    height, width = SIZE
    far = {"left": -0.5 * PIXEL - beyond, "right": (width - 0.5) * PIXEL + beyond}
    far |= {"top": -0.5 * PIXEL - beyond, "bottom": (height - 0.5) * PIXEL + beyond}
    x, y = (far[side], along) if side in ("left", "right") else (along, far[side])
    return torch.stack([x, y, z], 1)


@cache
def beyond_all_sides() -> tuple[Scene, Likelihood]:
    """Frames with one molecule each, as many beyond each side."""
    share = torch.rand(len(SIDES), EACH, 3, generator=torch.Generator().manual_seed(1))
    along = (15 + 10 * share[..., 1]) * PIXEL
    depth = DEPTH[0] + (0.1 + 0.8 * share[..., 2]) * (DEPTH[1] - DEPTH[0])
    xyz = torch.cat(
        [at_side(side, 0.05 + 0.15 * share[k, :, 0], along[k], depth[k]) for k, side in enumerate(SIDES)]
    )
    surface = SplineBackground(SIZE, 20.0, torch.zeros(1))
    level = torch.full((len(xyz), *surface.shape), 20.0)
    state = JointState(xyz, torch.full((len(xyz),), 6000.0), torch.arange(len(xyz)), level)
    truth = Scene(table(dtype=torch.float32), state, surface)
    return truth, truth.noisy(2)


def inside(depth: float) -> JointState:
    """A dimmer spot 0.3 µm inside the frame's edge instead of each molecule."""
    state = beyond_all_sides()[0].state
    half = torch.tensor([SIZE[1], SIZE[0]]) * PIXEL / 2
    place = (state.xyz[:, :2] - half).clamp(-half + 0.3, half - 0.3) + half
    return replace(
        state, xyz=torch.cat([place, torch.full_like(place[:, :1], depth)], 1), photons=state.photons / 3
    )


def fitted(start: JointState, truth: Scene, light: Likelihood) -> Refined:
    return FrameModel(truth.psf, truth.background, BOUNDS, Effort()).fit(start, light)


def at_edges(truth: Scene, light: Likelihood, edges: Edges = ALL_EDGES) -> AtEdges:
    search = MatchedFilter.shared(truth.psf, DEPTH, SIZE, light.frames, None, 20.0)
    model = FrameModel(truth.psf, truth.background, BOUNDS, Effort())
    selector = Selector(model, Proposer(truth.psf, BOUNDS, search))
    return AtEdges(selector, EdgeStarts(truth.psf, BOUNDS, search.z, 20.0, edges))


def test_a_fit_that_begins_inside_the_edge_is_as_likely_as_one_that_begins_at_the_truth() -> None:
    truth, light = beyond_all_sides()
    best, before, after = fitted(truth.state, truth, light), list[Tensor](), list[Tensor]()
    for depth in (0.2, 0.6, 1.0):
        start = fitted(inside(depth), truth, light)
        found, _ = at_edges(truth, light)(start, light)
        before.append(start.deviance - best.deviance)
        after.append(found.deviance - best.deviance)
    assert int((torch.cat(before) > 10).sum()) >= 6
    assert int((torch.cat(after) > 2).sum()) <= 1
    assert bool((torch.cat(after) <= torch.cat(before) + 0.01).all())


def test_a_joint_fit_does_so_and_states_how_sure_the_place_is() -> None:
    truth, light = beyond_all_sides()
    start = inside(0.6)
    fit = JointFit(truth.psf, truth.psf, BOUNDS, DEPTH, spacing_px=20.0)
    candidates = Localizations.proposals(start.xyz, start.frame, torch.ones(len(start)))
    found, without = (replace(fit, edges=edges).explain(candidates, light) for edges in (ALL_EDGES, NO_EDGES))
    gain = (without.misfit - found.misfit) * SIZE[0] * SIZE[1]
    assert bool((gain > -0.1).all()) and int((gain > 2).sum()) >= 2
    assert wrong(found.localizations, truth) < wrong(without.localizations, truth)


def wrong(found: Localizations, truth: Scene) -> int:
    """Rows more than four of their σ off."""
    assert found.sigma_xyz is not None
    off = (found.xyz - truth.state.xyz[found.frame]).abs() / found.sigma_xyz
    return int((off > 4).any(1).sum())


def test_molecules_of_a_side_that_is_no_edge_and_those_away_from_edges_stay() -> None:
    truth, light = beyond_all_sides()
    start = fitted(inside(0.2), truth, light)
    moved = False
    for number in range(4):
        edges = (number == 0, number == 1, number == 2, number == 3)
        found, spread = at_edges(truth, light, edges)(start, light)
        other = torch.arange(len(start.state)) // EACH != number
        assert torch.equal(found.state.xyz[other], start.state.xyz[other])
        assert not bool(spread[other].any())
        moved = moved or not torch.equal(found.state.xyz, start.state.xyz)
    assert moved


def test_neither_other_frames_nor_an_order_change_what_is_taken() -> None:
    truth, light = beyond_all_sides()
    start = fitted(inside(0.6), truth, light)
    found, spread = at_edges(truth, light)(start, light)
    some = torch.arange(3, len(light), 7)
    alone, own = at_edges(truth, light.select(some))(start.select(some), light.select(some))
    assert torch.allclose(alone.state.xyz, found.state.xyz[some], atol=1e-4)
    assert torch.allclose(own, spread[some], rtol=0.05, atol=1e-5)


@pytest.mark.parametrize("number", [12, 30])
def test_among_neighbours_no_frame_costs_more_and_the_list_keeps_its_order(number: int) -> None:
    crowd = scene(number, 3, dtype=torch.float32, seed=number)
    half = torch.tensor([SIZE[1], SIZE[0]]) * PIXEL / 2
    xyz = torch.cat([(crowd.state.xyz[:, :2] - half) * 1.25 + half, crowd.state.xyz[:, 2:]], 1)
    crowd = replace(crowd, state=replace(crowd.state, xyz=xyz))
    light = crowd.noisy(number)
    wrong = replace(crowd.state, xyz=torch.cat([xyz[:, :2], DEPTH[1] - xyz[:, 2:]], 1))
    start = fitted(wrong, crowd, light)
    fit = at_edges(crowd, light)
    found, spread = fit(start, light)
    assert bool((fit.selector.cost(found) <= fit.selector.cost(start) + 0.01).all())
    assert torch.equal(found.state.frame, start.state.frame) and spread.shape == (number, 4)


def test_inner_edges_of_a_tile_are_no_edges() -> None:
    fit = JointFit(table(), table(), BOUNDS, DEPTH)
    whole = Field(100, 120, PIXEL)
    assert fit.edges == ALL_EDGES == fit.in_field(whole, whole).edges
    assert fit.in_field(Field(60, 50, PIXEL, (0, 0)), whole).edges == (True, True, False, False)
    assert fit.in_field(Field(60, 50, PIXEL, (70, 30)), whole).edges == (False, False, True, False)
    assert fit.in_field(Field(60, 50, PIXEL, (30, 40)), whole).edges == (False, False, False, True)
