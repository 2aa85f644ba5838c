"""Motion is held against free diffusion on each axis, whatever the molecules do on the others."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike

from deepstorm3d.analysis.diffusion import Diffusion, diffusion, mean_square_displacement
from deepstorm3d.analysis.free_motion import axes_doubts, motion_doubts, weight_doubts
from deepstorm3d.emitters import Localizations

MOLECULES, FRAMES = 50, 100


def trajectories(
    d: ArrayLike, *, flow_um: float = 0.0, within: tuple[int, ...] = (), seed: int = 0
) -> Localizations:
    """Trajectories of molecules of D (µm² per frame, on each axis), pulled back on the axes `within`."""
    g = np.random.default_rng(seed)
    steps = g.normal(size=(FRAMES, MOLECULES, 3)) * np.sqrt(2 * np.broadcast_to(d, 3))
    steps[..., 0] += flow_um
    back = np.array([math.exp(-1 / 8) if axis in within else 1.0 for axis in range(3)])
    place, path = np.zeros((MOLECULES, 3)), []
    for step in steps:
        place = place * back + step
        path.append(place + g.normal(size=place.shape) * [0.012, 0.012, 0.03])
    table = Localizations.proposals(
        torch.tensor(np.reshape(path, (-1, 3)), dtype=torch.float32),
        torch.arange(FRAMES).repeat_interleave(MOLECULES),
        torch.ones(FRAMES * MOLECULES),
    )
    return dataclasses.replace(table, track=torch.arange(MOLECULES).repeat(FRAMES))


def told(d: ArrayLike, *, flow_um: float = 0.0, within: tuple[int, ...] = (), seed: int = 0) -> list[str]:
    """What is told of such motion."""
    table = trajectories(d, flow_um=flow_um, within=within, seed=seed)
    found = diffusion(table)
    assert found is not None
    return motion_doubts(found, mean_square_displacement(table, FRAMES // 4), 1.0, 0.0)


@pytest.mark.parametrize(
    "d", [0.01, 1e-4, 0.0, (0.01, 0.01, 0.001), (0.01, 0.01, 0.0), (0.0, 1e-3, 0.1)], ids=str
)
def test_free_motion_is_free_on_whatever_axes_it_goes(d: ArrayLike) -> None:
    assert sum(bool(told(d, seed=seed)) for seed in range(8)) == 0


@pytest.mark.parametrize("within", [(0,), (2,), (0, 1), (0, 1, 2)], ids=str)
def test_the_axes_on_which_molecules_are_held_back_are_named(within: tuple[int, ...]) -> None:
    (note,) = told(2e-3, within=within)
    axes = ", ".join("xyz"[axis] for axis in within)
    assert note.startswith(f"on {axes} molecules have got 0.")
    assert "confined or hindered" in note


def test_a_flow_along_one_axis_is_directed_motion_there() -> None:
    (note,) = told(1e-3, flow_um=0.05)
    assert note.startswith("on x molecules have got")
    assert "directed" in note
    # A step v that all make adds v² to Δ² and to ΔₙΔₙ₊₁: D comes out larger by 3 v² / 2.
    ratio = float(note.partition("got ")[2].partition(" times")[0])
    assert ratio == pytest.approx((0.02 + 0.25) / (20 * (0.001 + 1.5 * 0.0025)), rel=0.1)


def of_axes(d: ArrayLike, *, molecules: int = MOLECULES, depth: float = 1.0, seed: int = 0) -> list[str]:
    """What is told of D of the axes, of so many molecules whose depths are a multiple of the true ones."""
    table = trajectories(d, seed=seed)
    assert table.track is not None
    table = table.select(table.track < molecules)
    found = diffusion(dataclasses.replace(table, xyz=table.xyz * torch.tensor([1.0, 1.0, depth])))
    assert found is not None
    return axes_doubts(found)


@pytest.mark.parametrize("molecules", [3, 10, 50])
@pytest.mark.parametrize("d", [0.01, 1e-4, 0.0], ids=str)
def test_one_d_for_all_axes_is_given_without_a_word_where_they_agree(d: float, molecules: int) -> None:
    """Chance tells of one in a thousand."""
    assert sum(bool(of_axes(d, molecules=molecules, seed=seed)) for seed in range(12)) <= 1


@pytest.mark.parametrize("molecules", [3, 50])
@pytest.mark.parametrize("d", [(0.01, 0.01, 0.0), (0.0, 0.01, 0.0), (0.01, 0.01, 0.002)], ids=str)
def test_that_the_axes_disagree_on_d_is_told_beside_their_mean(d: ArrayLike, molecules: int) -> None:
    (note,) = of_axes(d, molecules=molecules)
    assert note.startswith("D differs between the axes by more than chance (")
    assert "use D of each axis" in note


def free_trajectories(
    lengths: list[int], *, differing: float = 0.0, depth: float = 1.0, seed: int = 0
) -> tuple[Localizations, Diffusion]:
    """Free trajectories of so many rows, D 0.01 on average, and how they diffuse.

    differing: standard deviation of ln D between the molecules;  depth: depths over the true ones.
    """
    g = np.random.default_rng(seed)
    path = [
        np.cumsum(math.sqrt(0.02 * math.exp(differing * g.normal())) * g.normal(size=(rows, 3)), axis=0)
        for rows in lengths
    ]
    place = (np.concatenate(path) + 0.02 * g.normal(size=(sum(lengths), 3))) * [1.0, 1.0, depth]
    frame = torch.tensor(np.concatenate([np.arange(rows) for rows in lengths]))
    table = Localizations.proposals(torch.tensor(place, dtype=torch.float32), frame, torch.ones(sum(lengths)))
    track = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    table = dataclasses.replace(table, track=track)
    found = diffusion(table)
    assert found is not None
    return table, found


def of_lengths(lengths: list[int], *, differing: float = 0.0, depth: float = 1.0, seed: int = 0) -> list[str]:
    """What is told of D of the axes of such trajectories."""
    return axes_doubts(free_trajectories(lengths, differing=differing, depth=depth, seed=seed)[1])


@pytest.mark.parametrize(
    ("lengths", "differing"),
    [
        ([1000] + 15 * [4], 0.0),
        ([100, 100] + 40 * [4], 0.0),
        (8 * [10], 2.0),
        (20 * [10], 2.0),
        (12 * [5, 9, 40], 0.0),
        ([100, 10, 5], 1.0),
    ],
    ids=["one-long", "two-long", "few-differing", "differing", "unequal", "few-unequal"],
)
def test_trajectories_that_weigh_unequally_do_not_make_the_axes_differ(
    lengths: list[int], differing: float
) -> None:
    """D is one on all axes of each molecule: chance tells of one in a thousand."""
    assert sum(bool(of_lengths(lengths, differing=differing, seed=seed)) for seed in range(150)) <= 1


@pytest.mark.parametrize(
    "lengths",
    [40 * [5, 9, 40], [1000] + 15 * [4], [300, 300] + 40 * [4]],
    ids=["unequal", "one-long", "two-long"],
)
def test_among_trajectories_of_unequal_lengths_a_wrong_depth_scale_is_told(lengths: list[int]) -> None:
    assert all(of_lengths(lengths, depth=0.5, seed=seed) for seed in range(5))


def test_that_one_trajectory_has_most_steps_is_told_with_d_of_it_and_of_the_others() -> None:
    table, found = free_trajectories([5, 4, 400] + 15 * [4])
    (note,) = weight_doubts(table, found, 1.0, 0.0)
    assert note.startswith("one of 18 trajectories (track 2) has 399 of 451 steps: D of all is mostly that of")
    assert table.track is not None
    for told, of in (("it alone", table.track == 2), ("the others", table.track != 2)):
        part = diffusion(table.select(of))
        assert part is not None and f"of {told} {'is ' * (told == 'it alone')}{part.coefficient:.3g} ±" in note


@pytest.mark.parametrize(
    "lengths", [[50], [60, 40], 20 * [10], [30] + 15 * [4], [100, 100] + 15 * [4]], ids=str
)
def test_of_trajectories_that_share_the_steps_nothing_is_told(lengths: list[int]) -> None:
    assert not weight_doubts(*free_trajectories(lengths), 1.0, 0.0)


@pytest.mark.parametrize("lengths", [[1000] + 9 * [4], [100, 100] + 40 * [4]], ids=["one-long", "two-long"])
def test_d_of_few_long_trajectories_among_many_never_seems_surer_than_it_is(lengths: list[int]) -> None:
    """What few of them differ by may be small by chance."""
    found = [free_trajectories(lengths, seed=seed)[1] for seed in range(60)]
    scatter = float(np.std([each.coefficient for each in found]))
    assert min(each.coefficient_error for each in found) > 0.75 * scatter


def test_a_wrong_depth_scale_is_told_by_d() -> None:
    assert of_axes(0.01, depth=1.5)
    assert not of_axes(0.01, depth=1.05)


def test_depths_that_are_not_there_are_no_measurement_of_d() -> None:
    """A list of two dimensions has z 0 in every row: it says nothing of D on z, rather than D = 0."""
    table = trajectories(0.01)
    flat = diffusion(dataclasses.replace(table, xyz=table.xyz * torch.tensor([1.0, 1.0, 0.0])))
    assert flat is not None
    assert flat.coefficient == pytest.approx(0.01, abs=4 * flat.coefficient_error)
    assert flat.coefficient == pytest.approx(np.mean([axis.coefficient for axis in flat.axes[:2]]), rel=0.01)
    assert flat.measured == (True, True, False)
    assert not axes_doubts(flat)
