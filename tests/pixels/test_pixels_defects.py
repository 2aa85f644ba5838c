"""Defective pixels are found among molecules as sharp as light allows, and no molecule is taken for one."""

from __future__ import annotations

import pytest
import torch
from scenes_of_pixels import SPOT, movie, spots

from deepstorm3d.pixels.defects import find_defects
from deepstorm3d.pixels.outliers import find_outliers
from deepstorm3d.pixels.prediction import PixelPredictor


def places(bad: torch.Tensor) -> set[tuple[int, int]]:
    return {(row, column) for row, column in bad.nonzero().tolist()}


@pytest.mark.parametrize("frames", [1, 16])
@pytest.mark.parametrize(
    ("level", "molecules", "peak"), [(60.0, 12, 800.0), (3.0, 4, 20000.0), (150.0, 150, 400.0)]
)
def test_molecules_in_focus_are_no_defects(frames: int, level: float, molecules: int, peak: float) -> None:
    seen = movie(frames, level=level, molecules=molecules, peak=peak)
    found = find_defects(seen, SPOT)
    outliers, mended = find_outliers(seen, PixelPredictor(SPOT, ~found.bad), found.law, found.sigmas)
    assert not found.bad.any()
    assert not outliers.any()
    assert torch.equal(mended, seen)


def test_beads_that_never_move_are_no_defects() -> None:
    bead = spots(40, torch.tensor([[12.0, 13.0], [25.5, 8.5], [30.0, 39.0], [0.0, 20.0]]).double(),
                 torch.tensor([60000.0, 60000.0, 60000.0, 60000.0]).double())  # fmt: skip
    seen = torch.poisson((bead + 30).float().expand(16, -1, -1), generator=torch.Generator().manual_seed(2))
    assert not find_defects(seen, SPOT).bad.any()


@pytest.mark.parametrize("frames", [1, 16])
def test_hot_dead_and_paired_pixels_are_found_and_nothing_beside_them(frames: int) -> None:
    seen = movie(frames, level=150.0)
    seen[:, 20, 10] = 10000.0
    seen[:, 8, 30] = 0.0
    seen[:, 0, 0] = 5000.0
    seen[:, 30, 20:22] += 6000.0
    # In a single frame of noise a pixel without light may be chance.
    wanted = {(20, 10), (0, 0), (30, 20), (30, 21)} | ({(8, 30)} if frames > 1 else set())
    assert places(find_defects(seen, SPOT).bad) == wanted


def test_a_dead_column_a_part_of_a_row_and_a_warm_pixel_are_found() -> None:
    seen = movie(16, 70, level=150.0)
    seen[:, :, 25] = 0.0
    seen[:, 40, 30:] += 80.0
    seen[:, 10, 10] += 60.0
    bad = find_defects(seen, SPOT).bad
    assert bad[:, 25].all()
    assert bad[40, 32:].all()
    assert bad[10, 10]
    assert int(bad.sum()) <= 70 + 40 + 1


def test_a_stuck_pixel_and_a_flickering_one_are_found() -> None:
    seen = movie(16)
    seen[:, 11, 12] = 60.0
    seen[::4, 30, 31] += 600.0
    assert places(find_defects(seen, SPOT).bad) == {(11, 12), (30, 31)}


def test_a_cosmic_ray_is_an_outlier_of_its_frame_alone() -> None:
    seen = movie(6)
    clean = seen.clone()
    seen[2, 20, 20] += 3000.0
    seen[4, 5, 6] += 900.0
    found = find_defects(seen, SPOT)
    outliers, mended = find_outliers(seen, PixelPredictor(SPOT, ~found.bad), found.law, found.sigmas)
    assert not found.bad.any()
    assert {tuple(each) for each in outliers.nonzero().tolist()} == {(2, 20, 20), (4, 5, 6)}
    assert (mended - clean).abs().max() < 150


def test_frames_that_no_camera_makes_are_taken_as_they_are() -> None:
    crowded = movie(4, 60, molecules=4)
    generator = torch.Generator().manual_seed(9)
    crowded[:, torch.rand(60, 60, generator=generator) < 0.06] += 3000.0
    found = find_defects(crowded, SPOT)
    assert not found.plausible
    assert not found.bad.any()
    assert found.sigmas == float("inf")


def test_counts_cut_off_at_zero_and_empty_frames_have_no_defects() -> None:
    cut = movie(8, level=0.0, molecules=3) + 10 * torch.randn(
        8, 40, 40, generator=torch.Generator().manual_seed(3)
    )
    assert not find_defects((cut - 8).clamp(min=0).round(), SPOT).bad.any()
    assert not find_defects(torch.zeros(4, 12, 12), SPOT).bad.any()


def test_known_defects_are_taken_and_no_others_looked_for() -> None:
    seen = movie(8)
    seen[:, 20, 10] = 10000.0
    known = torch.zeros(40, 40, dtype=torch.bool)
    known[3, 4] = True
    assert places(find_defects(seen, SPOT, known=known).bad) == {(3, 4)}
