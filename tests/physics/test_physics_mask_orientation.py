"""The mask's orientation against a real frame; how a mask's ramps and turns act: test_physics_diffraction."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from deepstorm3d.fitting.photometry import fit_photometry
from deepstorm3d.fitting.search import MatchedFilter
from deepstorm3d.io import open_movie, read_mask
from deepstorm3d.optics.masks import PixelMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSFSpec

DATA = Path(__file__).parents[3] / "shared" / "data"
FRAME, MASK = DATA / "telomeres_learned_1.tif", DATA / "mask_learned.mat"
DEPTHS_UM = (2.0, 6.0)
ROUNDS, PER_ROUND, APART_PX = 10, 4, 30


def snapshot() -> tuple[Tensor, Tensor, Tensor]:
    """The frame without its baseline, the pixels used (1) or withheld (0), the variance up to the gain."""
    with open_movie(FRAME) as movie:
        counts = torch.from_numpy(movie.read(0, 1).astype("float32"))
    light = counts - counts.min()
    smooth = torch.nn.functional.avg_pool2d(light, 5, 1, 2, count_include_pad=False)
    used = (torch.rand(light.shape, generator=torch.Generator().manual_seed(0)) >= 0.1).float()
    return light, used, smooth.clamp(min=1.0)


@torch.no_grad()
def residual(phase: Tensor) -> float:
    """Mean squared residual over variance in the withheld pixels, after a matching pursuit of 40 molecules."""
    light, used, variance = snapshot()
    psf = ScalarPSFSpec(patch_px=61, blur_px=1.0).tabulate(
        Microscope(), PixelMask(phase), DEPTHS_UM, (1.0, 1.0)
    )
    height, width = light.shape[1:]
    search = MatchedFilter(psf, DEPTHS_UM, (height, width), light, step_um=0.2)
    xyz, model = torch.zeros(0, 3), torch.zeros_like(light)
    for number in range(ROUNDS + 1):
        frame = torch.zeros(len(xyz), dtype=torch.int64)
        model = fit_photometry(psf, xyz, frame, light, weight=used).model
        if number < ROUNDS:
            score = used * (light - model) / variance
            best = search.search(score, used / variance, torch.zeros(1), apart_px=APART_PX, most=PER_ROUND)
            xyz = torch.cat([xyz, best.xyz])
    assert len(xyz) == ROUNDS * PER_ROUND
    return float(((light - model).square() / variance)[used == 0].mean())


@pytest.mark.skipif(not (FRAME.exists() and MASK.exists()), reason="no shared data beside the repository")
def test_the_learned_mask_as_it_stands_explains_the_telomeres_best() -> None:
    # benchmarks/mask_orientation.py tries all sixteen; here the three likeliest slips.
    phase = torch.from_numpy(read_mask(MASK))
    stated = residual(phase)
    slips = {
        "turned 180°": torch.rot90(phase, 2),
        "transposed": phase.T,
        "up-down mirrored": torch.flipud(phase),
    }
    for slip, other in slips.items():
        assert stated < 0.95 * residual(other), slip  # measured: 0.81 to 0.90
