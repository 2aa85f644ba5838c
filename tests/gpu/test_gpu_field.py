"""A PSF that varies over the field, on a GPU: training crops with the camera's maps, a region of interest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gpu_scenes import experiment, photons

from deepstorm3d.camera import ScmosCamera
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.field import Field
from deepstorm3d.jobs.train import build_sampler
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.optics.field_aberrations import FieldSpec
from factories import untrained_model

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda")]
REAL = torch.cuda.is_available()


def varying(camera: ScmosCamera | None = None) -> Experiment:
    setup = experiment()
    setup = setup.with_(psf=setup.psf.with_(field=FieldSpec(size_px=(60, 70), rises={6: (0.6, 0.3)})))
    return setup if camera is None else setup.with_(camera=camera)


def test_crops_are_drawn_with_their_maps_and_aberrations(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).uniform(50, 150, (60, 70)).astype(np.float32)
    np.save(tmp_path / "baseline.npy", maps)
    setup = varying(ScmosCamera(baseline=str(tmp_path / "baseline.npy"), gain=1.0, read_noise=1.0))
    batches = [
        build_sampler(setup).to(device).draw(6, torch.Generator(device).manual_seed(0))
        for device in ("cuda", "cpu")
    ]
    theirs, ours = (batch.photons.cpu() for batch in batches)
    assert batches[0].photons.device.type == "cuda"
    # The baselines of other pixels would leave down to -100 photons.
    assert min(float(light.min()) for light in (ours, theirs)) > -10
    if not REAL:
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-2)


def test_a_region_is_localized_with_the_psf_of_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepstorm3d.fitting.compiled.can_compile", lambda *_: False)
    region = Field(60, 70, varying().microscope.pixel_um).part((10, 8, 54, 48))
    found = []
    for device in ("cuda", "cpu"):
        made = load_pipeline(untrained_model(varying(), 0.5), method="mle", device=device).in_field(region)
        found.append(made.localize(photons().to(device)).to("cpu"))
    assert len(found[0]) == len(found[1]) >= 2
    torch.testing.assert_close(found[0].xyz, found[1].xyz, rtol=0, atol=0.005)
