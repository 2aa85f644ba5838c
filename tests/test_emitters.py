"""Tables of emitters and localizations: rows move together, empty is normal, columns agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deepstorm3d.analysis.filters import rows_where
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError


def emitters(n: int, *, blur: bool = False, first_id: int = 0) -> Emitters:
    """Row k: x = k, y = 10 k, z = 100 k, photons 1000 k; frames go round in threes, from the last."""
    k = torch.arange(first_id, first_id + n)
    return Emitters(
        xyz=k[:, None] * torch.tensor([1.0, 10.0, 100.0]),
        frame=2 - k % 3,
        photons=1000.0 * k,
        id=k,
        blur_px=k / 10 if blur else None,
    )


def localizations(n: int) -> Localizations:
    k = torch.arange(n)
    return Localizations(
        xyz=k[:, None] * torch.tensor([1.0, 10.0, 100.0]),
        frame=k,
        photons=1000.0 * k,
        background=k + 0.5,
        probability=k / n,
        sigma_xyz=k[:, None] * torch.ones(3),
        sigma_photons=k + 0.25,
        sigma_background=k + 0.5,
        fit_quality=k + 0.125,
        sigma_source="fit",
    )


def assert_whole_rows(table: Emitters) -> None:
    """Every column still tells the same molecule."""
    k = table.id
    assert torch.equal(table.xyz, k[:, None] * torch.tensor([1.0, 10.0, 100.0]))
    assert torch.equal(table.photons, 1000.0 * k)
    assert torch.equal(table.frame, 2 - k % 3)
    assert table.blur_px is None or torch.equal(table.blur_px, k / 10)


@pytest.mark.parametrize("rows", [torch.tensor([4, 0, 4]), torch.tensor([True, False, False, True, True])])
def test_selecting_takes_whole_rows_by_index_or_mask(rows: Tensor) -> None:
    table = emitters(5, blur=True).select(rows)
    assert table.id.tolist() == ([4, 0, 4] if rows.dtype == torch.int64 else [0, 3, 4])
    assert_whole_rows(table)


@pytest.mark.parametrize("kind", [int, np.int64, torch.tensor])
def test_one_row_is_a_table_of_it(kind: Callable[[int], Any]) -> None:
    table = emitters(5)
    assert table[kind(2)].id.tolist() == [2] and table[kind(-1)].id.tolist() == [4]
    with pytest.raises(IndexError):
        table[kind(5)]
    assert [int(row.id) for row in table] == [0, 1, 2, 3, 4]


def test_sorting_is_by_frame_and_keeps_the_order_within_a_frame() -> None:
    table = emitters(7, blur=True).sort()
    assert table.frame.tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert table.id.tolist() == [2, 5, 1, 4, 0, 3, 6]
    assert_whole_rows(table)


def test_shifting_moves_positions_and_frames_and_nothing_else() -> None:
    table = emitters(4)
    moved = table.shift((0.5, -1.0, 2.0), frames=10)
    assert torch.equal(moved.xyz - table.xyz, torch.tensor([[0.5, -1.0, 2.0]]).expand(4, 3))
    assert torch.equal(moved.frame, table.frame + 10)
    assert torch.equal(moved.photons, table.photons)
    assert moved.frame.dtype == torch.int64
    assert torch.equal(moved.shift((-0.5, 1.0, -2.0), frames=-10).xyz, table.xyz)
    assert torch.equal(table.shift().xyz, table.xyz)


def test_concatenating_keeps_the_order_of_tables_and_rows() -> None:
    table = Emitters.concat([emitters(2), emitters(3, first_id=2), Emitters.empty()])
    assert table.id.tolist() == [0, 1, 2, 3, 4]
    assert_whole_rows(table)


def test_tables_of_different_columns_do_not_join() -> None:
    with pytest.raises(ValueError, match=r"differ in columns.*blur_px"):
        Emitters.concat([emitters(2, blur=True), emitters(2)])
    with pytest.raises(ValueError, match="no table to concatenate"):
        Emitters.concat([])


def test_what_is_done_to_localizations_keeps_where_their_sigma_comes_from() -> None:
    table = localizations(4)
    parts = [table.select(torch.tensor([1, 3])), table.sort(), table.shift((1.0, 0.0, 0.0)), table.to("cpu")]
    for part in [*parts, Localizations.concat(parts)]:
        assert part.sigma_source == "fit"
    picked = parts[0]
    assert picked.background.tolist() == [1.5, 3.5]
    assert picked.fit_quality.tolist() == [1.125, 3.125]
    assert picked.sigma_photons.tolist() == [1.25, 3.25]


@pytest.mark.parametrize("kind", [Emitters, Localizations])
def test_an_empty_table_has_length_0_and_goes_through_everything(
    kind: type[Emitters] | type[Localizations],
) -> None:
    table = kind.empty()
    none = torch.zeros(0, dtype=torch.bool)
    for one in (table, table.sort(), table.shift((1.0, 2.0, 3.0), 4), table.select(none)):
        assert len(one) == 0
        assert one.xyz.shape == (0, 3)
        assert one.frame.dtype == torch.int64
    assert len(kind.concat([table, table])) == 0


def test_proposals_have_every_column_and_never_nan() -> None:
    table = Localizations.proposals(torch.ones(2, 3), torch.tensor([0, 1]), torch.tensor([0.3, 0.9]))
    assert len(table) == 2
    assert table.sigma_source == "none"
    for name, column in table.columns().items():
        assert len(column) == 2, name
        assert bool(column.isfinite().all()), name
    assert table.sigma_xyz.shape == (2, 3)


def test_columns_of_unlike_length_are_refused() -> None:
    whole = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"xyz must have shape \(2, 3\)"):
        Emitters(xyz=torch.zeros(3, 3), frame=whole, photons=torch.zeros(2), id=whole)
    with pytest.raises(ValueError, match="column photons has 1 rows, the table has 2"):
        Emitters(xyz=torch.zeros(2, 3), frame=whole, photons=torch.zeros(1), id=whole)


def test_a_table_names_the_columns_that_it_has() -> None:
    assert set(emitters(1).columns()) == {"xyz", "frame", "photons", "id"}
    assert "blur_px" in emitters(1, blur=True).columns()


def test_a_column_is_named_with_its_unit_and_unknown_values_are_nan():
    found = localizations(4)
    assert found["x_nm"].tolist() == [0.0, 1000.0, 2000.0, 3000.0]
    assert found["frame"].tolist() == [0, 1, 2, 3]
    assert np.isnan(found["photons"][0]) and found["photons"][3] == 3000.0  # 0 stands for what is not known
    assert emitters(3)["molecule"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("table", [emitters(3), localizations(3)], ids=["emitters", "localizations"])
def test_an_unknown_column_is_refused_with_those_that_there_are(table: Emitters | Localizations):
    with pytest.raises(InputError, match=r"no column 'x_um'.*x_nm"):
        table["x_um"]


@pytest.mark.parametrize("rows", [slice(1, 3), np.array([1, 2]), np.array([False, True, True, False])])
def test_rows_are_selected_by_slice_index_and_mask(rows: slice | np.ndarray):
    assert localizations(4)[rows].frame.tolist() == [1, 2]


def molecules(numbers: list[int]) -> Localizations:
    return replace(localizations(len(numbers)), molecule=torch.tensor(numbers))


def test_the_numbers_of_molecules_go_along_with_their_rows() -> None:
    table = molecules([7, 3, 7])
    assert table["molecule"].tolist() == [7, 3, 7]
    assert table.select(torch.tensor([False, True, True])).sort().shift(frames=2)["molecule"].tolist() == [3, 7]
    assert Localizations.concat([table, molecules([9])]).columns()["molecule"].tolist() == [7, 3, 7, 9]
    assert table.to_numpy()["molecule"].dtype == np.int64
    assert rows_where(table, "molecule == 7").tolist() == [True, False, True]


def test_a_list_of_single_frames_has_no_molecule_column_and_does_not_join_one_that_has() -> None:
    single = localizations(2)
    assert "molecule" not in (single.to_numpy().dtype.names or ()) and single["molecule"].tolist() == [-1, -1]
    with pytest.raises(ValueError, match="molecule"):
        Localizations.concat([single, molecules([0])])


@pytest.mark.parametrize("table", [emitters(3), localizations(3), Emitters.empty(), Localizations.empty()])
def test_pandas_and_numpy_hold_the_same_columns_row_by_row(table: Emitters | Localizations):
    frame, array = table.to_pandas(), table.to_numpy()
    assert list(frame.columns) == list(array.dtype.names or ())
    assert len(frame) == len(array) == len(table)
    for name in frame.columns:
        np.testing.assert_array_equal(frame[name].to_numpy(), array[name])
        np.testing.assert_array_equal(array[name], table[name])
    assert frame["frame"].dtype == np.int64


def test_a_table_says_in_one_line_what_it_holds():
    assert repr(Localizations.empty()) == "Localizations(no rows)"
    found = repr(localizations(4))
    assert found.startswith("Localizations(4 rows, frames 0 to 3, z 0.00 to 300.00 µm, median 2,000 photons")
    assert "median σ 2000" in found and "\n" not in found
    assert "3 molecules" in repr(emitters(3))
    assert "tensor" not in repr(emitters(3, blur=True))
