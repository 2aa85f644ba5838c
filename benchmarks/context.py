"""A network that sees the frames before and after each, against one that sees the frame only.

Both are trained for the same number of steps on the same scene: the astigmatic lens of the preset `quickstart`,
molecules that switch on at a random time and shine evenly for an exponential time of 3 frames on average, 6,000
photons each in all, on a background of 20 photons a pixel. Their first and last frame are dim. Rows with fewer
than 200 photons are not labelled in training, and are neither hits nor misses here. Movies of 64×64 pixels with
a known truth are localized by each network alone, and (--fitted) with the joint fit of single frames behind it.

  python benchmarks/context.py train 1 CONTEXT.pt --steps 1500     a network that sees one frame on each side
  python benchmarks/context.py train 0 SINGLE.pt --steps 1500      the same for the frame only
  python benchmarks/context.py compare SINGLE.pt CONTEXT.pt        the table
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from deepstorm3d.analysis.matching import match
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import psf_source
from deepstorm3d.experiment.presets import preset
from deepstorm3d.field import Field
from deepstorm3d.jobs.train import train_model
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizer.neighbours import with_neighbours
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.simulation.counts import DensityCount
from deepstorm3d.simulation.lifetimes import ExponentialBlinking
from deepstorm3d.simulation.photons import FixedPhotons
from deepstorm3d.simulation.simulator import Simulator

PHOTONS, LIFE, DIMMEST = 6000.0, 3.0, 200.0
DENSITIES = (0.2, 0.5, 1.0)  # molecules with light in a frame, per µm²
TOLERANCE_UM, BORDER_PX = 0.15, 4
SEED = 7


def experiment_of(context: int, steps: int) -> Experiment:
    """The set-up of both networks."""
    base = preset("quickstart")
    scene = base.scene()
    emitters = scene.emitters.with_(
        photons=FixedPhotons(photons=PHOTONS),
        blinking=ExponentialBlinking(mean_frames=LIFE),
        min_photons=DIMMEST,
    )
    return base.with_(
        name=f"context-{context}",
        scenes={"main": scene.with_(emitters=emitters)},
        network=CoarseSpec(channels=32, skip=16, dilations=(1, 2, 4, 2, 1), context=context),
        training=base.training.with_(steps=steps, batch=8, crop_px=40, validate_every=500, validation_crops=96),
    )


def movie_of(experiment: Experiment, density: float, frames: int) -> tuple[Tensor, Emitters]:
    """Photons (F, H, W) of a movie of this density, and what is in it."""
    field = Field(*experiment.frame_px, experiment.microscope.pixel_um)
    source = psf_source(experiment)
    psf = experiment.psf.tabulate(experiment.microscope, source, experiment.z_um, experiment.blur_px)
    simulator = Simulator(psf, experiment.camera, field)
    scene = experiment.scene()
    prior = scene.emitters.with_(count=DensityCount(low=density, high=density), margin_px=(-6.0, -6.0))
    generator = torch.Generator().manual_seed(SEED)
    truth = prior.draw_movie(frames, field, generator)
    background = scene.background.draw(frames, field, generator)
    return simulator.to_photons(simulator(truth, background, generator)), truth


def ends_of(truth: Emitters) -> Tensor:
    """Whether each row is in the first or the last frame of a molecule that shines in several: (N,) bool."""
    number = int(truth.id.max()) + 1
    first = torch.full((number,), 10**9).scatter_reduce(0, truth.id, truth.frame, "amin")[truth.id]
    last = torch.full((number,), -1).scatter_reduce(0, truth.id, truth.frame, "amax")[truth.id]
    return ((truth.frame == first) | (truth.frame == last)) & (last > first)


def figures(truth: Emitters, found: Localizations, experiment: Experiment) -> list[str]:
    """Cells of a row: Jaccard, found of dim ends, of other rows, false rows, RMSE lateral · axial."""
    pixel_um, (height, width) = experiment.microscope.pixel_um, experiment.frame_px
    edges = (-0.5 * pixel_um, -0.5 * pixel_um, (width - 0.5) * pixel_um, (height - 0.5) * pixel_um)
    border = BORDER_PX * pixel_um
    pairs = match(
        truth, found, tolerance_um=TOLERANCE_UM, min_photons=DIMMEST, field_um=edges, border_um=border
    )
    hit = torch.zeros(len(truth), dtype=torch.bool)
    hit[pairs.truth_index] = True
    used = torch.zeros(len(found), dtype=torch.bool)
    used[pairs.found_index] = True
    counted, ends = ~pairs.truth_ignored, ends_of(truth)
    false = int((~used & ~pairs.found_ignored).sum())
    cells = [f"{int((hit & counted).sum()) / (int(counted.sum()) + false):.3f}"]
    for group in (ends & counted, ~ends & counted):
        there, total = int((hit & group).sum()), int(group.sum())
        cells.append(f"{there} of {total} ({there / max(1, total):.3f})")
    kept = counted[pairs.truth_index]
    error = 1000 * (found.xyz[pairs.found_index] - truth.xyz[pairs.truth_index])[kept]
    lateral, axial = error[:, :2].square().sum(1).mean().sqrt(), error[:, 2].square().mean().sqrt()
    return [*cells, str(false), f"{lateral:.1f} · {axial:.1f}"]


def train(context: int, out: Path, steps: int) -> None:
    """Train one of the networks."""
    began = time.process_time()
    validation = train_model(experiment_of(context, steps), out)
    assert validation is not None
    print(f"{steps} steps, {time.process_time() - began:.0f} s of a processor: {validation.to_mapping()}")


def compare(models: list[Path], frames: int, *, fitted: bool) -> None:
    """Print the rows of every density, model and way."""
    print("| per µm² | network | way | Jaccard | ends found | other rows found | false | RMSE, nm |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for density in DENSITIES:
        for path in models:
            model = load_model_file(path)
            for refine in (False, True) if fitted else (False,):
                pipeline = load_pipeline(model, refine=refine)
                photons, truth = movie_of(pipeline.experiment, density, frames)
                around = with_neighbours(photons, pipeline.context)
                found = pipeline.localize(photons, around=around)
                cells = figures(truth, found, pipeline.experiment)
                way = "with joint fit" if refine else "network alone"
                row = [f"{density:g}", pipeline.experiment.network.describe(), way, *cells]
                print("| " + " | ".join(row) + " |", flush=True)


def main() -> None:
    """Run one of the commands in the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("context", type=int)
    training.add_argument("out", type=Path)
    training.add_argument("--steps", type=int, default=1500)
    comparing = commands.add_parser("compare")
    comparing.add_argument("models", type=Path, nargs="+")
    comparing.add_argument("--frames", type=int, default=60)
    comparing.add_argument("--fitted", action="store_true", help="with the joint fit, too")
    given = parser.parse_args()
    if given.command == "train":
        train(given.context, given.out, given.steps)
    else:
        compare(given.models, given.frames, fitted=given.fitted)


if __name__ == "__main__":
    main()
