"""Fits in windows: cut where they should be, blind to what is outside, and true beside known light."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, MICROSCOPE, SIZE, nanometres, scene, table
from torch import Tensor

from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.fitting.windows import WindowFit, Windows
from deepstorm3d.noise import Noise

PIXEL = MICROSCOPE.pixel_um
BOUNDS = Bounds(DEPTH)


def frames(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 10 + torch.rand(2, *SIZE, generator=generator, dtype=torch.float64)


def test_a_window_shows_its_part_of_the_frame_and_counts_nothing_outside() -> None:
    image = frames()
    xyz = torch.tensor([[24 * PIXEL, 20 * PIXEL, 0.5], [2 * PIXEL, 38 * PIXEL, 0.5]], dtype=torch.float64)
    windows = Windows.around(xyz, torch.tensor([0, 1]), Likelihood(image), table(), known=image / 2)
    assert windows.corner.tolist() == [[14, 10], [-8, 28]]
    light = windows.likelihood
    torch.testing.assert_close(light.frames[0], image[0, 10:31, 14:35])
    torch.testing.assert_close(light.known, light.frames / 2)
    assert light.pixels.tolist() == [21 * 21, 12 * 13]


@pytest.mark.parametrize("select", [torch.tensor([1]), torch.tensor([1, 1, 0])])
def test_a_map_of_read_noise_goes_with_its_window(select: Tensor) -> None:
    noise = torch.arange(SIZE[0] * SIZE[1], dtype=torch.float64).view(SIZE)
    xyz = torch.tensor([[24 * PIXEL, 20 * PIXEL, 0.5], [20 * PIXEL, 15 * PIXEL, 0.5]], dtype=torch.float64)
    windows = Windows.around(xyz, torch.tensor([0, 1]), Likelihood(frames(), Noise(1.0, noise)), table())
    part = windows.select(select).likelihood
    row = int((select == 1).nonzero()[0, 0])
    assert isinstance(part.noise.read_variance, Tensor)
    torch.testing.assert_close(part.noise.read_variance[row], noise[5:26, 10:31])
    model = torch.full_like(part.frames, 12.0)
    torch.testing.assert_close(part.information(model)[row], 1 / (12 + noise[5:26, 10:31]))


def test_a_molecule_is_fitted_beside_light_that_is_known() -> None:
    truth = scene(6, 1, seed=3)
    image, rows = truth.image(), torch.arange(6)
    # All but the molecule itself, and the background, are known: without noise it is found exactly.
    own = [replace(truth, state=truth.state.rows(rows == k)).image() for k in range(6)]
    background = truth.background.surface(truth.state.coefficients)
    known = torch.cat([image - (part - background) for part in own])
    likelihood = Likelihood(image.expand(6, -1, -1).contiguous())
    windows = Windows.around(truth.state.xyz, rows, likelihood, truth.psf, known)
    start = truth.disturbed(0.05, 0.1)
    fitted = WindowFit(truth.psf, BOUNDS)(windows, start.xyz[:, None], start.photons[:, None])
    assert float(nanometres(fitted.state, truth.state).abs().max()) < 0.5
    torch.testing.assert_close(fitted.state.photons, truth.state.photons, rtol=1e-3, atol=0)


def test_less_light_is_known_only_where_some_was() -> None:
    xyz = torch.tensor([[24 * PIXEL, 20 * PIXEL, 0.5]], dtype=torch.float64)
    windows = Windows.around(xyz, torch.tensor([0]), Likelihood(frames()), table())
    with pytest.raises(ValueError, match="no light is known"):
        windows.without(torch.ones(1, 21, 21))
