"""Small models for the six masks of the fixed nucleus (`fixed_nucleus.py`), trained on a processor.

    python benchmarks/fixed_nucleus_models.py MODELS [--steps 400 --masks crlb1 crlb2]

Each begins with the weights of the built-in `learned` (all but the last layer, whose depths are others). What
is there already is kept. Optics, depths and focus as the data's owners give them; light and background wide
enough for what `estimate` finds in the snapshots (gain 1.1 to 1.6 ADU/e-, 54,000 to 117,000 photons, 0.14 to
0.31 per µm²).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from deepstorm3d.camera import ScmosCamera
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.io.masks import mask_sha256
from deepstorm3d.jobs.train import build_localizer, build_sampler, model_card
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import ModelFile, save_model_file
from deepstorm3d.localizer.taking_over import take_over
from deepstorm3d.localizing.catalogue import find_model
from deepstorm3d.optics.masks import FileMask
from deepstorm3d.simulation.backgrounds import SuperGaussianBackground
from deepstorm3d.simulation.priors import DensityCount, EmitterPrior, Scene, UniformPhotons
from deepstorm3d.training.checkpoint import RunFiles
from deepstorm3d.training.loop import Progress, train
from fixed_nucleus import DATA, MASKS
from harness import arguments_of

# As in the parameter files of the data's owners for fixed cells. Until 29 November 2026 this had 3.0 for CRLB
# pair, and for the learned pair the 2.7 and 0.3 to 4.6 µm of the masks for tracking.
DEPTHS_UM = (1.0, 4.5)
FOCUS_UM = {"tetra": 3.15, "edof": 3.15, "crlb1": 3.15, "crlb2": 3.15, "learn1": 3.0, "learn2": 3.0}


def experiment_of(name: str, data: Path, steps: int) -> Experiment:
    """The set-up of one snapshot."""
    base = preset("telomeres")
    emitters = EmitterPrior(
        count=DensityCount(low=0.02, high=0.8),
        photons=UniformPhotons(low=8_000.0, high=120_000.0),
        z_um=DEPTHS_UM,
        margin_px=(-14.0, 10.0),
        blur_px=(0.75, 1.0),
    )
    background = SuperGaussianBackground(floor=(5.0, 50.0), peak=(150.0, 500.0))
    return base.with_(
        name=f"fixed-nucleus-{name}",
        microscope=base.microscope.with_(wavelength=0.605, na=1.49, focus=FOCUS_UM[name]),
        mask=FileMask(path=str(data / f"{MASKS[name]}.tif")),
        camera=ScmosCamera(baseline=225.0, gain=1.25, read_noise=12.0),
        frame_px=(155, 155),
        scenes={"nucleus": Scene(emitters=emitters, background=background)},
        network=CoarseSpec(channels=64),
        training=TrainingSpec(
            steps=steps,
            batch=4,
            crop_px=64,
            learning_rate=1e-3,
            warmup_steps=100,
            validate_every=max(1, steps // 3),
            validation_crops=24,
        ),
    )


def trained(experiment: Experiment, before: ModelFile, metrics: Path) -> ModelFile:
    """One model that begins with the weights of another; the mask goes into it by its SHA-256 alone."""
    device = torch.device("cpu")
    phase = experiment_mask(experiment)().detach().float()
    named = experiment.with_(mask=FileMask(path="", sha256=mask_sha256(phase.numpy())))
    localizer, sampler = build_localizer(experiment), build_sampler(experiment)
    take_over(localizer, before.weights)

    def tell(progress: Progress) -> None:
        if progress.validation is not None:
            print(experiment.name, progress.step, progress.validation.score.jaccard, flush=True)

    validation = train(
        localizer, sampler, experiment.training, files=RunFiles(metrics=metrics), after_step=tell
    )
    assert validation is not None
    card = model_card(named, validation, metrics, device)
    return ModelFile(named.to_mapping(), localizer.state_dict(), localizer.threshold, None, card)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--steps", type=int, default=400, help="of each model")
    parser.add_argument("--masks", nargs="+", choices=MASKS, default=list(MASKS))
    arguments = arguments_of(parser)
    arguments.models.mkdir(parents=True, exist_ok=True)
    before = find_model("learned")
    for name in arguments.masks:
        path = arguments.models / f"{name}.pt"
        if not path.exists():
            experiment = experiment_of(name, arguments.data, arguments.steps)
            save_model_file(trained(experiment, before, path.with_suffix(".metrics.jsonl")), path)


if __name__ == "__main__":
    main()
