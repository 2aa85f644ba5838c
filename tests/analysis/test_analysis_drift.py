"""Drift curves do and undo what they say; the estimate follows a known drift, and knows when it cannot."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch
from drift_scenes import rms_nm, shining, waves

from deepstorm3d.analysis import overlap
from deepstorm3d.analysis.drift import DriftCurve
from deepstorm3d.analysis.estimated_drift import doubts_of_curve, drift_of
from deepstorm3d.analysis.overlap import near_pairs, spline_basis
from deepstorm3d.analysis.overlap_drift import DriftEstimate, estimate_drift
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from watchers import Recorder

FRAMES = 1000


@pytest.fixture(scope="module")
def drift() -> np.ndarray:
    return waves(FRAMES, (0.3, 0.3, 0.2))


@pytest.fixture(scope="module")
def moved(drift: np.ndarray) -> Localizations:
    return shining(1000, FRAMES, drift)


def curve_of(shift_um: np.ndarray) -> DriftCurve:
    return DriftCurve(np.arange(len(shift_um)), shift_um, np.zeros_like(shift_um))


def test_applying_a_curve_subtracts_it_and_undoing_gives_the_list_back(drift: np.ndarray, moved: Localizations):
    curve = curve_of(drift)
    still = curve.apply(moved)
    assert torch.allclose(still.xyz, moved.xyz - torch.from_numpy(drift)[moved.frame])
    assert float((curve.undo(still).xyz - moved.xyz).abs().max()) < 1e-6 / 1000
    assert torch.equal(still.frame, moved.frame)


def test_a_single_precision_list_comes_back_to_a_thousandth_of_a_nanometre(
    drift: np.ndarray, moved: Localizations
):
    single = dataclasses.replace(moved, xyz=moved.xyz.float() + 30.0)
    back = curve_of(drift).undo(curve_of(drift).apply(single))
    assert float((back.xyz - single.xyz).abs().max()) < 1e-6


def test_a_curve_survives_its_file_to_a_picometre(drift: np.ndarray):
    curve = DriftCurve(np.arange(FRAMES), drift, np.abs(drift) / 10)
    back = DriftCurve.from_csv(curve.to_csv(), "c.csv")
    assert np.abs(back.shift_um - curve.shift_um).max() < 1e-9
    assert np.abs(back.sigma_um - curve.sigma_um).max() < 1e-9
    assert back.frames.tolist() == list(range(FRAMES))


@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize("point", [".", ","])
def test_a_curve_of_a_spreadsheet_is_read_with_its_separator_and_decimal_sign(separator: str, point: str):
    rows = [("frame", "dx", "dy", "dz"), ("0", "1.5", "-2.25", "3"), ("1", "1.75", "0", "1234.5")]
    text = "".join(separator.join(row) + "\r\n" for row in rows).replace(".", point)
    curve = DriftCurve.from_csv(text, "c.csv")
    assert curve.shift_um.tolist() == [[0.0015, -0.00225, 0.003], [0.00175, 0.0, 1.2345]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("frame;dx;dy;dz\n0;1.234,5;2;3\n", "points and decimal commas"),
        ("frame;dx;dy;dz\n0;1,234;2.5;3\n", "points and decimal commas"),
        ("frame,dx,dy\n0,1,2\n", "no column dz"),
        ("", "no column frame"),
        ("frame,dx,dy,dz\n", "every frame"),
        ("frame,dx,dy,dz\n0,1,2,3\n2,1,2,3\n", "without gaps"),
        ("frame,dx,dy,dz\n0,1,2,x\n", "line 2"),
        ("frame,dx,dy,dz\n0,1,2\n", "line 2"),
        ("frame,dx,dy,dz\n0,1,2,nan\n", "finite"),
        ("frame,dx,dy,dz\n0.5,1,2,3\n1.5,1,2,3\n", "begins at frame 0.5, and frames are whole numbers from 0"),
        ("frame,dx,dy,dz\n-1,1,2,3\n0,1,2,3\n", "begins at frame -1, .* count its frames from 0"),
    ],
)
def test_a_file_that_is_no_curve_is_refused(text: str, words: str):
    with pytest.raises(InputError, match=words):
        DriftCurve.from_csv(text, "c.csv")


def test_a_curve_of_another_recording_is_refused(drift: np.ndarray, moved: Localizations):
    with pytest.raises(InputError, match=r"frames 0 to 499.*another recording"):
        curve_of(drift[:500]).apply(moved)


def test_a_curve_may_begin_at_any_frame_and_one_that_counts_from_1_is_told(moved: Localizations):
    rows = "".join(f"{frame},{frame},0,0\n" for frame in range(7, 12))
    curve = DriftCurve.from_csv(f"frame,dx,dy,dz\n{rows}", "c.csv")
    part = moved.select((moved.frame >= 7) & (moved.frame < 12))
    shift = (part.xyz - curve.apply(part).xyz)[:, 0]
    torch.testing.assert_close(shift, part.frame.double() / 1000, atol=1e-6, rtol=0, check_dtype=False)
    first = int(moved.frame.min())
    assert first == 0
    from_1 = DriftCurve(np.arange(1, FRAMES + 1), np.zeros((FRAMES, 3)), np.zeros((FRAMES, 3)))
    with pytest.raises(InputError, match="take 1 from each"):
        from_1.apply(moved)


def test_a_linked_list_has_no_drift_to_estimate_or_to_subtract(drift: np.ndarray, moved: Localizations):
    detections = torch.ones(len(moved), dtype=torch.int64)
    once = dataclasses.replace(moved, detections=detections)
    assert torch.equal(curve_of(drift).apply(once).xyz, curve_of(drift).apply(moved).xyz)
    linked = dataclasses.replace(moved, detections=detections.index_fill(0, torch.tensor([3, 5]), 4))
    told = f"the list is linked: 2 of {len(moved)} rows .* up to 4 frames.* then link"
    for work in (curve_of(drift).apply, curve_of(drift).undo, drift_of):
        with pytest.raises(InputError, match=told):
            work(linked)
    # Molecules fitted over frames are no linked list: their rows say in which frames they shine.
    fitted = dataclasses.replace(linked, molecule=torch.arange(len(moved)))
    assert len(curve_of(drift).apply(fitted)) == len(moved)


def test_the_slope_of_the_overlap_is_that_of_finite_differences(moved: Localizations):
    few = moved.select(slice(0, 400))
    place, frame = few.xyz.numpy() / 0.012, few.frame.numpy()
    shift = np.random.default_rng(3).normal(size=(FRAMES, 3))
    pairs = near_pairs(place, frame, np.zeros((FRAMES, 3)), 8.0, most=10**6, rng=np.random.default_rng(1))
    _, slope = pairs.overlap(shift, 8.0)
    busy = int(np.argmax(np.abs(slope[:, 0])))
    for axis in range(3):
        ahead, behind = shift.copy(), shift.copy()
        ahead[busy, axis] += 0.05
        behind[busy, axis] -= 0.05
        expected = (pairs.overlap(ahead, 8.0)[0] - pairs.overlap(behind, 8.0)[0]) / 0.1
        assert slope[busy, axis] == pytest.approx(expected, rel=0.02, abs=2e-4)


def clumps(rows: int, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions (σ), frames, and a shift of each frame."""
    rng = np.random.default_rng(7)
    place = 30 * rng.random((20, 3))[rng.integers(20, size=rows)] + rng.normal(size=(rows, 3))
    return place, rng.integers(frames, size=rows), 0.5 * rng.normal(size=(frames, 3))


@pytest.mark.parametrize("within", [None, 12.0])
def test_near_pairs_their_overlap_and_its_matrix_are_those_of_all_pairs_one_by_one(within: float | None):
    (place, frame, shift), width = clumps(300, 60), 1.5
    pairs = near_pairs(place, frame, shift, width, most=10**6, rng=np.random.default_rng(1), within=within)
    corrected = place - shift[frame]
    basis = spline_basis(60, 6)
    dense, expected = basis.toarray(), {}
    total, slope, tied = 0.0, np.zeros((60, 3)), np.zeros((9, 9))
    for i in range(300):
        for j in range(i):
            apart, later = corrected[i] - corrected[j], frame[i] - frame[j]
            time = 0.0 if within is None else 3 * width * later / within
            if later and np.hypot(np.linalg.norm(apart), time) <= 3 * width:
                weight = np.exp(-0.5 * (apart @ apart) / width**2)
                total += weight
                slope[frame[i]] += weight * apart / width**2
                slope[frame[j]] -= weight * apart / width**2
                along = dense[frame[i]] - dense[frame[j]]
                tied += weight * np.outer(along, along) / width**2
                expected[tuple(sorted((int(frame[i]), int(frame[j]))))] = True
    assert len(expected) > 100
    found, found_slope = pairs.overlap(shift, width)
    assert found == pytest.approx(total, rel=1e-5)
    assert found_slope == pytest.approx(slope, abs=1e-4 * np.abs(slope).max())
    assert pairs.stiffness(shift, width, basis) == pytest.approx(tied, abs=1e-5 * np.abs(tied).max())
    told = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    assert {tuple(sorted(each)) for each in told} == set(expected)


def test_a_sample_of_a_long_list_tells_how_many_pairs_it_has(monkeypatch: pytest.MonkeyPatch):
    place, frame, shift = clumps(6000, 60)
    every = len(near_pairs(place, frame, shift, 3.0, most=10**8, rng=np.random.default_rng(1)))
    monkeypatch.setattr(overlap, "_SAMPLE", 1500)
    monkeypatch.setattr(overlap, "_PROBED", 700)
    some = len(near_pairs(place, frame, shift, 3.0, most=every // 4, rng=np.random.default_rng(1)))
    assert some == pytest.approx(every / 4, rel=0.15)


def test_a_known_drift_is_found_within_a_few_nanometres_and_its_sigma_is_true(
    drift: np.ndarray, moved: Localizations
):
    found = estimate_drift(moved, FRAMES)
    error = rms_nm(found.curve.shift_um - drift)
    assert (error < 4).all(), error
    told = 1000 * np.sqrt((found.curve.sigma_um**2).mean(0))
    assert 0.4 < np.sqrt((told**2).sum() / (error**2).sum()) < 2.5
    assert np.abs(found.curve.shift_um.mean(0)).max() < 1e-9


def test_no_drift_is_found_where_there_is_none():
    found = estimate_drift(shining(1000, FRAMES), FRAMES, segments=8)
    assert (rms_nm(found.curve.shift_um) < 4).all()


def test_the_estimate_says_how_far_it_is_and_can_be_repeated(moved: Localizations):
    watch, few = Recorder(), moved.select(slice(None, None, 3))
    first = estimate_drift(few, FRAMES, segments=8, watch=watch)
    again = estimate_drift(few, FRAMES, segments=8)
    assert np.array_equal(first.curve.shift_um, again.curve.shift_um)
    assert first.segments == 8
    assert watch.done == list(range(len(watch.steps)))
    assert watch.steps[-1][0] == watch.steps[-1][1]


def test_a_list_without_structure_has_an_uncertain_drift():
    generator = torch.Generator().manual_seed(2)
    xyz = torch.rand(3000, 3, generator=generator, dtype=torch.float64) * torch.tensor([8.0, 8.0, 2.0])
    noise = Localizations.proposals(xyz, torch.arange(3000) % FRAMES, torch.ones(3000))
    told = estimate_drift(noise, FRAMES).curve.sigma_um
    assert 1000 * np.sqrt((told**2).mean()) > 20


@pytest.mark.parametrize(("rows", "frames", "field_um"), [(153, 40, 7.0), (400, 40, 7.0), (300, 300, 20.0)])
def test_molecules_that_have_nothing_to_do_with_each_other_are_not_moved(
    rows: int, frames: int, field_um: float
):
    for seed in range(4):
        xyz = torch.rand(rows, 3, generator=torch.Generator().manual_seed(seed))
        table = Localizations.proposals(xyz * field_um, torch.arange(rows) % frames, torch.ones(rows))
        with pytest.raises(InputError, match=r"the list tells no drift: only \d+ pairs"):
            drift_of(table)


@pytest.mark.parametrize(
    ("drift_nm", "sigma_nm", "pairs", "said"),
    [
        (300, 8, 10**5, ""),
        (300, 30, 10**5, "disagree"),
        (10, 30, 10**5, "more harm"),
        (300, 30, 100, "more harm"),
    ],
)
def test_a_correction_does_harm_only_where_its_error_exceeds_the_drift_or_pairs_are_few(
    moved: Localizations, drift_nm: float, sigma_nm: float, pairs: int, said: str
):
    shift = waves(FRAMES, (drift_nm / 1000,) * 3)
    curve = DriftCurve(np.arange(FRAMES), shift, np.full_like(shift, sigma_nm / 1000))
    told = " ".join(doubts_of_curve(moved, DriftEstimate(curve, 12, pairs)))
    assert ("each alone, disagree" in told) == bool(said)
    assert ("more harm than good" in told) == (said == "more harm")
    assert (f"only {pairs} pairs" in told and "too few to trust" in told) == (pairs < 30 * 12)


@pytest.mark.parametrize(("rows", "frames"), [(0, 10), (30, 30), (5000, 1)])
def test_too_little_for_a_drift_is_an_error_that_says_what_is_needed(rows: int, frames: int):
    xyz = torch.rand(rows, 3, generator=torch.Generator().manual_seed(1))
    table = Localizations.proposals(xyz, torch.arange(rows) % frames, torch.ones(rows))
    with pytest.raises(InputError, match="at least 50 localizations in 8 frames"):
        estimate_drift(table, frames)


def test_more_segments_than_frames_bear_are_refused(moved: Localizations):
    with pytest.raises(InputError, match="choose 1 to 250"):
        estimate_drift(moved, FRAMES, segments=300)


@pytest.mark.parametrize("axis", [0, 2])
def test_a_jump_that_a_smooth_curve_cannot_follow_is_told(axis: int):
    jump = np.zeros((FRAMES, 3))
    jump[FRAMES // 2 :, axis] = 0.2
    (note,) = (each for each in drift_of(shining(1000, FRAMES, jump), segments=50).notes if "jumped" in each)
    first, last = (int(word) for word in re.findall(r"frames (\d+) and (\d+)", note)[0])
    assert "  " not in note
    assert f"changes in {'xyz'[axis]} by" in note and first <= FRAMES // 2 <= last <= first + 100


def test_a_smooth_drift_however_long_or_uneven_does_not_jump(moved: Localizations):
    assert not any("jumped" in note for note in drift_of(moved, segments=50).notes)
    t = np.linspace(0, 1, FRAMES)[:, None]
    walk = np.cumsum(np.random.default_rng(0).normal(size=(50, 3)), axis=0)
    uneven = np.stack([np.interp(t[:, 0], np.linspace(0, 1, 50), column) for column in walk.T], axis=1)
    for shift in (3.0 * t * [1.0, -1.0, 0.5], 0.3 * np.exp(-5 * t) * [1.0, 1.0, 1.0], 0.01 * uneven):
        for segments in (6, 50, 200):
            found = DriftEstimate(curve_of(shift - shift.mean(0)), segments, 10**6)
            assert not any("jumped" in note for note in doubts_of_curve(moved, found))
