"""Averaged planes lose their noise and keep their light."""

from __future__ import annotations

import torch

from deepstorm3d.calibration.measured_psf.denoise import without_noise
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.measured import sample_volume


def planes(side: int = 41) -> torch.Tensor:
    experiment = preset("quickstart")
    psf = build_psf(experiment.psf, experiment.microscope, experiment_mask(experiment), patch_px=side)
    return sample_volume(psf, experiment.z_um, 0.05).values


def test_planes_without_noise_stay_as_they_are() -> None:
    clean = planes()
    # Measured: 1e-8 of the peak, and 2e-6 where planes are few and cut off.
    assert float((without_noise(clean) - clean).abs().max()) < 1e-6 * float(clean.max())
    few = clean[::8, 14:-14, 14:-14]
    assert few.shape == (4, 13, 13)
    assert float((without_noise(few) - few).abs().max()) < 1e-4 * float(clean.max())


def test_shot_noise_becomes_several_times_less_in_the_planes_and_in_their_slope() -> None:
    clean = planes()
    generator = torch.Generator().manual_seed(0)
    photons = 90_000
    noisy = (torch.poisson(photons * clean + 80, generator=generator) - 80) / photons
    found = without_noise(noisy)
    before, after = (each - clean for each in (noisy, found))
    # Measured: 2.8 times less, and 5.0 times from plane to plane.
    assert float(after.std()) < float(before.std()) / 2.3
    assert float(after.diff(dim=0).std()) < float(before.diff(dim=0).std()) / 4
    light = found.sum((1, 2)) / noisy.sum((1, 2))
    assert float((light - 1).abs().max()) < 0.02


def test_noise_alone_becomes_almost_nothing() -> None:
    noise = torch.randn(30, 33, 33, generator=torch.Generator().manual_seed(1))
    # Measured: 0.13 is left.
    assert float(without_noise(noise).std()) < 0.2
