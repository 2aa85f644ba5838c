"""Wrong dyes, counted where the truth has dyes: by row, and by molecule where molecules last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from deepstorm3d.analysis.evaluation import evaluate_list
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.io.tables import read_truth, write_table, write_truth


def scene(frames: int) -> tuple[Emitters, Localizations]:
    """Six molecules 1 µm apart, three of each dye; one of the first dye is given the other, one none."""
    number = torch.arange(6).repeat(frames)
    frame = torch.arange(frames).repeat_interleave(6)
    xyz = torch.stack([number + 1.0, torch.ones(6 * frames), torch.full((6 * frames,), 0.5)], dim=1)
    own, given = torch.tensor([1, 1, 1, 2, 2, 2]), torch.tensor([1, 2, 0, 2, 2, 2])
    sure = torch.tensor([0.9, 0.6, 0.8, 0.95, 0.95, 0.9])
    truth = Emitters(xyz, frame, torch.full((6 * frames,), 1000.0), number, dye=own[number])
    rows = Localizations.proposals(xyz, frame, torch.ones(6 * frames))
    return truth, replace(rows, dye=given[number], dye_probability=sure[number])


def test_wrong_dyes_are_counted_with_what_the_list_claims() -> None:
    truth, found = scene(1)
    whole = evaluate_list(found, truth)
    assert whole.dyes is not None
    assert whole.dyes.counts == ((1, 1, 1), (0, 0, 3))
    assert (whole.dyes.matched, whole.dyes.given, whole.dyes.wrong, whole.dyes.none) == (6, 5, 1, 1)
    assert whole.dyes.claimed == pytest.approx((0.1 + 0.4 + 0.05 + 0.05 + 0.1) / 5)
    assert "1 of 5 with a dye have a wrong one (20.00 %" in str(whole)
    assert whole.to_mapping()["dyes"]["wrong"] == 1


def test_molecules_count_once_whatever_they_last() -> None:
    truth, found = scene(4)
    by_row = evaluate_list(found, truth).dyes
    by_molecule = evaluate_list(replace(found, molecule=truth.id), truth).dyes
    assert by_row is not None and by_molecule is not None
    assert (by_row.matched, by_row.wrong) == (24, 4)
    assert (by_molecule.matched, by_molecule.wrong) == (6, 1)


def test_unknown_true_dyes_do_not_count_and_lists_without_dyes_have_no_errors() -> None:
    truth, found = scene(1)
    assert truth.dye is not None
    half = evaluate_list(found, replace(truth, dye=truth.dye * (truth.id > 2))).dyes
    assert half is not None and (half.matched, half.wrong) == (3, 0)
    assert evaluate_list(replace(found, dye=None), truth).dyes is None
    assert evaluate_list(found, replace(truth, dye=None)).dyes is None


def test_the_files_of_the_truth_keep_the_dyes(tmp_path: Path) -> None:
    truth, found = scene(2)
    assert truth.dye is not None
    described = {"pixel_um": 0.1, "frames": 2, "shape": (32, 90)}
    write_truth(tmp_path / "truth.csv", truth, **described)
    write_table(tmp_path / "found.hdf5", found, **described)
    again, other = read_truth(tmp_path / "truth.csv"), read_truth(tmp_path / "found.hdf5")
    assert again.dye is not None and torch.equal(again.dye, truth.dye)
    assert other.dye is not None and found.dye is not None and torch.equal(other.dye, found.dye)
    assert truth["dye"].tolist() == truth.dye.tolist() and "dye" in (truth.to_numpy().dtype.names or ())
    write_truth(tmp_path / "plain.csv", replace(truth, dye=None), **described)
    assert read_truth(tmp_path / "plain.csv").dye is None
