"""One emitter at every depth: error of the fits over the Cramér-Rao bound, bias over σ.

Frames of 101×101 pixels, one emitter within half a pixel of the middle, uniform background, blur 1 px,
through the model's mask on the largest patch. Ways:

  joint   the joint fit of `localize` from the truth disturbed by 50 nm, without its search: it fits a
          background surface and the blur too;
  mle     the fit of `localize --method mle`, which finds the spot by itself (one level of background).

Bound: of x, y, z with photons and one level of background (optics/fisher.py). A detection farther than 300 nm
from the truth counts as lost, a second one in a frame as false; neither enters the errors.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from accuracy import SEED, simulator_of
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.field import Field
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.single import SingleFit
from deepstorm3d.localizer.modelfile import ModelFile, load_model_file
from deepstorm3d.localizing.fits import build_fit
from deepstorm3d.localizing.pipeline import experiment_of
from deepstorm3d.optics.fisher import crlb
from deepstorm3d.simulation.simulator import Simulator
from harness import arguments_of, report

SIDE, BATCH, LOST_UM = 101, 100, 0.3
LEVELS = ((30_000.0, 150.0), (3_000.0, 20.0), (1_000.0, 5.0))


def draw(
    simulator: Simulator, z: Tensor, photons: float, background: float, seed: int
) -> tuple[Emitters, Tensor]:
    """One emitter a frame at depths z (N,), and the frames."""
    generator = torch.Generator().manual_seed(seed)
    place = (torch.rand(len(z), 2, generator=generator) - 0.5 + SIDE // 2) * simulator.psf.pixel_um
    rows = torch.arange(len(z))
    truth = Emitters(torch.cat([place, z[:, None]], 1), rows, torch.full_like(z, photons), rows)
    return truth, simulator(truth, torch.full((len(z), SIDE, SIDE), background), generator)


def nearest(truth: Emitters, found: Localizations) -> Tensor:
    """Row of the detection nearest to each frame's emitter within 300 nm, else −1: (N,)."""
    distance = (found.xyz - truth.xyz[found.frame]).norm(dim=1)
    best = torch.full((len(truth),), LOST_UM).scatter_reduce(0, found.frame, distance, "amin")
    row = torch.full((len(truth),), -1)
    hit = distance <= best[found.frame]
    row[found.frame[hit]] = hit.nonzero()[:, 0]
    return row


def summary(errors: Tensor, sigmas: Tensor, bound: Tensor) -> dict[str, Any]:
    """Of one depth bin: RMSE over the rms bound, and mean error over the mean σ, in x, y, z."""
    rms = errors.square().mean(0).sqrt() / bound.square().mean(0).sqrt()
    bias = errors.mean(0).abs() / bound.square().mean(0).sqrt()
    return {
        "rmse/bound": [round(float(v), 3) for v in rms],
        "bias/σ": [round(float(v), 3) for v in bias],
        "error/σ": [round(float(v), 3) for v in (errors / sigmas).std(0)],
    }


@dataclass
class Tally:
    """Errors, σ and bounds (n, 3, 3) of one way by depth bin, and what went wrong."""

    bins: list[list[Tensor]]
    lost: int = 0
    false: int = 0

    def add(self, part: int, truth: Emitters, found: Localizations, bound: Tensor) -> None:
        row = nearest(truth, found)
        hit = row >= 0
        self.lost += int((~hit).sum())
        self.false += len(found) - int(hit.sum())
        error = found.xyz[row[hit]] - truth.xyz[hit]
        self.bins[part].append(torch.stack([error, found.sigma_xyz[row[hit]], bound[hit]], 1))

    def row(self) -> dict[str, Any]:
        """All depths together, and the worst bin of each axis."""
        table = [summary(*torch.cat(part).double().unbind(1)) for part in self.bins]
        whole = summary(*torch.cat([torch.cat(part) for part in self.bins]).double().unbind(1))
        return {
            "lost": self.lost,
            "false": self.false,
            "rmse/bound x y z": whole["rmse/bound"],
            "worst bin rmse/bound": [max(part["rmse/bound"][k] for part in table) for k in range(3)],
            "worst bin bias/σ": [max(part["bias/σ"][k] for part in table) for k in range(3)],
            "error/σ": whole["error/σ"],
        }


Way = Callable[[Emitters, Likelihood], Localizations]


def ways_of(model: ModelFile) -> dict[str, Way]:
    """Both fits of a model's experiment."""
    experiment = experiment_of(model)
    mask = experiment_mask(experiment, phase=model.mask)
    joint, single = (build_fit(experiment, mask, method, "cpu") for method in ("network", "mle"))
    assert isinstance(joint, JointFit)
    fit_only = replace(joint, rounds=0)
    assert isinstance(single, SingleFit)

    def from_truth(truth: Emitters, light: Likelihood) -> Localizations:
        generator = torch.Generator().manual_seed(int(1e6 * float(truth.xyz[0, 2])))
        near = truth.xyz + 0.05 * torch.randn(len(truth), 3, generator=generator)
        return fit_only(Localizations.proposals(near, truth.frame, torch.ones(len(truth))), light)

    return {"joint": from_truth, "mle": lambda _, light: single(light)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file that holds its mask")
    parser.add_argument("--bins", type=int, default=10)
    parser.add_argument("--per-bin", type=int, default=400)
    parser.add_argument("--ways", nargs="+", default=["joint", "mle"], choices=["joint", "mle"])
    arguments = arguments_of(parser)
    bins, number = (2, 20) if arguments.quick else (arguments.bins, arguments.per_bin)
    model = load_model_file(arguments.model)
    experiment = experiment_of(model)
    wide = simulator_of(experiment, model, None, exact=False)
    simulator = Simulator(wide.psf, experiment.camera, Field(SIDE, SIDE, wide.psf.pixel_um))
    ways = {name: way for name, way in ways_of(model).items() if name in arguments.ways}
    edges = torch.linspace(*experiment.z_um, bins + 1)
    rows = []
    for level, (photons, background) in enumerate(LEVELS):
        tallies = {way: Tally([[] for _ in range(bins)]) for way in ways}
        for part in range(bins):
            for first in range(0, number, BATCH):
                seed = SEED + 31 * level + 1000 * part + first
                share = torch.rand(min(BATCH, number - first), generator=torch.Generator().manual_seed(seed))
                z = edges[part] + share * (edges[part + 1] - edges[part])
                truth, frames = draw(simulator, z, photons, background, seed)
                floor = torch.full_like(z, background)
                bound = crlb(simulator.psf, truth.xyz, truth.photons, floor)[:, :3]
                for way, fit in ways.items():
                    tallies[way].add(part, truth, fit(truth, Likelihood(frames)), bound)
        for way, tally in tallies.items():
            rows.append({"photons": photons, "background": background, "way": way} | tally.row())
            print(rows[-1], flush=True)
    report("One emitter", rows, arguments, model=experiment.name, bins=bins, per_bin=number)


if __name__ == "__main__":
    main()
