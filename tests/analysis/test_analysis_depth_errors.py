"""Errors against depth: known shifts come back in their own bin; where nothing was found there is none."""

from __future__ import annotations

import numpy as np
import torch

from deepstorm3d.analysis.depth_errors import errors_by_depth
from deepstorm3d.analysis.matching import match
from factories import emitters, localizations


def test_each_bin_has_the_errors_of_its_own_depths():
    places = torch.tensor([[float(i), 5.0, z] for i, z in enumerate((0.0, 0.4, 2.1, 2.4, 4.0))])
    truth = emitters(places)
    moved = places.clone()
    moved[:2, 0] += torch.tensor([0.03, -0.03])
    moved[2:4, 2] += 0.05
    found = localizations(moved[:4])
    errors = errors_by_depth(truth, found, match(truth, found), bins=4)
    assert errors is not None
    np.testing.assert_allclose(errors.edges_um, [0, 1, 2, 3, 4], atol=1e-6)
    assert errors.molecules.tolist() == [2, 0, 2, 1]
    assert errors.hits.tolist() == [2, 0, 2, 0]
    np.testing.assert_allclose(errors.rmse_nm[0], [30, 0, 0], atol=1e-3)
    np.testing.assert_allclose(errors.bias_nm[0], [0, 0, 0], atol=1e-3)
    np.testing.assert_allclose(errors.bias_nm[2], [0, 0, 50], atol=1e-3)
    assert np.isnan(errors.rmse_nm[[1, 3]]).all()
    np.testing.assert_array_equal(errors.recall, [1, np.nan, 1, 0])


def test_molecules_that_do_not_count_are_left_out_and_without_any_there_is_nothing():
    truth = emitters([[0.0, 0.0, 1.0], [3.0, 0.0, 9.0]], photons=[1000.0, 10.0])
    found = localizations([[0.0, 0.0, 1.0], [3.0, 0.0, 9.0]])
    errors = errors_by_depth(truth, found, match(truth, found, min_photons=100.0), bins=2)
    assert errors is not None
    assert errors.molecules.sum() == errors.hits.sum() == 1
    assert errors.edges_um[0] < 1.0 < errors.edges_um[-1] < 2.0
    nothing = emitters([])
    assert errors_by_depth(nothing, found, match(nothing, found)) is None
