"""The columns of a list from two channels in our own formats: share of light, dye, and how sure both are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from deepstorm3d.analysis.merging import merge_rows
from deepstorm3d.emitters import Localizations
from deepstorm3d.io.tables import TableHeader, open_list_writer, read_table, write_list

HEADER = TableHeader(0.11, 30, (40, 50))
COLUMNS = ("share", "sigma_share", "dye", "dye_probability")


def of_two_channels(frames: int, first: int = 0) -> Localizations:
    """A row in each frame, with shares and dyes of its own."""
    number = torch.arange(frames)
    place = 1.0 + 0.1 * number[:, None] * torch.tensor([1.0, 2.0, 0.5])
    table = Localizations.proposals(place, first + number, torch.ones(frames))
    return replace(
        table,
        photons=torch.full((frames,), 1000.0),
        share=0.25 + 0.5 * torch.rand(frames, generator=torch.Generator().manual_seed(frames)),
        sigma_share=0.01 + 0.001 * number.float(),
        dye=number % 3,
        dye_probability=1 - 0.01 * number.float(),
    )


@pytest.mark.parametrize("suffix", [".hdf5", ".csv", ".h5"])
def test_shares_and_dyes_survive_and_lists_without_stay_without(suffix: str, tmp_path: Path):
    path, table = tmp_path / f"two{suffix}", of_two_channels(5)
    write_list(path, table, HEADER)
    back = read_table(path)
    for name in COLUMNS:
        torch.testing.assert_close(getattr(back, name), getattr(table, name), atol=1e-6, rtol=0)
    write_list(path, replace(table, share=None, sigma_share=None), HEADER, overwrite=True)
    back = read_table(path)
    assert back.share is None and back.sigma_share is None and back.dye is not None
    write_list(path, replace(table, **dict.fromkeys(COLUMNS)), HEADER, overwrite=True)
    assert not set(COLUMNS) & set(read_table(path).columns())


@pytest.mark.parametrize("suffix", [".hdf5", ".csv"])
def test_a_list_of_two_channels_grows_block_by_block(suffix: str, tmp_path: Path):
    path, whole = tmp_path / f"l{suffix}", of_two_channels(6)
    with open_list_writer(path, HEADER, of_two_channels(0)) as writer:
        writer.append(whole.select(slice(0, 4)), frames_done=4)
        writer.append(whole.select(slice(4, 6)), frames_done=6)
    assert read_table(path)["dye"].tolist() == [0, 1, 2, 0, 1, 2]
    np.testing.assert_allclose(read_table(path)["share"], whole["share"], atol=1e-6)


def test_picasso_colours_by_dye(tmp_path: Path):
    write_list(tmp_path / "l.hdf5", replace(of_two_channels(4), molecule=torch.tensor([7, 7, 8, 8])), HEADER)
    with h5py.File(tmp_path / "l.hdf5") as file:
        assert np.asarray(file["locs"])["group"].tolist() == [0, 1, 2, 0]


def test_what_is_not_known_is_nan_by_name():
    table = of_two_channels(2)
    assert np.isnan(replace(table, share=None)["share"]).all()
    assert replace(table, dye=None)["dye"].tolist() == [-1, -1]


def test_rows_of_a_molecule_merge_to_the_weighted_share_and_the_dye_that_they_agree_on():
    table = replace(
        of_two_channels(4),
        share=torch.tensor([0.2, 0.4, 0.5, 0.5]),
        sigma_share=torch.tensor([0.01, 0.02, 0.03, 0.0]),
        dye=torch.tensor([2, 2, 1, 2]),
        dye_probability=torch.tensor([0.9, 0.8, 0.7, 0.95]),
    )
    merged = merge_rows(table, torch.tensor([0, 0, 1, 1]))
    assert merged.share is not None and merged.sigma_share is not None
    torch.testing.assert_close(merged.share, torch.tensor([(4 * 0.2 + 0.4) / 5, 0.5]))
    torch.testing.assert_close(merged.sigma_share, torch.tensor([0.02 / 5**0.5, 0.0]))
    assert merged["dye"].tolist() == [2, 0]
    np.testing.assert_allclose(merged["dye_probability"], [0.9, 0.95])
