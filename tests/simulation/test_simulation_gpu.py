"""Simulation on a GPU: everything is drawn and stays there."""

from __future__ import annotations

import pytest
import torch

from deepstorm3d.camera import Camera, EmccdCamera, IdealCamera, MinimumSubtractedCamera, ScmosCamera
from deepstorm3d.optics.assembly import Assembly
from deepstorm3d.simulation import (
    Background,
    EmitterPrior,
    Field,
    GammaPhotons,
    NoBackground,
    SmoothBackground,
    SuperGaussianBackground,
    UniformBackground,
    blink,
    ellipsoid_surface,
    filaments,
    mitochondria,
    nucleus,
)

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda")]
FIELD = Field(40, 50, 0.11)


def seeded() -> torch.Generator:
    return torch.Generator("cuda").manual_seed(0)


@pytest.mark.parametrize("camera", [IdealCamera(), ScmosCamera(), EmccdCamera(), MinimumSubtractedCamera()])
@pytest.mark.parametrize(
    "background", [NoBackground(), UniformBackground(), SuperGaussianBackground(), SmoothBackground()]
)
def test_cameras_and_backgrounds_stay_on_the_gpu(camera: Camera, background: Background) -> None:
    expected = background.draw(3, FIELD, seeded())
    counts = camera.expose(expected, seeded())
    assert expected.is_cuda and counts.is_cuda and camera.to_photons(counts).is_cuda
    assert counts.isfinite().all()


def test_emitters_and_structures_are_drawn_on_the_gpu_and_patches_added_there() -> None:
    prior = EmitterPrior(photons=GammaPhotons(), margin_px=(5, 5))
    emitters = prior.draw(3, FIELD, seeded())
    assert emitters.xyz.is_cuda and prior.draw(3, FIELD, seeded(), "cpu").frame.device.type == "cpu"
    for structure in (filaments, mitochondria, ellipsoid_surface, nucleus):
        xyz = structure(100, (3, 3, 2), (5, 5, 2), seeded())
        movie = blink(xyz, torch.full((100,), 9.0, device="cuda"), 50, seeded(), off_time=20, blinks=2)
        assert xyz.is_cuda and movie.photons.is_cuda and len(movie)
    ones = torch.ones(len(emitters), 3, 3, device="cuda")
    corner = (emitters.xyz[:, :2] / 0.11).round().long()
    image = Assembly(corner, emitters.frame, (3, 3), (3, 40, 50)).add(ones)
    assert image.sum().item() == pytest.approx(9 * len(emitters))
