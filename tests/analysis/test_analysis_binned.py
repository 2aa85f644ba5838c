"""Columns in bins: the same counts as a histogram, of all rows and of a part of them."""

import math

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.binned import bin_column, even_edges, known_columns
from deepstorm3d.emitters import Localizations


def table(rows: int = 5000) -> Localizations:
    """Rows with photons for nine in ten of them, in frames 3 to 9."""
    g = torch.Generator().manual_seed(4)
    found = Localizations.proposals(
        torch.rand(rows, 3, generator=g), 3 + torch.arange(rows) % 7, torch.ones(rows)
    )
    photons = 500 + 3000 * torch.rand(rows, generator=g)
    photons[::10] = 0.0
    return Localizations(**{**found.columns(), "photons": photons})


def test_counts_are_those_of_a_histogram():
    found = table()
    binned = bin_column(found, "photons")
    values = found["photons"]
    expected = np.histogram(values[np.isfinite(values)], binned.edges)[0]
    assert np.abs(binned.counts() - expected).sum() <= 4  # rounding at an edge moves a row to the next bin
    assert binned.rows == 4500 and 0 < binned.rows - binned.counts().sum() < 20  # 0.1 % at each end is outside
    bright = np.nan_to_num(values) > 2000
    part = binned.counts(bright)
    assert part.sum() < binned.counts().sum() and not part[binned.edges[1:] < 1990].any()
    assert binned.quantiles == pytest.approx(np.nanquantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]))
    assert (binned.least, binned.most) == (np.nanmin(values), np.nanmax(values))


def test_whole_numbers_have_bins_of_their_own():
    binned = bin_column(table(700), "frame")
    assert binned.edges.tolist() == [2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5]
    assert binned.counts().tolist() == [100] * 7


def test_the_least_and_the_most_of_kept_rows_are_among_a_few():
    found = table()
    values, binned = found["photons"], bin_column(found, "photons")
    for keep in (values > 0, np.abs(values - 1500) < 200, values > 3499, values > 9999):
        near = binned.near_ends(keep)
        kept = values[keep & np.isfinite(values)]
        assert binned.known(keep) == len(kept)
        assert len(near) < len(values) / 20
        if len(kept):
            assert (values[near].min(), values[near].max()) == (kept.min(), kept.max())


def test_frames_have_bins_from_the_first_to_the_last():
    found = table(5000)
    frames = torch.arange(5000) // 10
    binned = bin_column(Localizations(**{**found.columns(), "frame": frames}), "frame")
    assert (binned.edges[0], binned.edges[-1]) == (-0.5, 499.5) and binned.counts().sum() == 5000


def test_many_whole_numbers_share_bins_evenly():
    found = table(5000)
    found = Localizations(**{**found.columns(), "frame": torch.arange(5000)})
    counts = bin_column(found, "frame").counts()
    assert len(counts) <= 120 and set(counts[1:-2].tolist()) == {42}


def test_a_column_that_no_row_has_is_not_among_the_known_ones():
    found = table()
    assert "photons" in known_columns(found) and "sigma_z_nm" not in known_columns(found)
    assert "track" not in known_columns(found)
    empty = bin_column(found, "sigma_z_nm")
    assert empty.rows == 0 and empty.counts().tolist() == [0] and all(map(math.isnan, empty.quantiles))


def test_equal_values_and_an_empty_list_are_no_trouble():
    same = bin_column(table(50), "probability")
    assert same.counts().sum() == 50
    assert even_edges(150.0, 150.0, 2).tolist() == [148.5, 150.0, 151.5]
    assert even_edges(0.0, 0.0, 2).tolist() == [-0.5, 0.0, 0.5]
    assert known_columns(Localizations.empty()) == []
    assert bin_column(Localizations.empty(), "x_nm").rows == 0
