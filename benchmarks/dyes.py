"""Two dyes: how many molecules get the wrong dye, and how many the program says it would be.

In two channels, by the share of the light; with --one-channel by the PSFs of two wavelengths in one.

Frames of 121×121 pixels, the border, blur and background of Fig. 2 of Nehme et al. 2020. Both channels have the
model's own mask; half of the background falls on each. A molecule has --photons in all, of which its dye sends
a part (--shares) to the second channel, with a scatter of its own (--scatter) from molecule to molecule. Both
channels are localized by the model (network, then the joint fit of single frames), then both together (one
position for a molecule, its light in each channel), and the dyes are told apart by the shares, which are given.

A molecule counts as the true one that it is matched with (150 nm in 3D). "wrong": of the matched molecules that
got a dye those that got another; "claimed": the same by their own probabilities; "sure": both, where only
molecules with a probability of at least 0.95 get a dye, and how many these are. Nothing is told about molecules
that are none of the dyes: there are none.

--one-channel: frames of the same kind in one channel, half of the molecules of each wavelength (--wavelengths,
nm), all through the model's mask, whose phase goes with 1/λ; no chromatic shift of the focus. Candidates are
those of the model's network, which was trained for its own wavelength only; the joint fit knows both PSFs.
"alone": what the model's own fit, which knows its own wavelength only, finds in the same frames.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from accuracy import SEED, SIDE, TOLERANCE_UM, scene_of, simulator_of
from deepstorm3d.analysis.dye_ratios import DyesByImage, ImageEvidence, dyes_by_image
from deepstorm3d.analysis.dyes import DyeRule, DyesFound, find_dyes
from deepstorm3d.analysis.matching import match
from deepstorm3d.channels import Transform
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.experiment.dyes import dye_stack, dyes_table, patch_for_dyes, with_dyes
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.field import Field
from deepstorm3d.fitting.dyes import DyeFit
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.sites.channels import ChannelsFit, FurtherChannel
from deepstorm3d.localizer.modelfile import ModelFile, load_model_file
from deepstorm3d.localizing.over_dyes import dye_fit
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.simulation.dyes import DyeStack
from deepstorm3d.simulation.photons import FixedPhotons
from deepstorm3d.simulation.priors import FixedCount, Scene
from deepstorm3d.simulation.simulator import Simulator
from harness import arguments_of, report

COUNTS = (5, 10, 35, 75)
SURE = 0.95
BATCH = 8


@dataclass(frozen=True)
class TwoColours:
    """Frames (B, H, W) of photons of each channel, and what is in them.

    dye: (N,) of each molecule, from 1;  share: (N,) of its light in the second channel.
    """

    first: Tensor
    second: Tensor
    truth: Emitters
    dye: Tensor
    share: Tensor


def drawn(
    simulator: Simulator, scene: Scene, frames: int, shares: list[float], scatter: float, seed: int
) -> TwoColours:
    """Frames of molecules of either dye, as many of each."""
    generator = torch.Generator().manual_seed(seed)
    truth, background = scene.draw(frames, simulator.field, generator)
    dye = torch.randint(0, len(shares), (len(truth),), generator=generator)
    share = torch.tensor(shares)[dye] + scatter * torch.randn(len(truth), generator=generator)
    share = share.clamp(0, 1)
    parts = [replace(truth, photons=truth.photons * part) for part in (1 - share, share)]
    first, second = (simulator.to_photons(simulator(part, background / 2, generator)) for part in parts)
    return TwoColours(first, second, truth, dye + 1, share)


def together(pipeline: Pipeline, seen: TwoColours) -> Localizations:
    """The list of both channels."""
    assert isinstance(pipeline.fit, JointFit)
    fit = ChannelsFit(pipeline.fit, (FurtherChannel(pipeline.fit, Transform.identity()),))
    lists = [pipeline.localize(photons) for photons in (seen.first, seen.second)]
    lights = [pipeline.likelihood(photons) for photons in (seen.first, seen.second)]
    return fit(lists, lights).localizations


def told(found: DyesFound, seen: TwoColours) -> tuple[int, float, float]:
    """Matched molecules with a dye, the part of them with a wrong one, and the part that is claimed."""
    pairs = match(seen.truth, found.localizations, tolerance_um=TOLERANCE_UM)
    dye, sure = found.localizations.dye, found.localizations.dye_probability
    assert dye is not None and sure is not None
    given, claimed = dye[pairs.found_index], 1 - sure[pairs.found_index].double()
    has = given > 0
    wrong = (given != seen.dye[pairs.truth_index])[has]
    count = int(has.sum())
    return count, float(wrong.double().mean()), float(claimed[has].mean())


def figures(pipeline: Pipeline, movies: list[TwoColours], shares: list[float]) -> dict[str, Any]:
    """Figures of all movies of a density together, as one list."""
    start = time.process_time()
    lists, truths, begin = [], [], 0
    for seen in movies:
        lists.append(together(pipeline, seen).shift(frames=begin))
        truths.append(seen.truth.shift(frames=begin))
        begin += len(seen.first)
    seconds = time.process_time() - start
    found, truth = Localizations.concat(lists), Emitters.concat(truths)
    dye, share = (torch.cat([getattr(seen, name) for seen in movies]) for name in ("dye", "share"))
    whole = TwoColours(movies[0].first, movies[0].second, truth, dye, share)
    rule = {f"dye {1 + number}": share for number, share in enumerate(shares)}
    pairs = match(truth, found, tolerance_um=TOLERANCE_UM)
    assert found.share is not None and found.sigma_share is not None
    off = found.share[pairs.found_index] - share[pairs.truth_index]
    off = off / found.sigma_share[pairs.found_index]
    each, sure = (told(find_dyes(found, DyeRule(rule, least)), whole) for least in (0.0, SURE))
    return {
        "molecules": len(truth),
        "Jaccard": len(pairs) / (len(truth) + len(found) - len(pairs)),
        "σ of the share, median": float(found.sigma_share.median()),
        "error / σ, median": float(off.abs().median()) / 0.6745,
        "wrong %": 100 * each[1],
        "claimed %": 100 * each[2],
        "sure %": 100 * sure[0] / max(1, len(pairs)),
        "wrong of the sure %": 100 * sure[1],
        "claimed of the sure %": 100 * sure[2],
        "s/frame": seconds / begin,
    }


@dataclass(frozen=True)
class OneChannel:
    """Frames (B, H, W) of photons, and the molecules of both dyes in them."""

    photons: Tensor
    truth: Emitters


def drawn_in_one(simulator: Simulator, stack: DyeStack, scene: Scene, frames: int, seed: int) -> OneChannel:
    """Frames of molecules of either dye, about as many of each."""
    generator = torch.Generator().manual_seed(seed)
    truth, background = scene.draw(frames, simulator.field, generator)
    truth = stack.drawn(truth, generator)
    counts = simulator(stack.seen(truth), background, generator)
    return OneChannel(simulator.to_photons(counts), truth)


def told_in_one(found: DyesByImage, truth: Emitters) -> dict[str, float]:
    """Of the matched molecules those with a dye, the part of them with a wrong one and the part claimed, %."""
    pairs = match(truth, found.localizations, tolerance_um=TOLERANCE_UM)
    dye, sure = found.localizations.dye, found.localizations.dye_probability
    assert dye is not None and sure is not None and truth.dye is not None
    given, claimed = dye[pairs.found_index], 1 - sure[pairs.found_index].double()
    has = given > 0
    wrong = (given != truth.dye[pairs.truth_index])[has].double()
    return {
        "with a dye %": 100 * float(has.double().mean()),
        "wrong %": 100 * float(wrong.mean()),
        "claimed %": 100 * float(claimed[has].mean()),
    }


def accuracy(found: Localizations, truth: Emitters) -> dict[str, float]:
    """Jaccard index and RMSE, nm."""
    pairs = match(truth, found, tolerance_um=TOLERANCE_UM)
    off = 1000 * (found.xyz[pairs.found_index] - truth.xyz[pairs.truth_index]).double()
    return {
        "Jaccard": len(pairs) / max(1, len(truth) + len(found) - len(pairs)),
        "lateral nm": float(off[:, :2].square().sum(1).mean().sqrt()),
        "axial nm": float(off[:, 2].square().mean().sqrt()),
    }


def figures_in_one(pipeline: Pipeline, fit: DyeFit, movies: list[OneChannel]) -> dict[str, Any]:
    """Figures of all movies of a density together, as one list."""
    truths, parts, alone, begin = [], [], [], 0
    start = time.process_time()
    for seen in movies:
        part = fit(pipeline.propose(seen.photons), pipeline.likelihood(seen.photons))
        parts.append(replace(part, localizations=part.localizations.shift(frames=begin)))
        truths.append(seen.truth.shift(frames=begin))
        begin += len(seen.photons)
    seconds, begin = time.process_time() - start, 0
    for seen in movies:
        alone.append(pipeline.localize(seen.photons).shift(frames=begin))
        begin += len(seen.photons)
    truth, found = Emitters.concat(truths), Localizations.concat([part.localizations for part in parts])
    evidence = ImageEvidence(
        *(
            torch.cat([getattr(part, name) for part in parts]).double().numpy()
            for name in ("deviance", "others", "excess")
        )
    )
    each, sure = (
        told_in_one(dyes_by_image(found, evidence, ("1", "2"), sure=least), truth) for least in (0.0, SURE)
    )
    return {
        "molecules": len(truth),
        **accuracy(found, truth),
        **each,
        **{f"sure: {name}": value for name, value in sure.items()},
        "s/frame": seconds / begin,
        **{f"alone: {name}": value for name, value in accuracy(Localizations.concat(alone), truth).items()},
    }


def one_channel(pipeline: Pipeline, model: ModelFile, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each density."""
    given = {f"{nm:g} nm": nm / 1000 for nm in arguments.wavelengths}
    experiment = with_dyes(pipeline.experiment, given)
    side = min(patch_for_dyes(experiment)[0], 151)
    psf = dyes_table(experiment, side, phase=model.mask)
    field = Field(SIDE, SIDE, experiment.microscope.pixel_um)
    simulator, stack = Simulator(psf, experiment.camera, field), dye_stack(experiment, psf)
    fit = dye_fit(experiment, phase=model.mask)
    rows = []
    for count in arguments.counts:
        scene = scene_with(arguments, experiment, count)
        frames = -(-arguments.least // count)
        movies = [
            drawn_in_one(
                simulator, stack, scene, min(BATCH, frames - begin), SEED + 13_000 + 100 * count + begin
            )
            for begin in range(0, frames, BATCH)
        ]
        rows.append({"N": count, "frames": frames, **figures_in_one(pipeline, fit, movies)})
        print(rows[-1], flush=True)
    return rows


def scene_with(arguments: argparse.Namespace, experiment: Experiment, count: int) -> Scene:
    """The scene of Fig. 2 with so many molecules of equal brightness."""
    scene = scene_of("fig2", experiment.with_(dyes={}))
    photons = FixedPhotons(photons=arguments.photons)
    return scene.with_(emitters=scene.emitters.with_(count=FixedCount(count=count), photons=photons))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file")
    parser.add_argument("--counts", type=int, nargs="*", default=list(COUNTS), help="molecules in a frame")
    parser.add_argument("--least", type=int, default=400, help="molecules of a density, at least")
    parser.add_argument("--photons", type=float, default=40_000.0, help="of a molecule in both channels")
    parser.add_argument("--shares", type=float, nargs=2, default=[0.44, 0.56], help="of each dye")
    parser.add_argument("--scatter", type=float, default=0.03, help="of the shares of one dye")
    parser.add_argument("--one-channel", action="store_true", help="two wavelengths in one channel")
    parser.add_argument("--wavelengths", type=float, nargs=2, default=[561.0, 670.0], help="nm, of each dye")
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.counts, arguments.least = [5], 20
    model = load_model_file(arguments.model)
    pipeline = load_pipeline(model, refine=True, device=arguments.device)
    if arguments.one_channel:
        report("Two dyes in one channel", one_channel(pipeline, model, arguments), arguments)
        return
    simulator = simulator_of(pipeline.experiment, model, None, exact=False)
    rows = []
    for count in arguments.counts:
        scene = scene_with(arguments, pipeline.experiment, count)
        frames = -(-arguments.least // count)
        movies = [
            drawn(
                simulator,
                scene,
                min(BATCH, frames - begin),
                arguments.shares,
                arguments.scatter,
                SEED + 12_000 + 100 * count + begin,
            )
            for begin in range(0, frames, BATCH)
        ]
        rows.append({"N": count, "frames": frames, **figures(pipeline, movies, arguments.shares)})
        print(rows[-1], flush=True)
    report("Two dyes", rows, arguments)


if __name__ == "__main__":
    main()
