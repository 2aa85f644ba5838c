"""The real STORM frames refined: does the joint fit explain pixels it has not seen better than the network?

The variance line is fitted first (the frames' temporal minimum was subtracted, so counts say little of the
noise): squared residual of the network's list against its model in bins of the model, by least squares. Then,
with 10 % of the pixels withheld from the fit, the network's list at its own threshold and at the refined list's
number, the refined list, and as many molecules at random positions are scored on the withheld pixels as in
storm_frames.py. (The network itself has seen all pixels; the fit only moves, adds and removes by the others.)
Last, the quantiles of σ, photons and fit quality.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import torch
from torch import Tensor

from deepstorm3d.emitters import Localizations
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.io.movies import open_movie
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.noise import Noise
from harness import interval, report
from storm_frames import (
    BATCH,
    SEED,
    WITHHELD,
    at_random,
    frames_arguments,
    frames_parser,
    proposals,
    scores,
)


def variance_line(pipeline: Pipeline, found: Localizations, photons: Tensor) -> tuple[float, float]:
    """Slope and offset of the residual's variance against the model of the first frames."""
    rows = found.frame < BATCH
    frames = photons[:BATCH]
    model = pipeline.photometry(found.select(rows), frames).model
    order = model.flatten().argsort()
    bins = order[: len(order) // 200 * 200].view(200, -1)
    # The median of squares over 0.455 is the variance of a normal, blind to the few unexplained spots.
    residual = (frames - model).flatten().square()
    variance = (residual[bins].median(1).values / 0.455).double()
    level = model.flatten()[bins].mean(1).double()
    design = torch.stack([level, torch.ones_like(level)], 1)
    slope, offset = torch.linalg.lstsq(design, variance[:, None]).solution[:, 0].tolist()
    return slope, offset


def refined(
    pipeline: Pipeline, photons: Tensor, weight: Tensor, line: tuple[float, float], least: float
) -> Localizations:
    """The list after the joint fit of the pixels that count."""
    assert isinstance(pipeline.fit, JointFit)
    slope, offset = max(line[0], 0.05), max(line[1], 0.0)
    parts = []
    for first in range(0, len(photons), BATCH):
        frames, seen = photons[first : first + BATCH], weight[first : first + BATCH]
        found = proposals(pipeline, frames, least)
        light = Likelihood(frames, Noise(slope, offset), seen)
        parts.append(pipeline.fit(found, light).shift(frames=first))
        print(f"{first + len(frames)} of {len(photons)} frames, {len(parts[-1])} molecules", flush=True)
    return Localizations.concat(parts)


def quantiles(found: Localizations) -> list[dict[str, Any]]:
    """5, 50 and 95 % of what the fit says of its molecules."""
    nm = 1000 * found.sigma_xyz
    columns = {
        "σ x, nm": nm[:, 0], "σ y, nm": nm[:, 1], "σ z, nm": nm[:, 2], "photons": found.photons,
        "background": found.background, "fit quality": found.fit_quality,
    }  # fmt: skip
    share = torch.tensor([0.05, 0.5, 0.95])
    names = ("5 %", "median", "95 %")
    return [
        {"quantity": name} | {n: round(float(v), 2) for n, v in zip(names, column.quantile(share), strict=True)}
        for name, column in columns.items()
    ]


@torch.no_grad()
def main() -> None:
    parser = frames_parser(__doc__)
    parser.add_argument("--number", type=int, default=40, help="of frames")
    arguments = frames_arguments(parser)
    model = load_model_file(arguments.model)
    pipeline = load_pipeline(model, mask=arguments.mask, refine=True, device=arguments.device)
    with open_movie(arguments.frames) as movie:
        counts = torch.from_numpy(movie.read(0, 4 if arguments.quick else arguments.number).astype("float32"))
    photons = pipeline.to_photons(counts)
    generator = torch.Generator().manual_seed(SEED)
    weight = (torch.rand(photons.shape, generator=generator) >= WITHHELD).float().to(photons.device)
    network = proposals(pipeline, photons, model.threshold)
    line = variance_line(pipeline, network, photons)
    start = time.perf_counter()
    fitted = refined(pipeline, photons, weight, line, pipeline.localizer.threshold)
    seconds = (time.perf_counter() - start) / len(photons)
    bare = dataclasses.replace(fitted, sigma_source="none")
    every = proposals(pipeline, photons, 0.05)
    best = every.probability.argsort(descending=True)[: len(fitted)].sort().values
    lists = {
        "network": network,
        "network, as many as refined": every.select(best),
        "network + joint fit": bare,
        "as many as refined, at random": at_random(bare, pipeline, (photons.shape[1], photons.shape[2])),
        "background alone": network.select(slice(0, 0)),
    }
    rows = []
    for name, found in lists.items():
        row: dict[str, Any] = {"list": name, "molecules/frame": round(len(found) / len(photons), 1)}
        rows.append(row | {k: interval(v) for k, v in scores(pipeline, found, photons, weight).items()})
        print(rows[-1], flush=True)
    spread = quantiles(fitted)
    for row in spread:
        print(row)
    about = {"variance line (slope, offset)": line, "seconds a frame": seconds, "quantiles": spread}
    report("Real STORM frames, refined, on withheld pixels", rows, arguments, **about)


if __name__ == "__main__":
    main()
