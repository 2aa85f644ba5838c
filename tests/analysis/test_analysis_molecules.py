"""A list whose molecules were fitted over several frames: what links, corrects, measures and scores it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepstorm3d.analysis.drift import DriftCurve
from deepstorm3d.analysis.estimated_drift import drift_of
from deepstorm3d.analysis.evaluation import MatchRule, evaluate_list
from deepstorm3d.analysis.linked import link_list
from deepstorm3d.analysis.linking import LinkRule
from deepstorm3d.analysis.quality import list_quality
from deepstorm3d.analysis.resolution import resolution_of
from deepstorm3d.analysis.trajectories import track_list
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import TableHeader, read_table, write_list
from deepstorm3d.jobs.link import link_table
from deepstorm3d.jobs.report.sections import glance_section

SIGMA = torch.tensor([0.008, 0.008, 0.016])


def found_and_truth(
    molecules: int = 600, frames: int = 200, life: int = 3, seed: int = 0
) -> tuple[Localizations, Emitters]:
    """Molecules of `life` frames each, found in all of them at one place off by σ; and the truth."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.rand(molecules, 3, generator=generator) * torch.tensor([8.0, 8.0, 2.0])
    begin = torch.randint(frames - life, (molecules,), generator=generator)
    number = torch.arange(molecules).repeat_interleave(life)
    frame = (begin[:, None] + torch.arange(life)).flatten()
    photons = 1000 + 2000 * torch.rand(len(frame), generator=generator)
    off = place + SIGMA * torch.randn(molecules, 3, generator=generator)
    n = len(frame)
    found = Localizations(
        xyz=off[number],
        frame=frame,
        photons=photons,
        background=torch.full((n,), 10.0) + frame % 3,
        probability=torch.rand(n, generator=generator),
        sigma_xyz=SIGMA.expand(n, 3).clone(),
        sigma_photons=photons.sqrt(),
        sigma_background=torch.full((n,), 0.3),
        fit_quality=torch.full((n,), 1.1),
        sigma_source="fit",
        molecule=7 + 5 * number,
    )
    truth = Emitters(place[number], frame, photons, number)
    return found.sort(), truth.select(torch.argsort(frame, stable=True))


def alone(table: Localizations) -> Localizations:
    return replace(table, molecule=None)


def test_linking_gives_one_row_a_molecule_and_leaves_position_and_sigma_as_they_are():
    found, _ = found_and_truth()
    linked = link_list(found, LinkRule())
    merged = linked.molecules
    assert linked.tied and linked.seen_once == 0 and linked.spread_over_sigma is None and not linked.warnings
    assert len(merged) == 600 and merged.molecule is None
    assert merged.detections is not None and merged.detections.eq(3).all()
    assert torch.equal(merged.sigma_xyz, SIGMA.expand(600, 3))
    assert merged.frame.diff().ge(0).all()
    for row in range(0, 600, 60):
        of_it = found.select((found.xyz == merged.xyz[row]).all(1))
        assert len(of_it) == 3
        assert merged.frame[row] == of_it.frame.min()
        assert float(merged.photons[row]) == pytest.approx(float(of_it.photons.sum()), rel=1e-6)
        assert float(merged.sigma_photons[row]) == pytest.approx(float(of_it.photons.sum() ** 0.5), rel=1e-5)
        assert float(merged.background[row]) == pytest.approx(float(of_it.background.mean()), rel=1e-6)


def test_without_the_column_the_same_rows_are_averaged_and_their_sigma_divided():
    found, _ = found_and_truth()
    linked = link_list(alone(found), LinkRule())
    assert not linked.tied and linked.spread_over_sigma is not None
    assert float(linked.molecules.sigma_xyz[:, 0].median()) == pytest.approx(0.008 / 3**0.5, rel=0.01)


def test_a_distance_that_is_not_used_is_said():
    found, _ = found_and_truth(20)
    assert "radius_nm" in link_list(found, LinkRule(0.05, 0.1)).warnings[0]
    assert len(link_list(found, LinkRule(0.05, 0.1)).molecules) == 20
    none = found.select(slice(0))
    assert len(link_list(none, LinkRule()).molecules) == 0 and link_list(none, LinkRule()).warnings


def test_the_linked_file_says_how_it_was_linked_and_is_not_linked_again(tmp_path: Path):
    found, _ = found_and_truth()
    write_list(tmp_path / "found.hdf5", found, TableHeader(0.1, 200, (100, 100)))
    summary = link_table(tmp_path / "found.hdf5", tmp_path / "linked.hdf5", LinkRule())
    assert (summary.rows, summary.molecules, summary.tied) == (1800, 600, True)
    back = read_table(tmp_path / "linked.hdf5")
    assert back.molecule is None and back.detections is not None and back.detections.eq(3).all()
    with pytest.raises(InputError, match="linked already"):
        link_table(tmp_path / "linked.hdf5", tmp_path / "again.hdf5", LinkRule())


def test_drift_is_taken_off_a_molecule_as_a_whole_and_comes_back():
    found, _ = found_and_truth()
    curve = DriftCurve(np.arange(200), np.outer(np.arange(200), [0.001, -0.002, 0.0005]), np.zeros((200, 3)))
    moved = curve.apply(found)
    number = torch.unique(found.molecule, return_inverse=True)[1]  # type: ignore[arg-type]
    for who in range(0, 600, 40):
        rows = moved.select(number == who)
        assert len(rows.xyz.unique(dim=0)) == 1
        middle = float(rows.frame.double().mean())
        before = found.select(number == who).xyz[0].double()
        shift = middle * torch.tensor([0.001, -0.002, 0.0005], dtype=torch.float64)
        torch.testing.assert_close(rows.xyz[0], before - shift)
    torch.testing.assert_close(curve.undo(moved).xyz, found.xyz.double(), rtol=0, atol=1e-12)


def test_rows_that_share_a_position_do_not_hide_the_drift():
    """Emitters that come back again and again, each visit tied over 6 frames, drift by 200 nm."""
    generator = torch.Generator().manual_seed(1)
    place = torch.rand(150, 3, generator=generator) * torch.tensor([6.0, 6.0, 1.0])
    visit = torch.arange(150).repeat_interleave(12)
    begin = torch.randint(594, (len(visit),), generator=generator)
    path = torch.linspace(0, 0.2, 600)[:, None] * torch.tensor([1.0, -0.5, 0.3])
    off = place[visit] + path[begin + 3] + SIGMA * torch.randn(len(visit), 3, generator=generator)
    number = torch.arange(len(visit)).repeat_interleave(6)
    frame = (begin[:, None] + torch.arange(6)).flatten()
    table = Localizations.proposals(off[number], frame, torch.ones(len(frame)))
    table = replace(table, sigma_xyz=SIGMA.expand(len(frame), 3), sigma_source="fit", molecule=number).sort()
    curve = drift_of(table, frames=600, segments=6).curve.shift_um
    wanted = (path - path.mean(0)).double().numpy()
    tied = np.sqrt(((curve - wanted) ** 2).mean())
    assert tied < 0.004
    # Taken for rows of single frames, the same list pulls the curve flat within each visit.
    ignorant = drift_of(alone(table), frames=600, segments=100).curve.shift_um
    assert np.sqrt(((ignorant - wanted) ** 2).mean()) > 2 * tied


def test_a_molecule_is_not_compared_with_itself_for_the_precision_or_the_resolution():
    found, _ = found_and_truth(2000)
    honest = resolution_of(found, splits=2)
    assert honest.precision is None and honest.rows == len(found)
    assert any("several frames" in note for note in honest.notes)
    # Its rows of one place would say that nothing scatters.
    naive = resolution_of(alone(found), splits=2)
    assert naive.precision is None or naive.precision[0].sigma_um < 0.1 * 0.008


def test_tracking_refuses_steps_of_molecules_that_were_taken_to_be_at_rest():
    found, _ = found_and_truth(50)
    with pytest.raises(InputError, match=r"100 of 150 rows share the position"):
        track_list(found)


def test_molecules_are_scored_over_all_their_frames():
    found, truth = found_and_truth()
    whole = evaluate_list(found, truth)
    assert whole.by_molecule is not None
    score = whole.by_molecule.score
    assert (score.tp, score.fp, score.fn) == (600, 0, 0) and whole.score.tp == 1800
    assert score.rmse_axial_nm == pytest.approx(16, rel=0.1)
    assert "by_molecule" in whole.to_mapping() and "by molecule" in str(whole)


def test_a_divided_and_a_missed_molecule_and_one_in_other_frames_count_once_each():
    found, truth = found_and_truth(50, life=4)
    assert found.molecule is not None
    numbers = found.molecule.clone()
    rows = {who: torch.nonzero(numbers == 7 + 5 * who).flatten() for who in range(4)}
    numbers[rows[0][:2]] = 10_000  # found as two
    keep = torch.ones(len(found), dtype=torch.bool)
    keep[rows[1]] = False  # not found
    keep[rows[2][1:]] = False  # found in one of its frames only
    late = found.frame.clone()
    late[rows[3]] += 50  # found where it does not shine
    table = replace(found, molecule=numbers, frame=late).select(keep)
    score = evaluate_list(table, truth).by_molecule
    assert score is not None
    assert (score.score.tp, score.score.fp, score.score.fn) == (48, 2, 2)


def test_dim_molecules_are_neither_hits_nor_misses():
    found, truth = found_and_truth(40)
    dim = replace(truth, photons=torch.where(truth.id < 10, 100.0, truth.photons))
    score = evaluate_list(found, dim, MatchRule(min_photons=500)).by_molecule
    assert score is not None
    assert (score.score.tp, score.score.fp, score.score.fn) == (30, 0, 0)
    assert (score.score.ignored_truth, score.score.ignored_found) == (10, 10)


def test_single_frames_have_no_figures_by_molecule():
    found, truth = found_and_truth(40)
    assert evaluate_list(alone(found), truth).by_molecule is None
    each = replace(truth, id=torch.arange(len(truth)))
    assert evaluate_list(found, each).by_molecule is None
    assert "by_molecule" not in evaluate_list(alone(found), truth).to_mapping()


def test_a_report_says_how_many_molecules_the_rows_are():
    found, _ = found_and_truth(40)
    section = glance_section(found, TableHeader(0.1, 200, (100, 100)), list_quality(found, 200))
    assert ("molecules", "40") in section.tiles and ("localizations", "120") in section.tiles
    assert any("3.00 each on average" in words for words in section.paragraphs)
    plain = glance_section(alone(found), TableHeader(0.1, 200, (100, 100)), list_quality(alone(found), 200))
    assert not any("several frames" in words for words in plain.paragraphs)
