"""Pairs of masks against single ones at equal photons: what `localize` finds, and how well.

    python benchmarks/pairs_of_masks.py MODELS [--counts 10 35 75]

The masks of the fixed nucleus (`fixed_nucleus.py`) and the small models trained for them
(`fixed_nucleus_models.py`). One truth for all: 121×121 px with a border of 20 px, 20,000 to 120,000 photons a
molecule and a nucleus-shaped background. A single mask gets all light and background; a pair divides both in
halves. Candidates from each model's network, then the joint fit, for a pair in both channels together. Matched
within 150 nm in 3D (Hungarian).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

import deepstorm3d as ds
from deepstorm3d.analysis.matching import match
from deepstorm3d.analysis.metrics import score
from deepstorm3d.channels import ChannelPair, Transform
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.field import Field
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.pipeline import experiment_of
from deepstorm3d.optics.masks import FileMask
from deepstorm3d.simulation.backgrounds import SuperGaussianBackground
from deepstorm3d.simulation.priors import EmitterPrior, Scene, UniformPhotons
from fixed_nucleus import DATA, MASKS
from harness import arguments_of, report

PAIRS = (("tetra", "edof"), ("crlb1", "crlb2"), ("learn1", "learn2"))
SIDE, BORDER_PX, TOLERANCE_UM = 121, 20.0, 0.15


def scene() -> Scene:
    """What all frames show."""
    emitters = EmitterPrior(
        photons=UniformPhotons(low=20_000.0, high=120_000.0),
        z_um=(1.0, 4.5),
        margin_px=(BORDER_PX, BORDER_PX),
        blur_px=(0.75, 1.0),
    )
    return Scene(emitters=emitters, background=SuperGaussianBackground(floor=(20.0, 30.0), peak=(150.0, 225.0)))


def set_up(name: str, models: Path, data: Path) -> Experiment:
    """The set-up that a mask's model was trained for, with this scene."""
    trained = experiment_of(load_model_file(models / f"{name}.pt"))
    mask = FileMask(path=str(data / f"{MASKS[name]}.tif"))
    return trained.with_(mask=mask, frame_px=(SIDE, SIDE), scenes={"nucleus": scene()})


def row_of(truth: Emitters, found: Localizations, spent: float) -> dict[str, object]:
    """Figures of a list."""
    pairs = match(truth, found, tolerance_um=TOLERANCE_UM)
    figures = score(truth, found, pairs)
    error = found.xyz[pairs.found_index].double() - truth.xyz[pairs.truth_index].double()
    pull = error / found.sigma_xyz[pairs.found_index].double()
    return {
        "jaccard": round(figures.jaccard, 3),
        "missed": figures.fn,
        "false": figures.fp,
        "lateral nm": figures.rmse_lateral_nm,
        "axial nm": figures.rmse_axial_nm,
        "error/sigma": [round(value, 2) for value in pull.square().mean(0).sqrt().tolist()],
        "median": [round(value, 2) for value in (pull.abs().median(0).values / 0.6745).tolist()],
        "cpu s": round(spent, 1),
    }


def measured(
    names: tuple[str, ...], count: int, frames: int, arguments: argparse.Namespace
) -> dict[str, object]:
    """A row of one mask with all of the light, or of two with a half each."""
    experiments = [set_up(name, arguments.models, arguments.data) for name in names]
    models = [
        ds.load_model(arguments.models / f"{name}.pt", mask=arguments.data / f"{MASKS[name]}.tif")
        for name in names
    ]
    first = experiments[0]
    if len(names) == 1:
        counts, truth = ds.simulate(first, frames, emitters=count, seed=arguments.seed)
        begun = time.process_time()
        found = models[0].localize(counts, over_frames=False)
    else:
        second = experiments[1]
        channel = Channel(light=0.5, mask=second.mask, focus=second.microscope.focus)
        both = first.with_(channels={"second": channel})
        movies, truth = ds.simulate_channels(both, frames, emitters=count, seed=arguments.seed)
        field = Field(SIDE, SIDE, first.microscope.pixel_um)
        same = ChannelPair(Transform.identity(), (0.0, 0.0), (field, field))
        begun = time.process_time()
        found = ds.localize_channels(movies["first"], movies["second"], models, transform=same)
    spent = time.process_time() - begun
    return {"emitters": count, "frames": frames, "masks": " + ".join(names)} | row_of(truth, found, spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 35, 75], help="emitters in a frame")
    parser.add_argument("--emitters", type=int, default=140, help="true rows for each number (default: 140)")
    parser.add_argument("--masks", nargs="+", choices=MASKS, default=list(MASKS), help="with their pairs")
    parser.add_argument("--seed", type=int, default=1)
    arguments = arguments_of(parser)
    if not arguments.data.exists():
        print(f"skipped: the masks are not at {arguments.data}")
        return
    torch.set_grad_enabled(False)
    ways = [(name,) for name in arguments.masks] + [pair for pair in PAIRS if set(pair) <= set(arguments.masks)]
    rows = []
    for count in arguments.counts:
        frames = 1 if arguments.quick else -(-arguments.emitters // count)
        for names in ways:
            rows.append(measured(names, count, frames, arguments))
            print(rows[-1], flush=True)
    report("Pairs of masks at equal photons", rows, arguments)


if __name__ == "__main__":
    main()
