"""Accuracy of a model, network alone, on fresh simulated frames, from 1 to 100 emitters.

Frames of 121×121 pixels with a border of 20 pixels free of emitters, drawn with a seed of their own, in
the conditions of Fig. 2 (30,000 photons, 150 background, blur 1 px) and of Fig. 4 (10,000 to 60,000
photons, a nucleus, blur 0.75 to 1.25 px) of Nehme et al. 2020, through the model's own mask, or
in a scene of the model's own experiment (--scene). The image model is the tabulated PSF on a patch as
large as the mask's sampling allows (--exact: the exact PSF), so it holds the tails that a model may have
been trained without. Matched by the Hungarian method within 150 nm in 3D; lateral RMSE is
sqrt(mean(dx² + dy²)); 95 % intervals by the bootstrap over frames, and where nothing at all went wrong,
which leaves the bootstrap nothing to vary, the exact binomial bound.

The columns "published" and "prototype" are DESIGN.md section 8: the published program's own code and
weights, measured on the same conditions (8 to 30 frames a row; 4 for the prototype with fit).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepstorm3d.analysis.matching import match
from deepstorm3d.analysis.metrics import ScoreWithIntervals, score_with_intervals
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.field import Field
from deepstorm3d.localizer.modelfile import ModelFile, load_model_file
from deepstorm3d.localizer.precision import mixed_precision
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.tabulated import TabulatedPSF
from deepstorm3d.simulation.priors import FixedCount, Scene
from deepstorm3d.simulation.simulator import Simulator
from harness import arguments_of, report

SIDE, MARGIN_PX, TOLERANCE_UM, SEED = 121, 20.0, 0.15, 77_003_000
COUNTS = (1, 5, 10, 20, 35, 50, 75, 100)
CONDITIONS = {"fig2": "density-study", "fig4": "telomeres"}
FIGURES = ("jaccard", "precision", "recall", "rmse_lateral_nm", "rmse_axial_nm")

# DESIGN.md section 8: Jaccard, lateral and axial RMSE in nm by number of emitters.
Row = tuple[float, float, float]
PUBLISHED: dict[str, dict[str, dict[int, Row]]] = {
    "fig2": {
        "published Tetrapod": {
            1: (0.674, 14.6, 15.2), 5: (0.968, 16.8, 16.1), 10: (0.990, 19.4, 19.0), 20: (0.963, 19.5, 22.7),
            35: (0.907, 25.6, 28.7), 50: (0.812, 29.5, 37.8), 75: (0.581, 34.5, 41.9),
        },
        "prototype network": {
            1: (1.000, 25.7, 18.5), 5: (1.000, 19.4, 26.4), 10: (1.000, 21.6, 29.0), 20: (0.988, 23.1, 34.2),
            35: (0.972, 28.4, 35.5), 50: (0.912, 32.9, 38.8), 75: (0.789, 39.7, 46.5),
        },
        "prototype network + fit": {
            20: (1.000, 9.3, 8.7), 35: (0.986, 16.9, 10.3), 50: (0.995, 12.4, 11.2), 75: (0.842, 22.5, 21.6),
        },
    },
    "fig4": {
        "published Tetrapod": {
            1: (0.967, 19.4, 21.3), 5: (0.984, 17.2, 17.0), 10: (0.960, 17.0, 21.6), 20: (0.879, 19.1, 23.0),
            35: (0.797, 22.7, 29.4), 50: (0.704, 26.1, 32.7), 75: (0.565, 31.8, 38.6),
        },
        "published learned mask": {
            1: (0.806, 12.7, 22.7), 5: (1.000, 14.4, 18.7), 10: (0.950, 14.9, 25.5), 20: (0.914, 17.8, 22.3),
            35: (0.843, 18.6, 26.3), 50: (0.803, 22.9, 30.9), 75: (0.643, 26.6, 38.5),
        },
    },
}  # fmt: skip


def scene_of(name: str, experiment: Experiment) -> Scene:
    """The scene of a condition, or one of the model's own, its border free of emitters."""
    if name in CONDITIONS:
        published = preset(CONDITIONS[name])
        if published.microscope != experiment.microscope or published.z_um != experiment.z_um:
            raise InputError(
                f"the model '{experiment.name}' is for another microscope or depth range than the conditions "
                f"of {name}; measure it in a scene of its own: --scene {' '.join(experiment.scenes)}"
            )
        return published.scene()
    scene = experiment.scene(name)
    return scene.with_(emitters=scene.emitters.with_(margin_px=(MARGIN_PX, MARGIN_PX)))


def simulator_of(experiment: Experiment, model: ModelFile, mask: Path | None, *, exact: bool) -> Simulator:
    """The image model on the largest patch, up to 151 px, that the sampling of the mask allows."""
    if mask is not None:
        from deepstorm3d.io.masks import read_mask

        phase = torch.from_numpy(read_mask(mask)).float()
    else:
        phase = model.mask
    phase_mask = experiment_mask(experiment, phase=phase)
    period = experiment.microscope.image_period_px * experiment.psf.pupil_oversampling
    largest = min(151, int(period / 2) - 2 * TabulatedPSF.margin_px)
    spec = experiment.psf.with_(patch_px=largest - 1 + largest % 2)
    blur = experiment.blur_px
    if all(scene.emitters.blur_px for scene in experiment.scenes.values()):
        # Else emitters have the middle of the table's.
        blur = (min(0.75, blur[0]), max(1.25, blur[1]))
    if exact:
        psf = build_psf(spec, experiment.microscope, phase_mask)
    else:
        psf = spec.tabulate(experiment.microscope, phase_mask, experiment.z_um, blur)
    return Simulator(psf, experiment.camera, Field(SIDE, SIDE, experiment.microscope.pixel_um))


@torch.no_grad()
def measure(
    pipeline: Pipeline, simulator: Simulator, scene: Scene, count: int, frames: int, *, batch: int = 8
) -> ScoreWithIntervals:
    """Draw frames with `count` emitters each, localize them, compare."""
    device = pipeline.device
    generator = torch.Generator(device).manual_seed(SEED + count)
    prior = scene.emitters.with_(count=FixedCount(count=count))
    truths, lists = [], []
    for first in range(0, frames, batch):
        now = min(batch, frames - first)
        emitters = prior.draw(now, simulator.field, generator)
        photons = simulator.to_photons(
            simulator(emitters, scene.background.draw(now, simulator.field, generator), generator)
        )
        with mixed_precision(device, pipeline.experiment.training.half_precision):
            raw = pipeline.localizer(photons)
        found = pipeline.localizer.network.decode(raw.float(), pipeline.localizer.threshold)
        truths.append(emitters.shift(frames=first).to("cpu"))
        lists.append(found.shift(frames=first).to("cpu"))
    truth, found = Emitters.concat(truths), Localizations.concat(lists)
    matches = match(truth, found, tolerance_um=TOLERANCE_UM, min_photons=prior.min_photons)
    return score_with_intervals(truth, found, matches, np.random.default_rng(SEED))


def row_of(
    condition: str, count: int, frames: int, measured: ScoreWithIntervals, inner_um2: float
) -> dict[str, Any]:
    """A line of the table: the figures with their intervals, and the published ones."""
    row: dict[str, Any] = {
        "condition": condition,
        "N": count,
        "N/µm²": round(count / inner_um2, 3),
        "frames": frames,
        "emitters": measured.score.tp + measured.score.fn,
    }
    for figure in FIGURES:
        value, bounds = getattr(measured.score, figure), measured.intervals[figure]
        if value == 1.0 and bounds == (1.0, 1.0):
            # All of n trials right: the exact (Clopper-Pearson) lower bound.
            bounds = 0.025 ** (1 / max(1, measured.score.tp)), 1.0
        row[figure] = value if value is None or bounds is None else (value, *bounds)
    for name, rows in PUBLISHED.get(condition, {}).items():
        row[name] = " · ".join(f"{value:g}" for value in rows[count]) if count in rows else ""
    return row


def plot(rows: list[dict[str, Any]], path: Path, title: str) -> None:
    """Jaccard index and RMSE against the number of emitters, one row of panels for each condition."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    figure, axes = pyplot.subplots(
        len(conditions), 3, figsize=(12, 3.4 * len(conditions)), squeeze=False, layout="constrained"
    )
    panels = (
        ("jaccard", "Jaccard index", 0),
        ("rmse_lateral_nm", "lateral RMSE, nm", 1),
        ("rmse_axial_nm", "axial RMSE, nm", 2),
    )
    for line, condition in zip(axes, conditions, strict=True):
        ours = [row for row in rows if row["condition"] == condition]
        for axis, (key, label, place) in zip(line, panels, strict=True):
            known = [(row["N"], row[key]) for row in ours if isinstance(row[key], tuple)]
            if known:
                n = [count for count, _ in known]
                value, low, high = np.array([figures for _, figures in known]).T
                bars = [value - low, high - value]
                axis.errorbar(n, value, bars, marker="o", color="C3", capsize=2, label=title)
            for k, (name, table) in enumerate(PUBLISHED.get(condition, {}).items()):
                values = [row[place] for row in table.values()]
                axis.plot(list(table), values, "--", marker="s", ms=3, color=f"C{k}", label=name)
            axis.set(xlabel="emitters in a frame", ylabel=label, title=condition)
            axis.set_ylim(bottom=0, top=1.03 if place == 0 else None)
            axis.grid(alpha=0.3)
        line[0].legend(fontsize=7, loc="lower left")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file")
    parser.add_argument("--scene", nargs="+", default=list(CONDITIONS), help="fig2, fig4 or the model's own")
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS), help="emitters in a frame")
    parser.add_argument("--emitters-per-point", type=int, default=1000)
    parser.add_argument("--threshold", type=float, help="instead of the model's own")
    parser.add_argument("--mask", type=Path, help="the mask, where the model holds only its hash")
    parser.add_argument("--exact", action="store_true", help="frames through the exact PSF, not a table")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="figures against the number of emitters")
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.counts, arguments.emitters_per_point = arguments.counts[3:4], 20
        arguments.scene = arguments.scene[:1]
    model = load_model_file(arguments.model)
    pipeline = load_pipeline(
        model, refine=False, mask=arguments.mask, threshold=arguments.threshold, device=arguments.device
    )
    experiment = pipeline.experiment
    scenes = {name: scene_of(name, experiment) for name in arguments.scene}
    simulator = simulator_of(experiment, model, arguments.mask, exact=arguments.exact).to(arguments.device)
    inner_um2 = ((SIDE - 2 * MARGIN_PX) * experiment.microscope.pixel_um) ** 2
    rows = []
    for name, scene in scenes.items():
        for count in arguments.counts:
            # Few frames would leave the bootstrap nothing to draw from.
            least = 1 if arguments.quick else 20
            frames = max(least, -(-arguments.emitters_per_point // count))
            measured = measure(pipeline, simulator, scene, count, frames)
            rows.append(row_of(name, count, frames, measured, inner_um2))
            print(f"{name}, {count} emitters: Jaccard {measured.score.jaccard:.3f}", flush=True)
    about = {
        "model": f"{experiment.name}, {experiment.network.kind}, threshold {pipeline.localizer.threshold:g}",
        "patch_px": simulator.psf.patch_px,
    }
    report("Accuracy, network alone", rows, arguments, **about)
    if arguments.plot:
        plot(rows, arguments.plot, experiment.name)


if __name__ == "__main__":
    main()
