"""The 40 real STORM frames: molecules per frame, and how well they explain pixels that no fit has seen.

A model regenerates a frame from its list of molecules. The correlation of the two rises with every
molecule, true or false, as long as its photons are fitted to the same pixels. So a tenth of the pixels, at
random, is withheld from the fit of photons and background, and only those are scored: there, false
molecules do harm. The number of molecules is swept by the threshold of the network. As a control the
same number of molecules in each frame is put at random places and fitted likewise; "background" has no
molecule at all.

explained: 1 − Σ(frame − model)²/Σ(frame − mean)² over the withheld pixels, mean over frames with its
95 % interval;  explained beyond random: the difference to the control, frame by frame;
correlation: Pearson's, over the same pixels;  all pixels: the correlation as the literature states it,
fitted and scored on all pixels, which rises with false molecules too (the published network: 39 to 55
molecules a frame, 0.39 to 0.49, mean 0.44; DESIGN.md section 8).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepstorm3d.emitters import Localizations
from deepstorm3d.field import Field
from deepstorm3d.frames.explain import correlation
from deepstorm3d.io.movies import open_movie
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizer.precision import mixed_precision
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.localizing.tiling import Tile, localize_in_tiles
from harness import arguments_of, interval, report

DATA = Path(__file__).parents[2] / "shared" / "data" / "storm_tetrapod_40.tif"
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9)
WITHHELD, SEED, BATCH = 0.1, 5, 4
Scores = dict[str, list[float]]


def proposals(pipeline: Pipeline, photons: Tensor, threshold: float) -> Localizations:
    """Positions and probabilities down to a low threshold."""

    def propose(frames: Tensor, _: Tile) -> Localizations:
        with mixed_precision(frames.device, pipeline.experiment.training.half_precision):
            raw = pipeline.localizer(frames)
        return pipeline.localizer.network.decode(raw.float(), threshold)

    height, width = photons.shape[1:]
    return localize_in_tiles(propose, photons, Field(height, width, pipeline.experiment.microscope.pixel_um))


def at_random(found: Localizations, pipeline: Pipeline, size: tuple[int, int]) -> Localizations:
    """As many molecules in each frame, anywhere."""
    generator = torch.Generator().manual_seed(SEED + len(found))
    pixel, (low, high) = pipeline.experiment.microscope.pixel_um, pipeline.experiment.z_um
    spread = torch.tensor([size[1] * pixel, size[0] * pixel, high - low])
    start = torch.tensor([-0.5 * pixel, -0.5 * pixel, low])
    xyz = (start + spread * torch.rand(len(found), 3, generator=generator)).to(found.xyz.device)
    return Localizations.proposals(xyz, found.frame, found.probability)


def scores(pipeline: Pipeline, found: Localizations, photons: Tensor, weight: Tensor) -> Scores:
    """Explained variance and correlation on the withheld pixels of each frame, correlation on all."""
    withheld = weight == 0
    result: Scores = {"explained": [], "correlation": [], "all pixels": []}
    for first in range(0, len(photons), BATCH):
        part = slice(first, first + BATCH)
        rows = (found.frame >= first) & (found.frame < first + BATCH)
        here, frames = found.select(rows).shift(frames=-first), photons[part]
        model = pipeline.photometry(here, frames, weight[part]).model
        mean = (frames * withheld[part]).sum((1, 2)) / withheld[part].sum((1, 2))
        spread = ((frames - mean[:, None, None]) * withheld[part]).square().sum((1, 2))
        left = ((frames - model) * withheld[part]).square().sum((1, 2))
        result["explained"] += (1 - left / spread).tolist()
        result["correlation"] += correlation(frames, model, withheld[part]).tolist()
        result["all pixels"] += correlation(frames, pipeline.photometry(here, frames).model).tolist()
    return result


def frames_parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments of a benchmark on real frames."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file for these frames")
    parser.add_argument("--frames", type=Path, default=DATA, help="the movie (default: the shared data)")
    parser.add_argument("--mask", type=Path, help="the mask, where the model holds only its hash")
    return parser


def frames_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Those given; ends the program where there are no frames."""
    arguments = arguments_of(parser)
    if not arguments.frames.exists():
        print(f"skipped: there are no frames at {arguments.frames} (give them with --frames)")
        sys.exit(0)
    return arguments


@torch.no_grad()
def main() -> None:
    parser = frames_parser(__doc__)
    parser.add_argument("--thresholds", type=float, nargs="+", default=list(THRESHOLDS))
    arguments = frames_arguments(parser)
    pipeline = load_pipeline(
        load_model_file(arguments.model), mask=arguments.mask, refine=False, device=arguments.device
    )
    with open_movie(arguments.frames) as movie:
        counts = torch.from_numpy(movie.read(0, 2 if arguments.quick else movie.shape[0]).astype("float32"))
    if arguments.quick:
        counts, arguments.thresholds = counts[:, 100:228, 200:328].contiguous(), [0.3, 0.5]
    photons = pipeline.to_photons(counts)
    generator = torch.Generator().manual_seed(SEED)
    weight = (torch.rand(photons.shape, generator=generator) >= WITHHELD).float().to(photons.device)
    found = proposals(pipeline, photons, min(arguments.thresholds))
    rows: list[dict[str, Any]] = []
    for threshold in [*arguments.thresholds, None]:
        kept = found.select(found.probability >= (2.0 if threshold is None else threshold))
        row: dict[str, Any] = {"threshold": "background" if threshold is None else threshold}
        row["molecules/frame"] = len(kept) / len(photons)
        own = scores(pipeline, kept, photons, weight)
        row |= {name: interval(figures) for name, figures in own.items()}
        if threshold is not None:
            control = scores(
                pipeline, at_random(kept, pipeline, (photons.shape[1], photons.shape[2])), photons, weight
            )
            row |= {f"{name}, at random": interval(figures) for name, figures in control.items()}
            gain = [a - b for a, b in zip(own["explained"], control["explained"], strict=True)]
            row["explained beyond random"] = interval(gain)
        rows.append(row)
        print(f"threshold {row['threshold']}: {row['molecules/frame']:.1f} molecules a frame", flush=True)
    about = {
        "model": f"{pipeline.experiment.name}, {pipeline.experiment.network.kind}",
        "model's own threshold": pipeline.localizer.threshold,
        "frames": len(photons),
    }
    report("Real STORM frames, scored on withheld pixels", rows, arguments, **about)


if __name__ == "__main__":
    main()
