"""Which molecules stay: what is false goes, what is missing comes, and no frame ends with a higher cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, Scene, scene

from deepstorm3d.fitting import selection
from deepstorm3d.fitting.changes import Changes
from deepstorm3d.fitting.frame_model import FrameModel
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.neighbourhoods import Neighbourhoods
from deepstorm3d.fitting.proposals import Proposer
from deepstorm3d.fitting.refine import Bounds, Effort, Refined
from deepstorm3d.fitting.search import MatchedFilter
from deepstorm3d.fitting.selection import Selector
from deepstorm3d.fitting.state import REMOVAL, JointState

BIG = (150, 170)  # px, larger than a window
BOUNDS = Bounds(DEPTH)


def selector_of(truth: Scene) -> Selector:
    model = FrameModel(truth.psf, truth.background, BOUNDS, Effort(15, 0.5))
    search = MatchedFilter(truth.psf, DEPTH, BIG, truth.state.xyz)
    return Selector(model, Proposer(truth.psf, BOUNDS, search))


def start_with(truth: Scene, likelihood: Likelihood, *, without: list[int], false: int) -> Refined:
    """A fit that lacks some molecules and has some that are not there, in frame 0."""
    keep = torch.ones(len(truth.state), dtype=torch.bool)
    keep[without] = False
    generator = torch.Generator().manual_seed(1)
    side = torch.tensor([BIG[1], BIG[0]], dtype=torch.float64) * truth.psf.pixel_um
    place = side * (0.1 + 0.8 * torch.rand(false, 2, generator=generator, dtype=torch.float64))
    xyz = torch.cat([place, torch.full((false, 1), 0.6, dtype=torch.float64)], 1).to(truth.state.xyz)
    frame = torch.zeros(false, dtype=torch.int64)
    state = truth.state.rows(keep).with_rows(xyz, torch.full_like(xyz[:, 0], 300.0), frame)
    return selector_of(truth).model.fit(state, likelihood)


def distances(found: Refined, truth: Scene) -> torch.Tensor:
    """From each true molecule to the nearest one found in its frame, µm."""
    far = (truth.state.xyz[:, None] - found.state.xyz).norm(dim=2)
    return far.masked_fill(truth.state.frame[:, None] != found.state.frame, torch.inf).amin(1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["PyTorch", "compiled"])
def test_a_list_with_missing_and_false_molecules_becomes_the_true_one(dtype: torch.dtype) -> None:
    truth = scene(36, 2, seed=12, size=BIG, dtype=dtype)
    likelihood = truth.noisy(5)
    start = start_with(truth, likelihood, without=[2, 9, 25], false=4)
    selector = selector_of(truth)
    found = selector.improve(start, likelihood)
    assert len(found.state) == 36
    assert float(distances(found, truth).max()) < 0.1
    assert bool((selector.cost(found) <= selector.cost(start)).all())
    # What it says of the deviance is true.
    again = likelihood.deviance(selector.model.image(found.state, likelihood))
    torch.testing.assert_close(found.deviance, again, rtol=1e-4, atol=0.5)


def test_a_short_first_fit_is_enough_for_a_list_with_doubles() -> None:
    """Doubles 100 nm beside their molecules lose their light step by step: they go before that has ended."""
    truth = scene(20, 1, seed=12, size=BIG)
    likelihood, selector = truth.noisy(5), selector_of(truth)
    twins = truth.state.rows(torch.arange(20) % 4 == 0)
    beside = twins.xyz + torch.tensor([0.1, 0.0, 0.0])
    start = truth.state.with_rows(beside.to(twins.xyz), twins.photons / 2, twins.frame)
    short = selector.model.fit(start, likelihood, 4)
    assert short.deviance > selector.model.fit(start, likelihood, 60).deviance + 1
    found = selector.completed(start, likelihood, 8)
    assert len(found.state) == 20
    right = selector.completed(truth.state, likelihood, 8)
    assert float((selector.cost(found) - selector.cost(right)).abs()) < 1
    assert float(distances(found, truth).max()) < 0.1


def test_a_list_that_is_right_stays_the_same() -> None:
    truth = scene(10, 1, seed=13, size=BIG)
    likelihood = truth.noisy(6)
    start = start_with(truth, likelihood, without=[], false=0)
    found = selector_of(truth).improve(start, likelihood)
    torch.testing.assert_close(found.state.xyz, start.state.xyz, rtol=0, atol=0)


def test_no_round_of_changes_raises_the_cost_of_a_frame() -> None:
    truth = scene(60, 2, seed=14, size=BIG)
    likelihood = truth.noisy(7)
    start = start_with(truth, likelihood, without=[1, 2, 3, 31, 32, 50], false=8)
    selector, costs = selector_of(truth), []

    class Watched(Selector):
        def tried(self, now, likelihood, changes):  # type: ignore[no-untyped-def]
            after, changed = super().tried(now, likelihood, changes)
            costs.append((selector.cost(now), selector.cost(after)))
            return after, changed

    Watched(selector.model, selector.propose).improve(start, likelihood)
    assert len(costs) >= 3
    for before, after in costs:
        assert bool((after <= before + 1e-6).all())


def test_what_was_tried_in_vain_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_TRIED_BELOW_APART", 2.0)
    truth = scene(12, 1, seed=15, size=BIG)
    dim = replace(truth, state=replace(truth.state, photons=truth.state.photons * 0.16))
    likelihood = dim.noisy(8)
    selector = selector_of(dim)
    once = selector.pruned(selector.model.fit(dim.state, likelihood), likelihood)
    assert once.state.refused is not None
    assert bool((once.state.refused & REMOVAL).any())
    tried = []

    class Watched(Selector):
        def tried(self, now, likelihood, changes):  # type: ignore[no-untyped-def]
            tried.append(len(changes))
            return super().tried(now, likelihood, changes)

    again = Watched(selector.model, selector.propose).pruned(once, likelihood)
    assert not tried
    torch.testing.assert_close(again.state.xyz, once.state.xyz, rtol=0, atol=0)


def test_a_change_that_only_seems_to_help_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lowers the deviance of a window but not that of its frame is refused."""
    truth = scene(12, 1, seed=16, size=BIG)
    likelihood = truth.noisy(9)
    selector = selector_of(truth)
    now = selector.model.fit(replace(truth.state, refused=torch.zeros(12, dtype=torch.int64)), likelihood)
    made = Neighbourhoods.__init__

    def flattering(self: Neighbourhoods, *arguments: object) -> None:
        made(self, *arguments)  # type: ignore[arg-type]
        self.deviance = self.deviance + 1e6

    monkeypatch.setattr(Neighbourhoods, "__init__", flattering)
    change = Changes.removals(now.state, torch.tensor([3]), torch.zeros(1, dtype=torch.float64))
    after, changed = selector.tried(now, likelihood, change)
    assert not len(changed)
    assert len(after.state) == 12
    assert after.state.refused is not None
    assert int(after.state.refused[3]) == REMOVAL
    assert float(selector.cost(after)) <= float(selector.cost(now)) + 1e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["PyTorch", "compiled"])
def test_sigma_of_some_molecules_is_that_among_all(dtype: torch.dtype) -> None:
    truth = scene(30, 2, seed=7, size=BIG, dtype=dtype)
    model, likelihood = selector_of(truth).model, truth.noisy(5)
    together = model.photon_bounds(truth.state, likelihood)
    rows = torch.tensor([1, 2, 11, 29])
    some = model.photon_bounds(truth.state, likelihood, rows)
    torch.testing.assert_close(some, together[rows], rtol=5e-3, atol=0)


def test_ranks_that_are_remembered_are_those_of_molecules_that_nothing_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth = scene(36, 2, seed=12, size=BIG, dtype=torch.float32)
    likelihood, selector = truth.noisy(5), selector_of(truth)
    start = start_with(truth, likelihood, without=[], false=4)
    asked: list[int] = []
    bounds = FrameModel.photon_bounds

    def counted(
        self: FrameModel, state: JointState, light: Likelihood, rows: torch.Tensor | None = None
    ) -> torch.Tensor:
        asked.append(len(state) if rows is None else len(rows))
        return bounds(self, state, light, rows)

    monkeypatch.setattr(FrameModel, "photon_bounds", counted)
    found = selector.pruned(start, likelihood)
    assert len(found.state) == 36 and asked[0] == 40
    assert 0 < sum(asked[1:]) < 40
    assert found.state.rank is not None
    known = ~found.state.rank.isnan()
    anew = selector.ranks(selector.model, replace(found.state, rank=None), likelihood)
    assert int(known.sum()) > 18
    torch.testing.assert_close(found.state.rank[known], anew[known], rtol=0.1, atol=0)
    # A fit of the whole frame changes every molecule.
    again = selector.model.fit(found.state, likelihood)
    assert again.state.rank is not None and bool(again.state.rank.isnan().all())


def test_ranks_come_from_the_fit_of_the_whole_frame_where_it_knows_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth = scene(36, 1, seed=12, size=BIG, dtype=torch.float32)
    likelihood, selector = truth.noisy(5), selector_of(truth)
    fitted = selector.model.fit(
        start_with(truth, likelihood, without=[], false=4).state, likelihood, photon_sigma=True
    )
    monkeypatch.setattr(selection, "_PRUNING_ROUNDS", 0)
    told = selector.pruned(fitted, likelihood).state.rank
    asked = selector.ranks(selector.model, replace(fitted.state, rank=None), likelihood)
    assert told is not None
    # It is that before the last step, which differs most for molecules that are not there.
    there = asked > 3
    assert 30 < int(there.sum()) < 40
    torch.testing.assert_close(told[there], asked[there], rtol=0.25, atol=0)
    assert float(told[asked < 1].max()) < 1.3  # they are tried
    assert fitted.photon_sigma is not None
    # Where the fit does not know it, it is computed.
    unknown = replace(fitted, photon_sigma=torch.full_like(fitted.photon_sigma, torch.nan))
    told = selector.pruned(unknown, likelihood).state.rank
    assert told is not None and bool(told.isnan().all())


def test_what_a_fit_knows_of_photons_is_that_of_its_own_frames() -> None:
    truth = scene(12, 2, seed=3, size=BIG, dtype=torch.float32)
    likelihood, model = truth.noisy(5), selector_of(truth).model
    fitted = model.fit(truth.state, likelihood, photon_sigma=True)
    other = model.fit(truth.state, likelihood)
    nothing, both = torch.arange(0), torch.arange(2)
    assert fitted.replaced(nothing, other.select(nothing)).photon_sigma is fitted.photon_sigma
    assert other.replaced(both, fitted).photon_sigma is fitted.photon_sigma
    assert fitted.replaced(both, other).photon_sigma is None
    assert fitted.replaced(torch.tensor([1]), other.select(torch.tensor([1]))).photon_sigma is None
    assert fitted.select(torch.tensor([0])).photon_sigma is None
