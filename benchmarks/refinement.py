"""How close to the physical limit: network, joint fit, matching pursuit and single-emitter fits.

Frames and matching as in accuracy.py (121×121 pixels, a free border of 20, Fig. 2 and Fig. 4 conditions,
Hungarian within 150 nm in 3D). Ways:

  network   the model alone, at its own threshold;
  refined   what `localize` gives: proposals, joint fit, selection, joint fit with a blur for each molecule;
  truth     the joint fit alone from the true positions disturbed by 100 nm (1σ in each axis), no search;
  pursuit   matching pursuit: from an empty list;
  mle       single-emitter fits.

Bound: the joint Cramér-Rao bound of all true emitters of the frame with one level of background, root mean
square over the emitters that the way found (a molecule missed does not count in its RMSE either).
"error/σ": standard deviation of the error over the σ that the fit reports; "68 %": the share of errors
within that σ.
Quality: mean deviance per pixel under the molecules' spots, in frames whose list is complete and in the others.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from accuracy import MARGIN_PX, SEED, SIDE, TOLERANCE_UM, scene_of, simulator_of
from deepstorm3d.analysis.matching import match
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.information import joint_bounds
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import LinearImage
from deepstorm3d.fitting.state import JointState
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.simulation.priors import FixedCount, Scene
from deepstorm3d.simulation.simulator import Simulator
from harness import arguments_of, report

COUNTS = (1, 5, 10, 20, 35, 50, 75, 100, 150)
WAYS = ("network", "refined", "truth", "pursuit", "mle")
DISTURBED_UM = 0.1
Way = Callable[[Tensor, Emitters], Localizations]


def ways_of(model_path: Path, mask: Path | None, device: str) -> tuple[Pipeline, dict[str, Way]]:
    """The pipeline of `localize`, and every way to a list."""
    model = load_model_file(model_path)
    plain = load_pipeline(model, mask=mask, refine=False, device=device)
    refined = load_pipeline(model, mask=mask, refine=True, device=device)
    pursuit = load_pipeline(model, mask=mask, method="pursuit", device=device)
    single = load_pipeline(model, mask=mask, method="mle", device=device)
    assert isinstance(refined.fit, JointFit)
    fit_only = dataclasses.replace(refined.fit, rounds=0)

    def from_truth(photons: Tensor, truth: Emitters) -> Localizations:
        generator = torch.Generator().manual_seed(len(truth))
        xyz = truth.xyz + DISTURBED_UM * torch.randn(truth.xyz.shape, generator=generator).to(truth.xyz)
        start = Localizations.proposals(xyz, truth.frame, torch.ones_like(truth.photons))
        return fit_only(start, refined.likelihood(photons))

    return refined, {
        "network": lambda photons, _: plain.localize(photons),
        "refined": lambda photons, _: refined.localize(photons),
        "truth": from_truth,
        "pursuit": lambda photons, _: pursuit.localize(photons),
        "mle": lambda photons, _: single.localize(photons),
    }


@torch.no_grad()
def bounds(simulator: Simulator, truth: Emitters, background: Tensor) -> Tensor:
    """Joint bound of x, y, z (µm) of every true emitter: (N, 3)."""
    shape = tuple(background.shape)
    level = SplineBackground((shape[1], shape[2]), float("inf"), background)
    mean = background.mean((1, 2))[:, None, None]
    state = JointState(truth.xyz, truth.photons, truth.frame, mean, truth.blur_px)
    image = LinearImage(simulator.psf, state, level, shape)
    if truth.blur_px is not None:
        known = torch.zeros(image.jacobian.shape[:2], dtype=torch.bool)
        known[:, 4] = True
        image.hold(known)
    information = Likelihood(background).information(simulator.expected(truth, background))
    return joint_bounds(image, information)[0][:, :3]


@dataclasses.dataclass
class Tally:
    """Errors and σ of the matched molecules of one way, and what went wrong."""

    errors: list[Tensor] = dataclasses.field(default_factory=list)
    sigmas: list[Tensor] = dataclasses.field(default_factory=list)
    bounds: list[Tensor] = dataclasses.field(default_factory=list)
    complete: list[float] = dataclasses.field(default_factory=list)
    incomplete: list[float] = dataclasses.field(default_factory=list)
    missed: int = 0
    false: int = 0
    seconds: float = 0.0

    def add(self, truth: Emitters, found: Localizations, bound: Tensor) -> None:
        pairs = match(truth, found, tolerance_um=TOLERANCE_UM)
        t, f = pairs.truth_index, pairs.found_index
        self.missed += len(truth) - len(pairs)
        self.false += len(found) - len(pairs)
        self.errors.append(
            torch.cat([found.xyz[f] - truth.xyz[t], (found.photons[f] - truth.photons[t])[:, None]], 1)
        )
        self.sigmas.append(torch.cat([found.sigma_xyz[f], found.sigma_photons[f, None]], 1))
        self.bounds.append(bound[t])
        hit = torch.zeros(len(truth), dtype=torch.bool)
        hit[t] = True
        right = torch.zeros(len(found), dtype=torch.bool)
        right[f] = True
        for frame in truth.frame.unique():
            here = found.frame == frame
            if here.any():
                whole = bool(hit[truth.frame == frame].all()) and bool(right[here].all())
                (self.complete if whole else self.incomplete).append(float(found.fit_quality[here].mean()))

    def row(self, frames: int) -> dict[str, Any]:
        errors, sigmas, bound = (torch.cat(c).double() for c in (self.errors, self.sigmas, self.bounds))
        rms, least = errors[:, :3].square().mean(0).sqrt(), bound.square().mean(0).sqrt()
        row: dict[str, Any] = {
            "jaccard": len(errors) / max(1, len(errors) + self.missed + self.false),
            "missed": self.missed,
            "false": self.false,
            "rmse nm x y z": [round(float(v), 1) for v in 1000 * rms],
            "lateral nm": round(float(1000 * rms[:2].square().sum().sqrt()), 1),
            "axial nm": round(float(1000 * rms[2]), 1),
            "bound nm x y z": [round(float(v), 1) for v in 1000 * least],
            "rmse/bound": [round(float(v), 2) for v in rms / least],
        }
        if bool((sigmas > 0).all()) and len(errors) > 2:
            pull = errors / sigmas
            row["error/σ x y z N"] = [round(float(v), 2) for v in pull.std(0)]
            row["68 % x y z N"] = [round(float(v), 2) for v in (pull.abs() < 1).double().mean(0)]
        for name, values in (("quality complete", self.complete), ("quality incomplete", self.incomplete)):
            row[name] = round(sum(values) / len(values), 3) if values else ""
        row["s/frame"] = round(self.seconds / frames, 2)
        return row


def measure(
    ways: dict[str, Way], simulator: Simulator, scene: Scene, count: int, frames: int, batch: int = 8
) -> dict[str, Tally]:
    """Every way on the same frames with `count` emitters each."""
    generator = torch.Generator().manual_seed(SEED + 5000 + count)
    prior = scene.emitters.with_(count=FixedCount(count=count))
    tallies = {name: Tally() for name in ways}
    for first in range(0, frames, batch):
        now = min(batch, frames - first)
        truth = prior.draw(now, simulator.field, generator)
        background = scene.background.draw(now, simulator.field, generator)
        photons = simulator.to_photons(simulator(truth, background, generator))
        bound = bounds(simulator, truth, background)
        for name, way in ways.items():
            start = time.perf_counter()
            found = way(photons, truth)
            tallies[name].seconds += time.perf_counter() - start
            tallies[name].add(truth, found, bound)
    return tallies


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Jaccard index, lateral and axial RMSE against the number of emitters, with the bound."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    titles = {"fig2": "30,000 photons over 150", "fig4": "10,000 to 60,000 photons, a nucleus"}
    names = {
        "network": "network alone", "refined": "network + joint fit", "truth": "joint fit from near the truth",
        "pursuit": "matching pursuit", "mle": "single-emitter fits",
    }  # fmt: skip
    colours = {"network": "C0", "refined": "C3", "truth": "C2", "pursuit": "C1", "mle": "C7"}
    panels = (("jaccard", "Jaccard index"), ("lateral nm", "lateral RMSE, nm"), ("axial nm", "axial RMSE, nm"))
    figure, axes = pyplot.subplots(
        len(conditions), 3, figsize=(12, 3.6 * len(conditions)), squeeze=False, layout="constrained"
    )
    for line, condition in zip(axes, conditions, strict=True):
        here = [row for row in rows if row["condition"] == condition]
        for axis, (key, label) in zip(line, panels, strict=True):
            for way, name in names.items():
                # Where next to nothing is found, the error of what is left says nothing.
                known = [
                    (row["N"], row[key])
                    for row in here
                    if row["way"] == way and (key == "jaccard" or row["jaccard"] >= 0.2)
                ]
                if known:
                    axis.plot(*zip(*known, strict=True), marker="o", ms=4, color=colours[way], label=name)
            if key != "jaccard":
                limit = [(row["N"], row["bound nm x y z"]) for row in here if row["way"] == "truth"]
                value = [(v[0] ** 2 + v[1] ** 2) ** 0.5 if key == "lateral nm" else v[2] for _, v in limit]
                axis.plot([n for n, _ in limit], value, "k--", lw=1.5, label="joint Cramér-Rao bound")
                axis.set_ylim(0, 60)
            else:
                axis.set_ylim(0, 1.03)
            axis.set(
                xlabel="emitters in a frame (79 µm²)", ylabel=label, title=titles.get(condition, condition)
            )
            axis.grid(alpha=0.3)
    handles, labels = axes[0][1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=9)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file")
    parser.add_argument("--scene", nargs="+", default=["fig2", "fig4"], help="fig2, fig4 or the model's own")
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS), help="emitters in a frame")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--emitters-per-point", type=int, default=400)
    parser.add_argument("--mask", type=Path, help="the mask, where the model holds only its hash")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.counts, arguments.emitters_per_point = [5], 10
    pipeline, ways = ways_of(arguments.model, arguments.mask, arguments.device)
    experiment = pipeline.experiment
    model = load_model_file(arguments.model)
    simulator = simulator_of(experiment, model, arguments.mask, exact=False).to(arguments.device)
    inner_um2 = ((SIDE - 2 * MARGIN_PX) * experiment.microscope.pixel_um) ** 2
    rows = []
    for name in arguments.scene:
        for count in arguments.counts:
            frames = max(4, -(-arguments.emitters_per_point // count))
            chosen = {way: ways[way] for way in arguments.ways}
            tallies = measure(chosen, simulator, scene_of(name, experiment), count, frames)
            for way, tally in tallies.items():
                about = {"condition": name, "N": count, "N/µm²": round(count / inner_um2, 3), "way": way}
                rows.append(about | tally.row(frames))
                print(rows[-1], flush=True)
    report("To the physical limit", rows, arguments, model=experiment.name)
    if arguments.plot:
        plot(rows, arguments.plot)


if __name__ == "__main__":
    main()
