"""Molecules that shine through several frames: each frame by itself, linked, and fitted over their frames.

Movies of 121×121 pixels, a border of 20 pixels free of emitters, background and blur of Fig. 2 of Nehme et al.
2020 (150 photons a pixel, 1 px). A molecule switches on at a random time, shines evenly for an exponential time
of 3 frames on average, and has 30,000 photons in all: its first and its last frame are dim. Ways:

  frame by frame  what `localize` gives for single frames (proposals of the network, joint fit);
  linked          the same rows, joined by `link` (3 σ) and averaged by 1/σ²;
  sites           the same rows, fitted over all frames with one position for each molecule.

Rows are matched frame by frame (Hungarian, 150 nm in 3D), molecules over all their frames (one for one, 150 nm
in a frame that both have). True rows with fewer photons than --min-photons are neither hits nor misses, and a
molecule counts if one of its rows does. Errors are of the matched molecules, once each; frame by frame, of the
matched rows. They are divided by the root mean square, over the same ones, of the joint Cramér-Rao bound of
each molecule: from all of its frames and with all other molecules, their photons and a level of background for
each frame unknown (the blur is known). "median": the median of each error over its own bound, divided by that
of a normal distribution, 0.674; a few molecules that were taken for one, or for another, do not change it.

Moving molecules: each goes straight on, --steps-nm from frame to frame, and is no molecule at rest. Its rows
are compared with its place in each frame, the errors over the rows that all ways have found; "tied": the share
of rows that share their position with another; "localize": whether it fits such a movie over frames by itself.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from accuracy import SEED, TOLERANCE_UM, scene_of, simulator_of
from deepstorm3d.analysis.linking import LinkRule, link_rows
from deepstorm3d.analysis.matching import match, match_molecules
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.information import joint_covariances
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import LinearImage
from deepstorm3d.fitting.sites.fit import SiteFit
from deepstorm3d.fitting.state import JointState
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.lasting import measure_lasting
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.simulation.lifetimes import ExponentialBlinking
from deepstorm3d.simulation.photons import FixedPhotons
from deepstorm3d.simulation.priors import FixedCount, Scene
from deepstorm3d.simulation.simulator import Simulator
from harness import arguments_of, report

PHOTONS = 30_000.0
COUNTS = (10, 35, 75, 100)
STEPS_NM = (10.0, 50.0, 100.0)
MOVING_COUNT = 10
BATCH = 8
NORMAL_MEDIAN = 0.6745


@dataclass(frozen=True)
class Movie:
    """Frames (F, H, W) of photons, what is in them, and the joint bound of each true row (N, 3), µm."""

    photons: Tensor
    truth: Emitters
    bound: Tensor


def movie_of(
    simulator: Simulator, scene: Scene, frames: int, seed: int, step_um: float = 0.0, *, bounded: bool = True
) -> Movie:
    """A movie of blinking molecules that go step_um from frame to frame, each in a direction of its own."""
    generator = torch.Generator().manual_seed(seed)
    truth = scene.emitters.draw_movie(frames, simulator.field, generator)
    angle = 2 * torch.pi * torch.rand(int(truth.id.max()) + 1, generator=generator)[truth.id]
    first = torch.full((int(truth.id.max()) + 1,), frames).scatter_reduce(0, truth.id, truth.frame, "amin")
    along = torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], dim=1)
    truth = replace(truth, xyz=truth.xyz + step_um * (truth.frame - first[truth.id])[:, None] * along)
    background = scene.background.draw(frames, simulator.field, generator)
    photons = []
    for begin in range(0, frames, BATCH):
        end = min(begin + BATCH, frames)
        part = truth.select((truth.frame >= begin) & (truth.frame < end)).shift(frames=-begin)
        photons.append(simulator.to_photons(simulator(part, background[begin:end], generator)))
    bound = bounds(simulator, truth, background) if bounded else torch.zeros_like(truth.xyz)
    return Movie(torch.cat(photons), truth, bound)


@torch.no_grad()
def bounds(simulator: Simulator, truth: Emitters, background: Tensor) -> Tensor:
    """Joint bound of x, y, z of the molecule of each row, (N, 3) µm, from all frames and all molecules.

    A frame's covariance of all its unknowns contains that of the positions; its inverse is what the frame tells
    about them, whatever its photons and its background are. These sum over the frames.
    """
    molecule = torch.unique(truth.id, return_inverse=True)[1]
    total = torch.zeros(3 * int(molecule.max() + 1), 3 * int(molecule.max() + 1), dtype=torch.float64)
    for begin in range(0, len(background), BATCH):
        here = (truth.frame >= begin) & (truth.frame < begin + BATCH)
        light, part = background[begin : begin + BATCH], truth.select(here).shift(frames=-begin)
        for rows, told in _told_by_frames(simulator, part, light):
            place = (3 * molecule[here][rows, None] + torch.arange(3)).flatten()
            total[place[:, None], place] += told
    return _inverse(total).diagonal().clamp(min=0).sqrt().view(-1, 3)[molecule].to(truth.xyz)


def _told_by_frames(simulator: Simulator, truth: Emitters, background: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Rows of each frame, and the information about their positions (3K, 3K)."""
    shape = tuple(background.shape)
    level = SplineBackground((shape[1], shape[2]), float("inf"), background)
    state = JointState(
        truth.xyz, truth.photons, truth.frame, background.mean((1, 2))[:, None, None], truth.blur_px
    )
    image = LinearImage(simulator.psf, state, level, shape)
    each = image.jacobian.shape[1]
    if truth.blur_px is not None:
        known = torch.zeros(image.jacobian.shape[:2], dtype=torch.bool)
        known[:, 4] = True
        image.hold(known)
    information = Likelihood(background).information(simulator.expected(truth, background))
    told = []
    for frame, covariance in joint_covariances(image, information):
        rows = (truth.frame == frame).nonzero()[:, 0]
        place = (each * torch.arange(len(rows))[:, None] + torch.arange(3)).flatten()
        told.append((rows, _inverse(covariance[place[:, None], place])))
    return told


def _inverse(matrix: Tensor) -> Tensor:
    """Inverse of a positive definite matrix, scaled to a unit diagonal first."""
    scale = matrix.diagonal().rsqrt()
    return torch.linalg.inv(matrix * scale[:, None] * scale) * scale[:, None] * scale


def linked(found: Localizations) -> Localizations:
    """The rows of each molecule, joined by `link_rows`, at their mean weighted by 1/σ²."""
    track = link_rows(found, LinkRule())
    weight = found.sigma_xyz.double() ** -2
    sums = torch.zeros(int(track.max()) + 1, 3, dtype=torch.float64).index_add_(0, track, weight)
    mean = torch.zeros_like(sums).index_add_(0, track, weight * found.xyz.double()) / sums
    return replace(
        found,
        xyz=mean[track].to(found.xyz),
        sigma_xyz=sums.rsqrt()[track].to(found.sigma_xyz),
        molecule=track,
    )


def lists_of(pipeline: Pipeline, movie: Movie) -> dict[str, tuple[Localizations, float]]:
    """The list of each way, and the processor time that it took, s."""
    assert isinstance(pipeline.fit, JointFit)
    over_frames = SiteFit(pipeline.fit)
    likelihood = pipeline.likelihood(movie.photons)
    single, seconds = timed(lambda: pipeline.localize(movie.photons))
    alone = replace(single, molecule=torch.arange(len(single)))
    joined, more = timed(lambda: linked(single))
    sites, most = timed(lambda: over_frames(single, likelihood).localizations)
    return {
        "frame by frame": (alone, seconds),
        "linked": (joined, seconds + more),
        "sites": (sites, seconds + most),
    }


def timed(work: Callable[[], Localizations]) -> tuple[Localizations, float]:
    """What it gives, and its processor time, s."""
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def first_rows(number: Tensor) -> Tensor:
    """The first row of each number, in order of the numbers."""
    return torch.from_numpy(np.unique(number.numpy(), return_index=True)[1])


def figures(movie: Movie, found: Localizations, min_photons: float) -> dict[str, Any]:
    """Figures of a list by frame and by molecule."""
    truth = movie.truth
    rows = match(truth, found, tolerance_um=TOLERANCE_UM, min_photons=min_photons)
    assert found.molecule is not None
    alone = len(found.molecule.unique()) == len(found)
    whole = match_molecules(truth, found, rows, lateral_um=TOLERANCE_UM)
    true, seen = first_rows(truth.id), first_rows(found.molecule)
    t, f = true[whole.truth_index], seen[whole.found_index]
    if alone:
        t, f = rows.truth_index, rows.found_index
    error, bound = (found.xyz[f] - truth.xyz[t]).double(), movie.bound[t].double()
    rms, least = (1000 * values.square().mean(0).sqrt() for values in (error, bound))
    lateral, axial = float(rms[:2].norm()), float(rms[2])
    usual = (error / bound).abs() / NORMAL_MEDIAN
    counted = int((~rows.truth_ignored).sum())
    reached = torch.zeros(len(true), dtype=torch.bool)
    reached[torch.unique(truth.id, return_inverse=True)[1][rows.truth_index]] = True
    return {
        "Jaccard, frame": jaccard(rows, len(truth), len(found)),
        "missed rows": counted - len(rows),
        "false rows": len(found) - int(rows.found_ignored.sum()) - len(rows),
        "Jaccard, molecule": None if alone else jaccard(whole, len(true), len(seen)),
        "missed molecules": int((~whole.truth_ignored & ~reached).sum()),
        "lateral nm": lateral,
        "axial nm": axial,
        "lateral / bound": lateral / float(least[:2].norm()),
        "axial / bound": axial / float(least[2]),
        "median lateral · axial": f"{float(usual[:, :2].median()):.2f} · {float(usual[:, 2].median()):.2f}",
        "error / σ x · y · z": " · ".join(f"{v:.2f}" for v in (error / found.sigma_xyz[f]).std(0).tolist()),
    }


def jaccard(pairs: Any, truths: int, founds: int) -> float:
    """Hits over hits, false and missed ones."""
    hits = len(pairs)
    wrong = founds - int(pairs.found_ignored.sum()) - hits
    missed = truths - int(pairs.truth_ignored.sum()) - hits
    return hits / max(1, hits + wrong + missed)


def moving_figures(movie: Movie, lists: dict[str, Localizations], min_photons: float) -> list[dict[str, Any]]:
    """Figures of the lists of moving molecules, row by row; errors over the rows that all have found."""
    truth, lasting = movie.truth, measure_lasting(lists["frame by frame"])
    pairs = {
        way: match(truth, found, tolerance_um=TOLERANCE_UM, min_photons=min_photons)
        for way, found in lists.items()
    }
    common = torch.ones(len(truth), dtype=torch.bool)
    for rows in pairs.values():
        common &= torch.zeros_like(common).index_fill(0, rows.truth_index, True)
    told = []
    for way, found in lists.items():
        rows = pairs[way]
        both = common[rows.truth_index]
        error = (found.xyz[rows.found_index] - truth.xyz[rows.truth_index])[both].double()
        rms = 1000 * error.square().mean(0).sqrt()
        assert found.molecule is not None
        _, number, times = torch.unique(found.molecule, return_inverse=True, return_counts=True)
        told.append(
            {
                "way": way,
                "Jaccard, frame": jaccard(rows, len(truth), len(found)),
                "common rows": int(common.sum()),
                "lateral nm": float(rms[:2].norm()),
                "axial nm": float(rms[2]),
                "tied": float((times[number] > 1).double().mean()),
                "localize": lasting.lasts,
            }
        )
    return told


def blinking_scene(scene: Scene, count: int, life: float) -> Scene:
    """The scene with molecules that last; count: mean number with light in a frame."""
    prior = scene.emitters.with_(
        count=FixedCount(count=count),
        photons=FixedPhotons(photons=PHOTONS),
        blinking=ExponentialBlinking(mean_frames=life),
    )
    return scene.with_(emitters=prior)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file")
    parser.add_argument("--counts", type=int, nargs="*", default=list(COUNTS), help="mean number in a frame")
    parser.add_argument("--frames", type=int, default=60, help="of each movie")
    parser.add_argument("--life", type=float, default=3.0, help="mean time on, frames")
    parser.add_argument("--min-photons", type=float, default=1500.0)
    parser.add_argument("--steps-nm", type=float, nargs="*", default=list(STEPS_NM), help="of moving molecules")
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.counts, arguments.frames, arguments.steps_nm = [5], 8, [50.0]
    model = load_model_file(arguments.model)
    pipeline = load_pipeline(model, refine=True, device=arguments.device)
    simulator = simulator_of(pipeline.experiment, model, None, exact=False)
    scene = scene_of("fig2", pipeline.experiment)
    rows, moving = [], []
    for count in arguments.counts:
        movie = movie_of(
            simulator, blinking_scene(scene, count, arguments.life), arguments.frames, SEED + 9000 + count
        )
        there = {"N": count, "frames": arguments.frames, "molecules": len(movie.truth.id.unique())}
        for way, (found, seconds) in lists_of(pipeline, movie).items():
            told = figures(movie, found, arguments.min_photons)
            rows.append({**there, "way": way, **told, "s/frame": seconds / arguments.frames})
            print(rows[-1], flush=True)
    for step in arguments.steps_nm:
        here = blinking_scene(scene, MOVING_COUNT, arguments.life)
        movie = movie_of(simulator, here, arguments.frames, SEED + 9500, step / 1000, bounded=False)
        lists = {way: found for way, (found, _) in lists_of(pipeline, movie).items()}
        for told in moving_figures(movie, lists, arguments.min_photons):
            moving.append({"N": MOVING_COUNT, "frames": arguments.frames, "nm a frame": step, **told})
            print(moving[-1], flush=True)
    if rows:
        report("Blinking molecules", rows, arguments)
    if moving:
        report("Moving molecules", moving, arguments)


if __name__ == "__main__":
    main()
