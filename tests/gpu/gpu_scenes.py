"""A small set-up for what must come out alike on the processor and on a GPU: seconds of work for all of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from deepstorm3d.emitters import Emitters
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.field import Field
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.jobs.train import build_localizer
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.mixture import MixtureSpec
from deepstorm3d.localizer.modelfile import ModelFile
from deepstorm3d.localizer.network import NetworkSpec
from deepstorm3d.localizer.voxel import VoxelSpec
from deepstorm3d.localizing.fits import Method
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.simulation.simulator import Simulator

SIZE = (40, 44)
# x, y (µm), depth (a share of the range): two that overlap.
PLACES = torch.tensor([[1.7, 2.0, 0.2], [2.3, 2.1, 0.8]])
NETWORKS: dict[str, NetworkSpec] = {
    "coarse": CoarseSpec(channels=8, skip=4, dilations=(1, 2)),
    "mixture": MixtureSpec(channels=8, skip=4, dilations=(1, 2), head=8),
    "voxel": VoxelSpec(channels=8, planes=12, upsampling=2, dilations=(1, 2)),
}
TRAINING = TrainingSpec(
    steps=4,
    batch=2,
    crop_px=24,
    warmup_steps=2,
    validate_every=4,
    validation_crops=2,
    checkpoint_every=2,
    half_precision=False,
)


@cache
def experiment(network: str = "coarse", *, blurred: bool = False) -> Experiment:
    """The tutorial's set-up with a patch of 21 px and a tiny network.

    blurred: molecules of 1.05 to 1.25 px, so that the fit gives each a blur of its own.
    """
    base = preset("quickstart")
    scene = base.scene()
    emitters = scene.emitters.with_(blur_px=(1.05, 1.25) if blurred else None)
    return base.with_(
        psf=base.psf.with_(patch_px=21, pupil_oversampling=2),
        microscope=base.microscope.with_(mask_pitch=90.0),
        network=NETWORKS[network],
        training=TRAINING,
        scenes={"main": scene.with_(emitters=emitters)},
    )


@cache
def model(network: str = "coarse", *, blurred: bool = False) -> ModelFile:
    """A network of random weights that finds nonsense, some ten molecules a frame, but always the same."""
    setup = experiment(network, blurred=blurred)
    localizer = build_localizer(setup)
    localizer.measure_normalisation(photons())
    localizer.eval()
    with torch.no_grad():
        raw = localizer(photons())
    thresholds = (0.5 * 0.9**step for step in range(200))
    threshold = next(value for value in thresholds if len(localizer.network.decode(raw, value)) >= 16)
    return ModelFile(setup.to_mapping(), localizer.state_dict(), threshold, None, {})


@cache
def pipeline(
    device: str,
    method: Method = "network",
    *,
    network: str = "coarse",
    refine: bool = True,
    blurred: bool = False,
) -> Pipeline:
    """That model at work on a device."""
    found = model(network, blurred=blurred)
    made = load_pipeline(found, method=method, refine=refine, threshold=found.threshold, device=device)
    # One round of adding instead of eight: enough here.
    return replace(made, fit=replace(made.fit, rounds=1)) if isinstance(made.fit, JointFit) else made


def molecules(frames: int = 2) -> Emitters:
    """The molecules at `PLACES` in each frame, of 6,000 photons: on the CPU."""
    low, high = experiment().z_um
    xyz = PLACES.repeat(frames, 1)
    xyz[:, 2] = low + (high - low) * xyz[:, 2]
    rows = torch.arange(len(xyz))
    return Emitters(xyz, rows // len(PLACES), torch.full((len(xyz),), 6000.0), rows)


@cache
def photons(frames: int = 2) -> Tensor:
    """Frames (B, 40, 44) of these molecules over 20 photons with shot noise, made on the CPU."""
    setup = experiment()
    psf = setup.psf.tabulate(setup.microscope, experiment_mask(setup), setup.z_um, (1.0, 1.0))
    simulator = Simulator(psf, setup.camera, Field(*SIZE, psf.pixel_um))
    mean = simulator.expected(molecules(frames), torch.full((frames, *SIZE), 20.0))
    return torch.poisson(mean, generator=torch.Generator().manual_seed(8))
