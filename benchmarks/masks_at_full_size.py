"""Fig. 4 of Nehme et al. 2020 at its own size: masks of the modulator's pixels, each with a network of its own.

The telomere set-up (2 to 6 µm, 10,000 to 60,000 photons in a nucleus). Masks: Tetrapod; least bound of one
molecule (single) and of 35 in a frame (crowd), designed here; and files, NAME=FILE. Each trains the same
coarse network on the same emitters, one after the other; then all find the same emitters in frames of 121 px,
network alone and with the joint fit, beside the joint bound. Stopped and started again, it goes on; the
picture shows all figures that are in the folder.

    nice python benchmarks/masks_at_full_size.py FOLDER published=mask_learned.mat learned=mask.npy
    python benchmarks/masks_at_full_size.py FOLDER --only tetrapod --counts 35 75 100 --plot masks.png
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot

from accuracy import MARGIN_PX, SIDE, scene_of, simulator_of
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.io.masks import mask_sha256, read_mask, write_mask
from deepstorm3d.jobs.fisher_design import design_by_fisher
from deepstorm3d.jobs.start_of_training import Start
from deepstorm3d.jobs.train import train_model
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.optics.masks import AstigmaticMask, FileMask
from deepstorm3d.simulation.counts import DensityCount
from deepstorm3d.training.runs import DesignRun, Run
from deepstorm3d.watch import Silent
from harness import arguments_of, report
from refinement import measure, ways_of

COUNTS = (1, 5, 10, 20, 35, 50, 75, 100)
CROWD_PER_UM2 = 35 / ((SIDE - 2 * MARGIN_PX) * 0.11) ** 2
FISHER_STEPS = {"single": 600, "crowd": 400}


class Printed(Silent):
    """Prints the validations it is told."""

    def message(self, text: str) -> None:
        print(text, flush=True)


def experiment(steps: int) -> Experiment:
    """The telomere set-up with the training that every mask gets."""
    base = preset("telomeres")
    scene = base.scene()
    emitters = scene.emitters.with_(count=DensityCount(low=0.01, high=1.35), margin_px=(-14.0, 24.0))
    training = base.training.with_(
        steps=steps, batch=6, crop_px=64, warmup_steps=200, validate_every=500, validation_crops=48
    )
    return base.with_(
        scenes={"nucleus": scene.with_(emitters=emitters)}, network=CoarseSpec(channels=64), training=training
    )


def mask_of(name: str, text: str, folder: Path) -> Path:
    """The mask as a file of the folder: computed, designed or copied there unless it is there."""
    out = folder / f"{name}.mask.npy"
    if out.exists() and not DesignRun(out).checkpoint.exists():
        if text and mask_sha256(read_mask(Path(text))) != mask_sha256(read_mask(out)):
            raise SystemExit(f"{out} is another mask than {text}: give it another name")
        return out
    base = preset("telomeres")
    if name in FISHER_STEPS:
        density = CROWD_PER_UM2 if name == "crowd" else 0.0
        design = base.design.with_(
            learning_rate=0.05, fisher_steps=FISHER_STEPS[name], fisher_density=density, spread=1.0
        )
        start = base.with_(mask=AstigmaticMask(), design=design)
        print(name, design_by_fisher(start, out, resume=DesignRun(out).checkpoint.exists()), flush=True)
    elif text:
        write_mask(out, read_mask(Path(text)))
    else:
        write_mask(out, experiment_mask(base)().detach().numpy())
    return out


def model_of(name: str, mask: Path, steps: int, folder: Path) -> Path:
    """The model trained for a mask, or on with it."""
    out = folder / f"{name}.pt"
    run = Run(out)
    if not out.exists() or run.checkpoint.exists():
        spec = FileMask(path=str(mask), sha256=mask_sha256(read_mask(mask)))
        here = experiment(steps).with_(name=f"telomeres-{name}", mask=spec)
        print(f"training {name}", flush=True)
        if train_model(here, out, start=Start(resume=run.checkpoint.exists()), watch=Printed()) is None:
            raise SystemExit("stopped; the same command goes on")
    return out


def judge(
    name: str, model: Path, counts: list[int], emitters: int, by: Sequence[str] = ("network", "refined")
) -> list[dict[str, Any]]:
    """Rows of a mask: each number of emitters in a frame, by the network alone and with the joint fit."""
    pipeline, ways = ways_of(model, None, "cpu")
    simulator = simulator_of(pipeline.experiment, load_model_file(model), None, exact=False)
    scene = scene_of("fig4", pipeline.experiment)
    rows: list[dict[str, Any]] = []
    for count in counts:
        frames = max(4, -(-emitters // count))
        chosen = {way: ways[way] for way in by}
        for way, tally in measure(chosen, simulator, scene, count, frames).items():
            row = tally.row(frames)
            rows.append({"mask": name, "N": count, "way": way, "emitters": frames * count, **row})
            print(rows[-1], flush=True)
    return rows


def draw(folder: Path, path: Path) -> None:
    """Figures of all masks in the folder against the number of emitters: solid with the fit, dashed without."""
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
    panels = (
        ("jaccard", "Jaccard index"),
        ("lateral nm", "lateral RMSE (nm)"),
        ("axial nm", "axial RMSE (nm)"),
    )
    for number, file in enumerate(sorted(folder.glob("*.rows.json"))):
        rows = json.loads(file.read_text())
        for axis, (key, _) in zip(axes, panels, strict=True):
            for way, line in (("refined", "-"), ("network", "--")):
                known = [(row["N"], row[key]) for row in rows if row["way"] == way]
                name = rows[0]["mask"] if way == "refined" else None
                axis.plot(*zip(*known, strict=True), line, marker="o", ms=3, color=f"C{number}", label=name)
            if key != "jaccard":
                fitted = [row for row in rows if row["way"] == "refined"]
                least = np.array([row["bound nm x y z"] for row in fitted])
                bound = np.hypot(least[:, 0], least[:, 1]) if key == "lateral nm" else least[:, 2]
                axis.plot([row["N"] for row in fitted], bound, ":", color=f"C{number}")
    for axis, (key, label) in zip(axes, panels, strict=True):
        axis.set(xlabel="emitters in a frame (79 µm²)", ylabel=label)
        axis.set_ylim(0, 1.03 if key == "jaccard" else None)
        axis.grid(alpha=0.3)
    axes[0].legend(title="solid: network and fit\ndashed: network alone\ndotted: joint bound")
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where masks and models are kept")
    parser.add_argument("masks", nargs="*", metavar="NAME=FILE", help="more masks")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these masks")
    parser.add_argument("--steps", type=int, default=5000, help="of every training")
    parser.add_argument("--counts", type=int, nargs="*", default=list(COUNTS), help="none: train only")
    parser.add_argument("--emitters-per-point", type=int, default=400)
    parser.add_argument("--plot", type=Path, metavar="FILE")
    arguments = arguments_of(parser)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    texts = {"tetrapod": "", "single": "", "crowd": ""}
    for each in arguments.masks:
        name, equals, text = each.partition("=")
        if not equals:
            parser.error(f"'{each}': write NAME=FILE")
        texts[name] = text
    names = arguments.only or list(texts)
    if unknown := [name for name in names if name not in texts]:
        parser.error(f"there is no mask {', '.join(unknown)}: there are {', '.join(texts)}")
    rows = []
    for name in names:
        mask = mask_of(name, texts[name], arguments.folder)
        model = model_of(name, mask, arguments.steps, arguments.folder)
        judged = judge(name, model, arguments.counts, arguments.emitters_per_point)
        if judged:
            (arguments.folder / f"{name}.rows.json").write_text(json.dumps(judged))
        rows += judged
    if arguments.plot:
        draw(arguments.folder, arguments.plot)
    if rows:
        report("Masks at full size", rows, arguments)


if __name__ == "__main__":
    main()
