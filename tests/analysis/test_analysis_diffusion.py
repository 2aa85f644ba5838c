"""D and the localization error come out of trajectories as they went in, with the error that is stated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.diffusion import common_motion, diffusion, mean_square_displacement
from deepstorm3d.emitters import Localizations
from diffusing import SIGMA_UM, diffusing, tracked


@pytest.mark.parametrize(
    ("molecules", "coefficients"), [(60, [1.5e-3]), (5, [1.5e-3]), (60, [3e-4, 1e-3, 3e-3])], ids=str
)
def test_d_scatters_around_the_truth_by_its_stated_error(molecules: int, coefficients: list[float]):
    """60 and 5 molecules (jackknife and closed form), and molecules that are unlike."""
    of_each = np.resize(coefficients, molecules)
    off = []
    for seed in range(60):
        table, who = diffusing(molecules, 60, of_each, seed=seed, false=0)
        found = diffusion(tracked(table, who))
        assert found is not None
        off.append((found.coefficient - of_each.mean()) / found.coefficient_error)
    assert abs(np.mean(off)) < 0.4
    # The stated error is that of other molecules, too; here unlike ones are the same each time.
    assert (0.75 if len(coefficients) == 1 else 0.2) < np.std(off) < 1.25


def test_the_localization_error_is_found_on_each_axis():
    table, who = diffusing(200, 100, 1e-4, false=0)
    found = diffusion(tracked(table, who), interval=0.5)
    assert found is not None
    for axis, sigma in zip(found.axes, SIGMA_UM, strict=True):
        assert abs(axis.sigma_um - sigma) < 4 * axis.sigma_error_um < 0.1 * sigma
        assert axis.coefficient == pytest.approx(2e-4, abs=4 * axis.coefficient_error)


def test_motion_blur_is_taken_into_account():
    """Exposed throughout, R = 1/6: without it the error comes out too small, D does not change."""
    table, who = diffusing(300, 60, 1e-2, missed=0.0, false=0.0, exposures=20, sigma_um=(0.06, 0.06, 0.06))
    right, without = (diffusion(tracked(table, who), exposure=exposure) for exposure in (1.0, 0.0))
    assert right is not None and without is not None
    assert right.coefficient == pytest.approx(1e-2, rel=0.03)
    assert [a.coefficient for a in right.axes] == [a.coefficient for a in without.axes]
    assert [axis.sigma_um for axis in right.axes] == pytest.approx([0.06] * 3, rel=0.05)
    assert max(axis.sigma_um for axis in without.axes) < 0.03


def test_displacement_grows_as_theory_says():
    table, who = diffusing(300, 40, 1.5e-3, false=0)
    moved = mean_square_displacement(tracked(table, who), 8)
    assert moved.lags.tolist() == list(range(1, 9))
    expected = 2 * 1.5e-3 * moved.lags[:, None] + 2 * np.square(SIGMA_UM)
    assert (np.abs(moved.square_um2 - expected) < 4 * moved.error_um2).all()
    assert (moved.error_um2 < 0.1 * expected).all()


def test_it_is_the_displacement_that_trackpy_counts():
    trackpy, pandas = pytest.importorskip("trackpy"), pytest.importorskip("pandas")
    table, who = diffusing(20, 30, false=0)
    columns = dict(zip("xyz", table.xyz.double().numpy().T, strict=True))
    rows = pandas.DataFrame({**columns, "frame": table.frame.numpy(), "particle": who.numpy()})
    theirs = trackpy.emsd(rows, 1.0, 1.0, max_lagtime=5, pos_columns=["x", "y", "z"], detail=True)
    ours = mean_square_displacement(tracked(table, who), 5)
    # It weighs trajectories by their independent pairs, we by all pairs: alike, not equal.
    assert ours.square_um2.sum(axis=1) == pytest.approx(theirs["msd"].to_numpy(), rel=0.02)


def test_false_rows_and_missing_frames_count_for_nothing():
    table, who = diffusing(20, 30, missed=0.3)
    alone = diffusion(tracked(table.select(who >= 0), who[who >= 0]))
    assert diffusion(tracked(table, who)) == alone
    odd = table.frame % 2 == 0
    assert diffusion(tracked(table.select(odd), who[odd])) is None


def test_common_motion_is_noticed():
    still, who = diffusing(40, 60)
    share, error = common_motion(tracked(still, who))
    assert abs(share) < 4 * error < 0.05
    moving, who = diffusing(40, 60, drift_um=0.05)
    share, error = common_motion(tracked(moving, who))
    step = 2 * 3 * 1.5e-3 + 2 * np.square(SIGMA_UM).sum()
    assert share == pytest.approx(0.05**2 / (0.05**2 + step), rel=0.15)
    assert share > 4 * error


def test_no_trajectories_have_no_diffusion():
    none = tracked(Localizations.empty(), torch.zeros(0, dtype=torch.int64))
    assert diffusion(none) is None
    assert mean_square_displacement(none, 5).square_um2.shape == (0, 3)
    assert common_motion(none) == (0.0, np.inf)
