"""Molecules that last in two planes of focus: frame by frame or over frames, shares of the light known or free.

The optics, cameras and matching of `biplane.py`; half of the light in each plane.

  python benchmarks/frames_of_planes.py alone MODEL.pt --movies 24       molecules far from each other
  python benchmarks/frames_of_planes.py blinking MODEL.pt --frames 12    dense ones, mean life 3 frames

alone: in each movie of four frames four molecules shine in 4, 4, 2 and 1 frames with 5,000 photons in each; the
list of single frames begins at the true places. blinking: the 15,000 photons of a molecule are divided over its
life; the list is that of the network and the joint fit of single frames; rows from 750 photons on count.
Bound: the joint one of all frames and both planes of a molecule, all others and all backgrounds unknown, with
shares that are known or free as in the fit.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import deepstorm3d as ds
from biplane import AXIAL_UM, LATERAL_UM, Setup, in_frame
from deepstorm3d.analysis.matching import match
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import expected_image
from deepstorm3d.fitting.sites.candidates import CandidatesFit
from deepstorm3d.fitting.sites.channel import LightsOfChannels, with_shares
from deepstorm3d.fitting.sites.channels_over_frames import ChannelsOverFrames
from deepstorm3d.fitting.sites.covariance import lights_of, site_bounds
from deepstorm3d.fitting.sites.known_shares import in_common
from deepstorm3d.fitting.sites.movie import Movie
from deepstorm3d.fitting.sites.state import Sites
from deepstorm3d.fitting.state import JointState
from deepstorm3d.simulation.counts import DensityCount
from deepstorm3d.simulation.lifetimes import ExponentialBlinking
from deepstorm3d.simulation.photons import FixedPhotons
from deepstorm3d.watch import SILENT
from harness import environment

LEVEL, PHOTONS, TOTAL, LEAST = 50.0, 5000.0, 15_000.0, 750.0
LIVES = (range(4), range(4), range(1, 3), range(2, 3))


@dataclass(frozen=True)
class Scene:
    """Frames of both planes, what is in them, and the molecule of each true row, (N,) int64."""

    lights: LightsOfChannels
    truth: Emitters
    molecule: Tensor

    def bound(self, setup: Setup, shares: tuple[float, ...] | None) -> Tensor:
        """Joint bound of x, y, z of the molecule of each row, (N, 3) µm."""
        lights, truth = self.lights.channels, self.truth
        fit, frames = setup.fit, len(lights[0])
        whole = [channel.single.whole for channel in fit.channels]
        models = [replace(m, psf=psf) for m, psf in zip(fit.models(lights), whole, strict=True)]
        first = torch.unique(self.molecule, return_inverse=True)[1]
        place = truth.xyz.new_zeros(int(first.max()) + 1, 3).double()
        place[first] = truth.xyz.double()
        image = torch.cat([2 * truth.frame, 2 * truth.frame + 1])
        part = torch.tensor([1 - setup.share, setup.share]).double()
        order = torch.argsort(image, stable=True)
        sites = Sites(
            place,
            first.repeat(2)[order],
            image[order],
            (truth.photons.double().repeat(2) * part.repeat_interleave(len(truth)))[order],
            torch.full_like(image, -1),
            (torch.full((1, 1), LEVEL, dtype=torch.float64),) * (2 * frames),
            torch.zeros_like(image, dtype=torch.bool),
            channels=2,
        )
        movie = Movie(with_shares(tuple(models), shares), fit.bounds, lights_of(lights), SILENT)
        return site_bounds(movie, in_common(sites, movie) if shares else sites).place[first]


def alone(setup: Setup, seed: int) -> Scene:
    """Four molecules far from each other, of `LIVES`."""
    draw = torch.Generator().manual_seed(seed)
    height, width = setup.experiment.frame_px
    pixel = setup.experiment.microscope.pixel_um
    spots = torch.tensor([[0.27, 0.27], [0.73, 0.3], [0.3, 0.73], [0.72, 0.72]])
    xy = (spots * torch.tensor([width, height]) + torch.rand(4, 2, generator=draw) - 0.5) * pixel
    low, high = setup.experiment.z_um
    z = low + (high - low) * (0.05 + 0.9 * torch.rand(4, 1, generator=draw))
    place, looks = torch.cat([xy, z], 1), [(f, n) for n, life in enumerate(LIVES) for f in life]
    frame, molecule = torch.tensor(sorted(looks)).unbind(1)
    photons = torch.full((len(frame),), PHOTONS)
    blank = [Likelihood(torch.zeros(4, height, width))] * 2
    lights = list[Likelihood]()
    shares, channels = (1 - setup.share, setup.share), setup.fit.channels
    for model, channel, share in zip(setup.fit.models(blank), channels, shares, strict=True):
        state = JointState(place[molecule], share * photons, frame, torch.full((4, 1, 1), LEVEL))
        image = expected_image(channel.single.whole, model.seen(state), model.surface, (4, height, width))
        lights.append(Likelihood(torch.poisson(image, generator=draw)))
    truth = Emitters(xyz=place[molecule].double(), photons=photons.double(), frame=frame, id=molecule)
    return Scene(LightsOfChannels(tuple(lights)), truth, molecule)


def blinking(setup: Setup, density: float, frames: int, seed: int) -> Scene:
    """Molecules at random places and times."""
    base = setup.experiment.scene()
    emitters = base.emitters.with_(
        count=DensityCount(low=density, high=density),
        photons=FixedPhotons(photons=TOTAL),
        blinking=ExponentialBlinking(mean_frames=3.0),
    )
    told = setup.experiment.with_(scenes={"main": base.with_(emitters=emitters)})
    movies, truth = ds.simulate_channels(told, frames, seed=seed)
    lights = tuple(
        Likelihood(camera.to_photons(torch.from_numpy(counts.astype(np.float32)), {}))
        for camera, counts in zip(setup.cameras, movies.values(), strict=True)
    )
    return Scene(LightsOfChannels(lights), truth, truth.id)


def report(
    way: str, scenes: list[Scene], lists: list[Localizations], bounds: list[Tensor], lives: bool
) -> None:
    """Print the figures of a way, of all rows and, where `lives`, by the frames of a molecule."""
    error, scaled, sigma, counts, missed, false = [], [], [], [], 0, 0
    for scene, found, bound in zip(scenes, lists, bounds, strict=True):
        pairs = match(scene.truth, found, tolerance_um=LATERAL_UM, axial_um=AXIAL_UM)
        bright = scene.truth.photons >= LEAST
        kept = bright[pairs.truth_index]
        t, f = pairs.truth_index[kept], pairs.found_index[kept]
        missed += int(bright.sum()) - len(t)
        false += len(found) - len(pairs)
        off = found.xyz[f].double() - scene.truth.xyz[t].double()
        error.append(off)
        scaled.append(off / bound[t])
        sigma.append(off / found.sigma_xyz[f].double())
        counts.append(torch.bincount(scene.molecule)[scene.molecule][t])
    rows, of_life = len(torch.cat(error)), torch.cat(counts)
    print(f"{way}: Jaccard {rows / (rows + missed + false):.3f}, missed {missed}, false {false}", flush=True)
    for life in [None, *sorted(set(of_life.tolist()))] if lives else [None]:
        here = torch.ones_like(of_life, dtype=torch.bool) if life is None else of_life == life
        said = [torch.cat(each)[here] for each in (error, scaled, sigma)]
        rms = [each.square().mean(0).sqrt().tolist() for each in said]
        middle = [(each.abs().median(0).values / 0.6745).tolist() for each in said[1:]]
        words = [" · ".join(f"{value:.2f}" for value in each) for each in (*rms[1:], *middle)]
        lateral = 1000 * (rms[0][0] ** 2 + rms[0][1] ** 2) ** 0.5
        print(
            f"  {'all' if life is None else life} frames, {int(here.sum())} rows: "
            f"{lateral:.1f} · {1000 * rms[0][2]:.1f} nm; over bound {words[0]} (median {words[2]}); "
            f"error/σ {words[1]} (median {words[3]})",
            flush=True,
        )


def compare(
    setup: Setup, scenes: list[Scene], starts: list[Localizations], names: list[str], *, lives: bool
) -> None:
    """Print every way;  starts: candidates of single frames;  names: known or free shares."""
    for name in names:
        shares = (1 - setup.share, setup.share) if name == "known" else None
        bounds = [scene.bound(setup, shares) for scene in scenes]
        began = time.process_time()
        single = [
            CandidatesFit(setup.fit, shares)(start, scene.lights.channels).localizations
            for scene, start in zip(scenes, starts, strict=True)
        ]
        then = time.process_time()
        inside = [rows.select(in_frame(setup.experiment, rows.xyz)) for rows in single]
        report(f"{name}, frame by frame ({then - began:.1f} s)", scenes, inside, bounds, lives=lives)
        over = ChannelsOverFrames(setup.fit, shares)
        made = [over(rows, scene.lights).localizations for rows, scene in zip(single, scenes, strict=True)]
        made = [rows.select(in_frame(setup.experiment, rows.xyz)) for rows in made]
        made = [replace(rows, molecule=None) for rows in made]
        report(f"{name}, over frames ({time.process_time() - then:.1f} s)", scenes, made, bounds, lives=lives)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=["alone", "blinking"])
    parser.add_argument("model", type=Path)
    parser.add_argument("--movies", type=int, default=24)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--densities", type=float, nargs="+", default=[0.35, 1.2])
    parser.add_argument("--shares", choices=["free", "known"], nargs="+", default=["free", "known"])
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(environment())
    setup = Setup(arguments.model)
    if arguments.job == "alone":
        scenes = [alone(setup, arguments.seed + number) for number in range(arguments.movies)]
        near = [
            Localizations.proposals(one.truth.xyz.float(), one.truth.frame, torch.ones(len(one.truth)))
            for one in scenes
        ]
        compare(setup, scenes, near, arguments.shares, lives=True)
        return
    for density in arguments.densities:
        print(density, "per µm²")
        scene = blinking(setup, density, arguments.frames, arguments.seed)
        frames = torch.stack([light.frames for light in scene.lights.channels], 1)
        compare(setup, [scene], [setup.proposing.propose(frames)], arguments.shares, lives=False)


if __name__ == "__main__":
    main()
