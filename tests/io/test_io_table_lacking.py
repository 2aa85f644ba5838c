"""What a list lacks, or says of frames that its movie has not, is told when it is read."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import deepstorm3d as ds


def written(path: Path) -> ds.Localizations:
    xyz = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    found = ds.Localizations.proposals(xyz, torch.arange(20), torch.ones(20))
    ds.write_table(path, found, pixel_um=0.1, frames=20, shape=(16, 16))
    return found


@pytest.mark.parametrize("lacking", [["photons"], ["bg"], ["lpx", "lpy"]], ids=str)
def test_a_picasso_list_says_which_columns_it_lacks(tmp_path: Path, lacking: list[str]) -> None:
    path = tmp_path / "list.hdf5"
    written(path)
    with h5py.File(path, "r+") as file:
        rows = file["locs"][()]  # type: ignore[index]
        del file["locs"]
        file["locs"] = rows[[name for name in rows.dtype.names if name not in lacking]]
    with pytest.warns(ds.DoubtfulResult, match=f"no column {', '.join(lacking)}: not known"):
        assert len(ds.read_table(path)) == 20


def test_rows_beyond_the_last_frame_of_the_movie_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "list.hdf5"
    written(path)
    with h5py.File(path, "r+") as file:
        rows = file["locs"][()]  # type: ignore[index]
        rows["frame"][-2:] = 1_000_000
        file["locs"][...] = rows  # type: ignore[index]
    with pytest.warns(ds.DoubtfulResult, match="2 of 20 rows are of frames up to 1000000, .* 20"):
        ds.read_table(path)


def test_our_own_names_of_columns_are_known_where_they_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    columns = written(tmp_path / "list.hdf5").to_numpy()
    names = columns.dtype.names or ()
    np.savetxt(path, columns[list(names)].tolist(), delimiter=",", header=",".join(names), comments="")
    with pytest.raises(ds.InputError, match=r"write the list with ds\.write_table"):
        ds.read_table(path)
