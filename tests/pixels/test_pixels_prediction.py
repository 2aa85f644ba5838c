"""What neighbours say of a pixel: exact where it must be, and within the leak for every spot."""

from __future__ import annotations

import pytest
import torch
from scenes_of_pixels import SPOT, spots

from deepstorm3d.pixels.prediction import FinestSpot, PixelPredictor


def test_a_level_is_predicted_exactly_whatever_pixels_are_missing() -> None:
    usable = torch.ones(24, 30, dtype=torch.bool)
    usable[:, 7] = False
    usable[10:13, 15:18] = False
    usable[0, 0] = False
    frames = torch.where(usable, 37.0, 1e6).expand(2, -1, -1)
    assert torch.allclose(PixelPredictor(SPOT, usable)(frames), torch.tensor(37.0), atol=1e-3)


def test_where_no_neighbour_is_good_the_level_of_the_frame_stands() -> None:
    usable = torch.ones(20, 20, dtype=torch.bool)
    usable[5:14, 5:14] = False
    predicted = PixelPredictor(SPOT, usable)(torch.where(usable, 9.0, 0.0)[None])
    assert float(predicted[0, 9, 9]) == pytest.approx(9.0)


@pytest.mark.parametrize("pixel_um", [0.065, 0.11, 0.16])
def test_no_spot_wherever_it_lies_exceeds_the_leak(pixel_um: float) -> None:
    spot = FinestSpot(wavelength=0.6, na=1.45, pixel_um=pixel_um)
    predictor = PixelPredictor(spot, torch.ones(15, 15, dtype=torch.bool))
    # The disc of a real camera: averaged over its pixels, at any place in the middle pixel or in a corner one.
    fine = 5
    wide = spot.image()
    begin = wide.shape[0] // 2
    for down in range(-2, 3):
        for right in (-2, 0, 1):
            rows = begin + fine * (torch.arange(15) - 7) + down
            columns = begin + fine * (torch.arange(15) - 7) + right
            frame = wide[rows][:, columns].float()
            off = frame - predictor(frame[None])[0]
            near = torch.nn.functional.unfold(torch.nn.functional.pad(frame[None, None], (3,) * 4), 7).view(
                49, 15, 15
            )
            near[24] = 0
            brightest = near.amax(0)
            row, column = (
                grid.flatten() for grid in torch.meshgrid(torch.arange(15), torch.arange(15), indexing="ij")
            )
            below, above = predictor.leak(row, column).view(15, 15, 2).unbind(2)
            assert (off <= above * brightest + 1e-5).all()
            assert (off >= -below * brightest - 1e-5).all()


def test_the_spread_is_that_of_noise() -> None:
    usable = torch.ones(40, 40, dtype=torch.bool)
    usable[:, 20] = False
    predictor = PixelPredictor(SPOT, usable)
    noise = torch.randn(400, 40, 40, generator=torch.Generator().manual_seed(1))
    seen = (noise - predictor(noise)).var(0) / predictor.spread
    assert float(seen.mean()) == pytest.approx(1.0, abs=0.02)
    for part in (seen[0], seen[:, 19], seen[2:-2, 2:17]):
        assert float(part.mean()) == pytest.approx(1.0, abs=0.06)


def test_a_spot_between_pixels_is_filled_in_where_one_is_missing() -> None:
    usable = torch.ones(21, 21, dtype=torch.bool)
    usable[10, 10] = False
    frame = spots(21, torch.tensor([[10.3, 9.8]]).double(), torch.tensor([1000.0]).double()).float()
    predicted = float(PixelPredictor(SPOT, usable)(frame[None])[0, 10, 10])
    # Its neighbours have 200 to 500: a mean of them would be far too low.
    assert predicted == pytest.approx(float(frame[10, 10]), rel=0.2)
