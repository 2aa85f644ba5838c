"""σ that says a position is not known: it stays so, and advice about it keeps all that is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from deepstorm3d.analysis.filters import rows_where
from deepstorm3d.analysis.merging import merge_rows
from deepstorm3d.analysis.stated_sigma import failed_fits, failed_fits_note
from deepstorm3d.emitters import UNKNOWN_SIGMA_UM, Localizations
from factories import localizations


def listed(sigma: list[list[float]]) -> Localizations:
    """Rows at one place in frames of their own, with these σ, µm."""
    table = localizations([[1.0, 1.0, 0.5]] * len(sigma), list(range(len(sigma))))
    return replace(table, sigma_xyz=torch.tensor(sigma), sigma_source="fit")


@pytest.mark.parametrize("lacking", [(), (2,), (0, 1)], ids=["all known", "no σz", "only σz"])
@pytest.mark.parametrize("bad", [2.0, UNKNOWN_SIGMA_UM])
def test_the_advice_removes_the_failed_rows_and_no_other(lacking: tuple[int, ...], bad: float) -> None:
    sigma = torch.tensor([0.01, 0.012, 0.02]).repeat(100, 1)
    there = next(axis for axis in (0, 2) if axis not in lacking)
    sigma[:5, there] = bad
    sigma[:, list(lacking)] = 0.0
    table = listed(sigma.tolist())
    note = failed_fits_note(table)
    assert note is not None and note.startswith("5 of 100 rows state")
    kept = rows_where(table, note.split("filter '")[1].split("'")[0])
    assert torch.equal(kept, ~failed_fits(table)) and int(kept.sum()) == 95


@pytest.mark.parametrize("rows", [1, 2, 4, 100])
def test_many_rows_of_unknown_depth_do_not_make_a_known_one(rows: int) -> None:
    held = listed([[0.01, 0.01, UNKNOWN_SIGMA_UM]] * rows)
    (merged,) = merge_rows(held, torch.zeros(rows, dtype=torch.int64)).sigma_xyz
    assert float(merged[2]) == UNKNOWN_SIGMA_UM and float(merged[0]) == pytest.approx(0.01 / rows**0.5)
    known = listed([[0.01, 0.01, UNKNOWN_SIGMA_UM]] * rows + [[0.01, 0.01, 0.02]])
    (merged,) = merge_rows(known, torch.zeros(rows + 1, dtype=torch.int64)).sigma_xyz
    assert float(merged[2]) == pytest.approx(0.02, rel=1e-3)
