"""Rows that lie near each other because molecules are in clusters are no steps; molecules at rest there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.diffusion import diffusion
from deepstorm3d.analysis.steps import step_model
from deepstorm3d.analysis.tracking import find_range, link_tracks
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from diffusing import tracked

pytest.importorskip("trackpy")

FIELD_UM, CLUSTER_UM, ERROR_UM = 40.0, 0.3, np.array([0.015, 0.015, 0.03])


def listed(place: np.ndarray, frame: np.ndarray) -> Localizations:
    order = np.argsort(frame, kind="stable")
    at = torch.tensor(place[order], dtype=torch.float32)
    return Localizations.proposals(at, torch.tensor(frame[order]), torch.ones(len(at)))


def places(count: int, clusters: int, g: np.random.Generator) -> np.ndarray:
    """In x and y, in clusters or, for none, spread evenly; no depth."""
    flat = np.array([1.0, 1.0, 0.0])
    if not clusters:
        return g.uniform(0, FIELD_UM, (count, 3)) * flat
    centre = g.uniform(0, FIELD_UM, (clusters, 3))[g.integers(clusters, size=count)]
    return (centre + CLUSTER_UM * g.normal(size=(count, 3))) * flat


def fresh(count: np.ndarray, clusters: int, sigma_z_um: float, seed: int) -> Localizations:
    """Another molecule in each row, so many in each frame."""
    g = np.random.default_rng(seed)
    place = places(int(count.sum()), clusters, g)
    place[:, 2] = sigma_z_um * g.normal(size=len(place))
    return listed(place, np.repeat(np.arange(len(count)), count))


def moving(
    molecules: int,
    frames: int,
    d: float,
    *,
    clusters: int = 0,
    false: float = 0.0,
    flat: bool = False,
    seed: int,
) -> Localizations:
    """Molecules that diffuse in x and y, a tenth of their rows missing, and false rows in each frame."""
    g = np.random.default_rng(seed)
    path = np.cumsum(np.sqrt(2 * d) * g.normal(size=(frames, molecules, 3)) * [1, 1, 0], axis=0)
    path += places(molecules, clusters, g)
    seen = g.random((frames, molecules)) > 0.1
    count = g.poisson(false, frames)
    place = np.concatenate([path[seen], places(int(count.sum()), 0, g)])
    place += ERROR_UM * g.normal(size=place.shape) * [1, 1, not flat]
    return listed(place, np.concatenate([np.nonzero(seen)[0], np.repeat(np.arange(frames), count)]))


@pytest.mark.parametrize(
    ("a_frame", "frames", "clusters"), [(5, 200, 30), (30, 20, 30), (2, 500, 10), (1, 500, 3), (0, 400, 30)]
)
@pytest.mark.parametrize("sigma_z_um", [0.05, 0.0])
def test_fresh_molecules_of_clusters_show_no_step(a_frame: int, frames: int, clusters: int, sigma_z_um: float):
    """As many in each frame, or for 0 a random number, five on average."""
    for seed in range(4):
        g = np.random.default_rng(100 + seed)
        count = np.full(frames, a_frame) if a_frame else g.poisson(5, frames)
        with pytest.raises(InputError, match="cannot be distinguished from chance"):
            find_range(fresh(count, clusters, sigma_z_um, seed))


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("clusters", [0, 15])
@pytest.mark.parametrize("d", [1e-3, 1e-5, 0.0])
def test_molecules_that_move_or_rest_in_clusters_show_theirs(d: float, clusters: int, flat: bool):
    for seed in range(3):
        table = moving(30, 60, d, clusters=clusters, false=1.0, flat=flat, seed=seed)
        found = diffusion(tracked(table, link_tracks(table, find_range(table), gap=1)))
        assert found is not None
        for axis in found.axes[:2]:
            assert axis.coefficient == pytest.approx(d, abs=max(4 * axis.coefficient_error, 0.2 * d))


@pytest.mark.parametrize("d", [2e-3, 0.0])
@pytest.mark.parametrize(("molecules", "frames"), [(1, 100), (2, 60), (3, 40), (30, 3)])
@pytest.mark.parametrize("false", [0.05, 0.3, 3.0])
def test_few_molecules_and_few_frames_suffice(molecules: int, frames: int, d: float, false: float):
    """One at rest, hardly a false row beside it, is where it was in any other frame."""
    for seed in range(4):
        table = moving(molecules, frames, d, false=false, seed=seed)
        steps = step_model(table.xyz.double().numpy(), table.frame.numpy())
        assert steps is not None and steps.clear
        assert steps.lateral_um == pytest.approx(np.sqrt(2 * d + 2 * 0.015**2), rel=0.3)


@pytest.mark.parametrize("d", [2e-3, 0.0])
def test_molecules_seen_one_after_another_are_told_by_frames_far_apart(d: float):
    """No two rows share a frame."""
    for seed in range(4):
        one = [moving(1, 10, d, seed=10 * seed + k) for k in range(40)]
        place = torch.cat([each.xyz for each in one]).double().numpy()
        frame = torch.cat([each.frame + 10 * k for k, each in enumerate(one)]).numpy()
        assert find_range(listed(place, frame)).lateral_um < 6 * 1.2 * np.sqrt(2 * d + 2 * 0.015**2)
