"""Small models for the two masks of the live nucleus (`live_nucleus.py`), trained on a processor.

    python benchmarks/live_nucleus_models.py MODELS

The first mask's network begins with the weights of the built-in `learned`, the second with those of the first.
What is there already is kept.
Optics, depths and focus as the data's owners give them for the pair that they track with; camera from the
variance of the movies' own pixels over their mean (about 1 ADU/e- and a count of 95 without light).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepstorm3d.camera import ScmosCamera
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.experiment.training_settings import TrainingSpec
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import load_model_file, save_model_file
from deepstorm3d.localizing.catalogue import find_model
from deepstorm3d.optics.masks import FileMask
from deepstorm3d.simulation.backgrounds import SuperGaussianBackground
from deepstorm3d.simulation.photons import GammaPhotons
from deepstorm3d.simulation.priors import DensityCount, EmitterPrior, Scene
from fixed_nucleus import DATA
from fixed_nucleus_models import trained
from harness import arguments_of

MASKS = {"track1": "mask_learned_tracking1", "track2": "mask_learned_tracking2"}
CAMERA = ScmosCamera(baseline=95.0, gain=1.0, read_noise=1.6)


def experiment_of(name: str, data: Path, steps: int) -> Experiment:
    """The set-up of one camera."""
    base = preset("telomeres")
    emitters = EmitterPrior(
        count=DensityCount(low=0.02, high=0.6),
        photons=GammaPhotons(shape=1.2, scale=30_000.0),
        z_um=(0.3, 4.6),
        margin_px=(-14.0, 10.0),
        blur_px=(0.75, 1.0),
        min_photons=2_000.0,
    )
    background = SuperGaussianBackground(floor=(10.0, 60.0), peak=(60.0, 400.0))
    return base.with_(
        name=f"live-nucleus-{name}",
        microscope=base.microscope.with_(wavelength=0.605, na=1.49, focus=2.7),
        mask=FileMask(path=str(data / f"{MASKS[name]}.tif")),
        camera=CAMERA,
        frame_px=(256, 256),
        scenes={"nucleus": Scene(emitters=emitters, background=background)},
        network=CoarseSpec(channels=64),
        training=TrainingSpec(
            steps=steps,
            batch=4,
            crop_px=64,
            learning_rate=1e-3,
            warmup_steps=50,
            validate_every=max(1, steps // 3),
            validation_crops=24,
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--steps", type=int, default=400, help="of each model")
    arguments = arguments_of(parser)
    if not arguments.data.exists():
        raise SystemExit(f"skipped: the data are not at {arguments.data}")
    arguments.models.mkdir(parents=True, exist_ok=True)
    before = find_model("learned")
    for name in MASKS:
        path = arguments.models / f"{name}.pt"
        if not path.exists():
            experiment = experiment_of(name, arguments.data, arguments.steps)
            save_model_file(trained(experiment, before, path.with_suffix(".metrics.jsonl")), path)
        before = load_model_file(path)


if __name__ == "__main__":
    main()
