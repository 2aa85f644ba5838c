"""Two planes of focus at the densities of DECODE-Plex: a network that sees both, and the joint fit behind it.

The preset `biplane`: two vectorial PSFs focused 500 nm apart, half of the light each, pixels of 100 nm, 5,000
± 1,250 photons in all, 50 photons of background a pixel in each plane, molecules within 600 nm of the middle.
Frames of 64×64 px; molecules up to 6 px outside of them shine into them. DECODE-Plex measured its own bead PSF,
which is not public.

  python benchmarks/biplane.py train MODEL.pt --steps 12000     a small network, on one processor core
  python benchmarks/biplane.py sweep MODEL.pt --molecules 400   the table

All molecules in the frame count, up to its edge. A row is matched within 250 nm laterally and 500 nm axially
(as many pairs as possible, then the least distance); lateral errors are sqrt(dx² + dy²). Ways: the list of the
network at its own threshold; the joint fit of both planes behind it; the joint fit from the true places, which
no candidates can improve. Half of the light of every molecule is in each plane, which the fit takes as known
(`--free-shares`: not).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import deepstorm3d as ds
from channel_bounds import joint_bounds
from deepstorm3d.analysis.matching import match
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.field import Field
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.sites.candidates import CandidatesFit
from deepstorm3d.fitting.sites.channels import ChannelsFit, FurtherChannel
from deepstorm3d.jobs.start_of_training import Start
from deepstorm3d.jobs.train import train_model
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.channel_pipelines import channel_pipelines
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.simulation.counts import DensityCount
from harness import environment

PRINTED = {
    0.03: (0.901, 19.8, 44.9),
    0.35: (0.915, 22.1, 46.8),
    1.2: (0.860, 28.2, 63.5),
    3.0: (0.744, 38.7, 95.0),
}
"""DECODE-Plex by density, per µm²: Jaccard index, lateral and axial RMSE in nm."""
LATERAL_UM = 0.25
AXIAL_UM = 0.5
NORMAL_MEDIAN = 0.6745  # of the absolute value of a standard normal


def experiment_of(steps: int) -> Experiment:
    """The preset with a small network, and sparse frames as often as dense ones."""
    base = preset("biplane")
    scene = base.scene()
    ranges = {"sparse": (0.02, 0.8), "dense": (0.8, 3.4)}
    scenes = {
        name: scene.with_(emitters=scene.emitters.with_(count=DensityCount(low=low, high=high)), weight=weight)
        for (name, (low, high)), weight in zip(ranges.items(), (1.0, 2.0), strict=True)
    }
    return base.with_(
        name="biplane-small",
        scenes=scenes,
        network=CoarseSpec(channels=48, skip=16, dilations=(1, 2, 4, 2, 1), plane_um=0.1),
        training=base.training.with_(
            steps=steps, batch=8, crop_px=40, validate_every=1000, validation_crops=96, checkpoint_every=500
        ),
    )


def train(out: Path, steps: int, *, resume: bool) -> None:
    """Train the network; the latest state stands beside it."""
    began = time.process_time()
    validation = train_model(experiment_of(steps), out, start=Start(resume=resume))
    assert validation is not None
    print(f"{steps} steps, {time.process_time() - began:.0f} s of a processor: {validation.to_mapping()}")


class Setup:
    """The image models of both planes, the network at its own threshold and at that of the fit, and the fit.

    path: of the model;  surface: the fit takes a surface of background, as for uneven ones, in place of one
    level in each frame;  free: it does not know how the light is divided.
    """

    def __init__(self, path: Path, *, surface: bool = False, free: bool = False) -> None:
        model = load_model_file(path)
        proposing = load_pipeline(model)
        both = channel_pipelines(proposing, model)
        first, second = (pipeline.fit for pipeline in both.channels)
        assert isinstance(first, JointFit) and isinstance(second, JointFit)
        if surface:
            first, second = (replace(each, spacing_px=JointFit.spacing_px) for each in (first, second))
        pair = both.pair
        self.experiment, self.proposing = proposing.experiment, proposing
        self.alone = proposing.at_threshold(model.threshold)
        self.cameras = [pipeline.camera for pipeline in both.channels]
        self.share, self.free = both.views[1].share, free
        self.fit = ChannelsFit(first, (FurtherChannel(second, pair.transform, pair.depth[0]),))

    def movie(self, density: float, molecules: int, seed: int) -> tuple[list[Likelihood], Emitters]:
        """Frames of both channels with so many molecules in all, and what is in them."""
        scene = self.experiment.scene()
        count = DensityCount(low=density, high=density)
        scene = scene.with_(emitters=scene.emitters.with_(count=count))
        height, width = self.experiment.frame_px
        in_frame = density * height * width * self.experiment.microscope.pixel_um**2
        movies, truth = ds.simulate_channels(
            self.experiment.with_(scenes={"main": scene}), max(2, round(molecules / in_frame)), seed=seed
        )
        lights = [
            Likelihood(camera.to_photons(torch.from_numpy(counts.astype(np.float32)), {}))
            for camera, counts in zip(self.cameras, movies.values(), strict=True)
        ]
        return lights, truth


def candidates(truth: Emitters) -> Localizations:
    """The true places as a list."""
    return Localizations.proposals(truth.xyz.float(), truth.frame, torch.ones(len(truth)))


def figures(truth: Emitters, found: Localizations, bound: Tensor) -> dict[str, object]:
    """Jaccard index, errors in nm and over the joint bound of the same molecules, and over their own σ."""
    pairs = match(truth, found, tolerance_um=LATERAL_UM, axial_um=AXIAL_UM)
    rows, least = found.select(pairs.found_index), bound[pairs.truth_index].double()
    error = rows.xyz.double() - truth.xyz[pairs.truth_index].double()
    squares = error.square().mean(0)
    made: dict[str, object] = {
        "jaccard": round(len(pairs) / (len(truth) + len(found) - len(pairs)), 3),
        "missed": len(truth) - len(pairs),
        "false": len(found) - len(pairs),
        "lateral nm": round(1000 * float(squares[:2].sum().sqrt()), 1),
        "axial nm": round(1000 * float(squares[2].sqrt()), 1),
        "error over bound, median": words(error, least),
    }
    if found.sigma_source == "fit":
        made["error over σ, median"] = words(error, rows.sigma_xyz.double())
    return made


def words(error: Tensor, sigma: Tensor) -> str:
    """Median of |error| over σ, over that of a standard normal, for x, y and z."""
    ratio = (error / sigma).abs().median(0).values / NORMAL_MEDIAN
    return " · ".join(f"{value:.2f}" for value in ratio.tolist())


def sweep(setup: Setup, molecules: int, seed: int, densities: list[float]) -> None:
    """Print the rows of every density and way."""
    fit = CandidatesFit(setup.fit, None if setup.free else (1 - setup.share, setup.share))
    print(environment())
    for density in densities:
        lights, truth = setup.movie(density, molecules, seed)
        frames = torch.stack([light.frames for light in lights], 1)
        bound = joint_bounds(setup.fit, truth, lights, setup.share, known=not setup.free)
        began = time.process_time()
        listed, proposed = setup.alone.propose(frames), setup.proposing.propose(frames)
        seen = time.process_time() - began
        ways = {"network": (listed, seen / 2)}
        for way, start in {"network + fit": proposed, "true places + fit": candidates(truth)}.items():
            began = time.process_time()
            made = fit(start, lights)
            ways[way] = made.localizations, time.process_time() - began
            print(way, "filled", made.filled, "removed", made.removed, "misfit", made.misfit.mean(0).tolist())
        middle = 1000 * bound.double().median(0).values
        said = {"per µm²": density, "frames": len(frames), "true": len(truth)}
        said["bound, median nm"] = " · ".join(f"{value:.1f}" for value in middle.tolist())
        for way, (found, spent) in ways.items():
            inside = found.select(in_frame(setup.experiment, found.xyz))
            row = said | {"way": way} | figures(truth, inside, bound) | {"s": round(spent, 1)}
            print(row, flush=True)
        if density in PRINTED:
            print("DECODE-Plex", *PRINTED[density])


def in_frame(experiment: Experiment, xyz: Tensor) -> Tensor:
    """Which places are on the frame."""
    return Field(*experiment.frame_px, experiment.microscope.pixel_um).inside(xyz)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    jobs = parser.add_subparsers(dest="job", required=True)
    training = jobs.add_parser("train")
    training.add_argument("model", type=Path)
    training.add_argument("--steps", type=int, default=12_000)
    training.add_argument("--resume", action="store_true")
    measuring = jobs.add_parser("sweep")
    measuring.add_argument("model", type=Path)
    measuring.add_argument(
        "--molecules", type=int, default=400, help="true rows of each density (default: 400)"
    )
    measuring.add_argument("--seed", type=int, default=1)
    measuring.add_argument("--densities", type=float, nargs="+", default=list(PRINTED))
    measuring.add_argument("--surface", action="store_true", help="fit a surface of background")
    measuring.add_argument("--free-shares", action="store_true", help="fit the light of each plane by itself")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.job == "train":
        train(arguments.model, arguments.steps, resume=arguments.resume)
    else:
        setup = Setup(arguments.model, surface=arguments.surface, free=arguments.free_shares)
        sweep(setup, arguments.molecules, arguments.seed, arguments.densities)


if __name__ == "__main__":
    main()
