"""Other programs fit spots with the PSF that we hand them, and find the molecules where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepstorm3d.io.psfs import read_psf, write_psf
from deepstorm3d.optics.masks import AstigmaticMask
from deepstorm3d.optics.measured import sample_volume
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF

MICROSCOPE = Microscope(mask_pitch=72.0, focus=1.0)
SIDE = 21
# Column and row from the middle of the middle pixel, px; depth, µm; photons.
COLUMN, ROW, Z, PHOTONS = (0.2, -0.4, 0.1), (-0.3, 0.25, 0.45), (0.45, 0.8, 1.07), (20_000.0, 5_000.0, 60_000.0)


@pytest.mark.parametrize(
    ("client_name", "name"), [("picasso", "p_calib.hdf5"), ("smappy", "s.h5"), ("smappy", "s_3dcal.mat")]
)
@pytest.mark.parametrize("low", [0.0, 0.2])
def test_a_spline_fit_with_our_psf_finds_place_depth_and_photons(
    client: Callable[..., Any],
    note: Callable[[str], None],
    tmp_path: Path,
    client_name: str,
    name: str,
    low: float,
):
    psf = ScalarPSF(MICROSCOPE, AstigmaticMask().build(MICROSCOPE), patch_px=27, blur_px=1.0)
    volume = sample_volume(psf, (low, 1.4), 0.05)
    write_psf(tmp_path / name, volume)
    xyz = torch.tensor([COLUMN, ROW, Z], dtype=torch.float64).T * torch.tensor([psf.pixel_um, psf.pixel_um, 1])
    patches = psf(xyz)
    assert not (patches.corner + 13).any()
    spots = patches.values[:, 3:-3, 3:-3] * torch.tensor(PHOTONS)[:, None, None] + 10
    np.save(tmp_path / "spots.npy", spots.numpy())
    found = client(client_name, "fit_spline", tmp_path / "spots.npy", tmp_path / name)
    reference = 0.0 if low == 0 else 0.8
    apart = [
        1000 * psf.pixel_um * (np.array(found["x"]) - SIDE // 2 - COLUMN),
        1000 * psf.pixel_um * (np.array(found["y"]) - SIDE // 2 - ROW),
        np.array(found["z"]) - 1000 * (np.array(Z) - reference),
    ]
    light = np.abs(np.array(found["photons"]) / PHOTONS - 1).max()
    worst = " · ".join(f"{np.abs(axis).max():.2f}" for axis in apart)
    note(f"{client_name}, {name}: off by {worst} nm, photons by {100 * light:.2f} %")
    assert all(np.abs(axis).max() < 1 for axis in apart)
    assert light < 0.01


def test_what_smappy_saves_we_read(client: Callable[..., Any], tmp_path: Path):
    psf = ScalarPSF(MICROSCOPE, AstigmaticMask().build(MICROSCOPE), patch_px=21, blur_px=1.0)
    volume = sample_volume(psf, (0.2, 1.4), 0.05)
    write_psf(tmp_path / "ours_3dcal.mat", volume)
    client("smappy", "resave_spline", tmp_path / "ours_3dcal.mat", tmp_path / "theirs.h5")
    theirs = read_psf(tmp_path / "theirs.h5", pixel_um=psf.pixel_um)
    assert (theirs.values - volume.values).abs().max() < 1e-6
    assert theirs.range_um == pytest.approx(volume.range_um)
