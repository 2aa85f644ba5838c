"""Steps that a training saves by starting from a built-in model, beside the same one from random weights.

Preset tetrapod, or storm with a network of that model's 96 channels (other wavelength, relay, depth, camera and
light), through a Tetrapod with --nm of aberration (rms, spread over astigmatism, coma, trefoil and the first
spherical term, Noll 5 to 11, by a fixed draw), crops of 64 px, 6 a step; both trainings see the same frames,
and the same 48 crops to be validated on. "step 0" is the model as it is.

    python benchmarks/start_from.py runs --steps 300                       # one after the other
    python benchmarks/start_from.py runs --steps 300 --only new            # one of them: new, tetrapod
    python benchmarks/start_from.py runs --steps 150 --preset storm --nm 0
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch

from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.jobs.start_of_training import Start, prepare_start
from deepstorm3d.jobs.train import build_localizer, build_sampler, train_model
from deepstorm3d.streams import stream
from deepstorm3d.training.validation import Validation, validate
from deepstorm3d.watch import SILENT

MODEL, MODES, SEED = "tetrapod", range(5, 12), 20


def aberrated(name: str, nm: float, steps: int) -> Experiment:
    """A preset with the model's network, an aberration of `nm` rms, and a short training."""
    base = preset(name).with_(network=preset(MODEL).network)
    draw = torch.randn(len(MODES), generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    phases = draw / draw.norm() * 2 * math.pi * nm / (1000 * base.microscope.wavelength)
    aberrations = {noll: round(float(phase), 4) for noll, phase in zip(MODES, phases, strict=True)}
    training = base.training.with_(
        steps=steps, crop_px=64, batch=6, warmup_steps=100, validate_every=50, half_precision=False
    )
    return base.with_(name=f"{name}, {nm:g} nm", psf=base.psf.with_(aberrations=aberrations), training=training)


def untouched(experiment: Experiment) -> Validation:
    """How the built-in model does on the validation frames before the first step."""
    localizer, sampler = build_localizer(experiment), build_sampler(experiment)
    prepare_start(localizer, experiment, Start(model=MODEL), Path("none"), SILENT)
    spec = experiment.training
    with torch.no_grad():
        frames = sampler.draw(spec.validation_crops, stream(experiment.seed, "validation", sampler.device))
    localizer.measure_normalisation(frames.seen)
    return validate(localizer.eval(), frames, experiment.microscope.pixel_um, half_precision=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--preset", choices=(MODEL, "storm"), default=MODEL)
    parser.add_argument("--nm", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--only", choices=("new", MODEL))
    arguments = parser.parse_args()
    arguments.folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    experiment = aberrated(arguments.preset, arguments.nm, arguments.steps)
    print(f"aberrations (rad rms): {experiment.psf.aberrations}")
    print(f"step 0 of {MODEL}: {untouched(experiment).to_mapping()}", flush=True)
    for name in ("new", MODEL) if arguments.only is None else (arguments.only,):
        out = arguments.folder / f"{name}.pt"
        train_model(experiment, out, start=Start(model=None if name == "new" else MODEL))
        for line in out.with_suffix(".metrics.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if "jaccard" in row:
                keys = ("step", "jaccard", "rmse_lateral_nm", "rmse_axial_nm", "seconds")
                print(name, {key: row[key] for key in keys}, flush=True)


if __name__ == "__main__":
    main()
