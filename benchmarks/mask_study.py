"""What decides how well a learned mask does: start, loss, decoder, density, depth, light, sampling.

Preset `mask-design`, one thing changed at a time. Each mask learns for `--design-steps` with its variant; then
the preset's own network is trained from scratch for each of them with an equal budget (`compare_masks`) and
judged on the same emitters. Variants that change what is imaged (depth, light) are judged in their own world,
against the mask of the unchanged preset and the one of least bound for one molecule there.

Work already done in the folder is kept, an unfinished run goes on: the same command continues. Two processes
may share the work by --only NAME,NAME; the last call, without it, prints everything.

  python benchmarks/mask_study.py runs/study --threads 1
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.io.masks import mask_sha256
from deepstorm3d.jobs.compare_psf import MaskTest, compare_masks, contenders_of
from deepstorm3d.jobs.design_psf import design_mask
from deepstorm3d.jobs.fisher_design import criterion_of, design_by_fisher
from deepstorm3d.jobs.start_of_training import Start
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.mixture import MixtureSpec
from deepstorm3d.localizer.voxel import VoxelSpec
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import AstigmaticMask, PixelMask, RandomMask
from deepstorm3d.simulation.backgrounds import SuperGaussianBackground
from deepstorm3d.simulation.priors import DensityCount, EmitterPrior, Scene, UniformPhotons
from deepstorm3d.training.runs import DesignRun
from deepstorm3d.watch import Named, Silent
from harness import arguments_of, report

Change = Callable[[Experiment], Experiment]
DENSITIES = (0.4, 0.8, 1.2)


def emitters(experiment: Experiment, **changes: object) -> Experiment:
    """The experiment with its emitters changed."""
    scene = experiment.scene()
    prior: EmitterPrior = scene.emitters.with_(**changes)
    return experiment.with_(scenes={"nucleus": scene.with_(emitters=prior)})


def ends_only(experiment: Experiment) -> Experiment:
    """Molecules in the first and last quarter of the depth range only."""
    scene = experiment.scene()
    low, high = scene.emitters.z_um
    quarter = (high - low) / 4

    def part(z_um: tuple[float, float]) -> Scene:
        return scene.with_(emitters=scene.emitters.with_(z_um=z_um))

    return experiment.with_(scenes={"near": part((low, low + quarter)), "far": part((high - quarter, high))})


def dim(experiment: Experiment) -> Experiment:
    """A tenth of the light, from the molecules and from the background."""
    scene = experiment.scene()
    background = SuperGaussianBackground(floor=(2.0, 3.0), peak=(10.0, 15.0))
    prior = scene.emitters.with_(photons=UniformPhotons(low=1000.0, high=6000.0))
    return experiment.with_(scenes={"nucleus": scene.with_(emitters=prior, background=background)})


def deep(experiment: Experiment, z_um: float, focus: float, patch_px: int) -> Experiment:
    """Another depth range, the focus in its middle, the patch as large as the light needs.

    A larger patch needs a finer pupil: the image of the binned mask repeats every 82 px.
    """
    return emitters(experiment, z_um=(0.0, z_um)).with_(
        microscope=experiment.microscope.with_(focus=focus),
        psf=experiment.psf.with_(patch_px=patch_px, pupil_oversampling=2),
    )


# Judged with the unchanged preset: they change how the mask comes about, not what it is for.
LEARNING: dict[str, tuple[str, Change]] = {
    "preset": ("", lambda e: e),
    "preset-again": ("other random numbers", lambda e: e.with_(seed=e.seed + 100)),
    "start-astigmatic": ("start: astigmatic", lambda e: e.with_(mask=AstigmaticMask())),
    "start-random": ("start: smooth random", lambda e: e.with_(mask=RandomMask())),
    "narrow": (
        "loss: heat of σ 0.6 voxels (1)",
        lambda e: e.with_(network=CoarseSpec(channels=48, spread=0.6)),
    ),
    "mixture": ("decoder and loss: mixture", lambda e: e.with_(network=MixtureSpec(channels=48))),
    "voxel": (
        "decoder and loss: voxel, 110 × 110 × 100 nm",
        lambda e: e.with_(network=VoxelSpec(planes=20, upsampling=1, channels=48)),
    ),
    "sparse": (
        "density 0.1–0.4 per µm² (0.1–1.5)",
        lambda e: emitters(e, count=DensityCount(low=0.1, high=0.4)),
    ),
    "dense": ("density 1.2–3 per µm² (0.1–1.5)", lambda e: emitters(e, count=DensityCount(low=1.2, high=3.0))),
    "ends": ("positions: first and last quarter of the depth only", ends_only),
}
# Judged in their own world.
WORLDS: dict[str, tuple[str, Change]] = {
    "dim": ("light: a tenth, signal and background", dim),
    "deep": ("depth: 3 µm", lambda e: deep(e, 3.0, 2.1, 41)),
}


def unchanged(arguments: argparse.Namespace) -> Experiment:
    experiment = preset("mask-design")
    if arguments.quick:
        experiment = experiment.with_(
            network=CoarseSpec(channels=8), training=experiment.training.with_(batch=2, validation_crops=4)
        )
    return experiment


def learned(name: str, change: Change, arguments: argparse.Namespace) -> Path:
    """The mask of a variant, learned unless it is there."""
    out: Path = arguments.folder / f"{name}.npy"
    if not out.exists():
        steps = arguments.design_steps
        experiment = change(unchanged(arguments))
        training = experiment.training.with_(steps=steps, validate_every=max(1, steps // 3))
        print(f"designing {name}", flush=True)
        design_mask(
            experiment.with_(training=training), out, start=Start(resume=DesignRun(out).checkpoint.exists())
        )
    return out


def least_bound(name: str, experiment: Experiment, arguments: argparse.Namespace) -> Path:
    """The mask of least bound for one molecule in a world."""
    out: Path = arguments.folder / f"{name}-single.npy"
    if not out.exists():
        design = experiment.design.with_(learning_rate=0.05, fisher_steps=20 if arguments.quick else 600)
        design_by_fisher(experiment.with_(mask=AstigmaticMask(), design=design), out)
    return out


class Printed(Silent):
    """Prints what it is told."""

    def message(self, text: str) -> None:
        print(text, flush=True)


def judge(world: str, experiment: Experiment, masks: list[Path], arguments: argparse.Namespace) -> list[dict]:
    """Rows of all masks in one world: Jaccard at each density and seed, errors, and the bound alone."""
    steps = arguments.train_steps
    training = experiment.training.with_(steps=steps, validate_every=max(1, steps // 2))
    experiment = experiment.with_(training=training)
    contenders = contenders_of(experiment, [str(path) for path in masks])
    rows = compare_masks(
        experiment,
        contenders,
        arguments.folder / f"judged-{world}",
        MaskTest(densities=DENSITIES, seeds=arguments.seeds),
        watch=Named(Printed(), world),
    )
    assert rows is not None
    table = []
    for each in contenders:
        row: dict[str, object] = {
            "world": world,
            "mask": each.name,
            "sha256": mask_sha256(each.phase.numpy())[:12],
        }
        for density in DENSITIES:
            own = [r for r in rows if r.mask == each.name and r.density == density]
            row[f"Jaccard at {density}"] = round(sum(r.jaccard for r in own) / len(own), 3)
        middle = [r for r in rows if r.mask == each.name and r.density == DENSITIES[1]]
        for axis in ("lateral", "axial"):
            values = [getattr(r, f"rmse_{axis}_nm") or float("nan") for r in middle]
            row[f"{axis} nm at {DENSITIES[1]}"] = round(sum(values) / len(values), 1)
        psf = build_psf(experiment.psf, experiment.microscope, PixelMask(each.phase))
        with torch.no_grad():
            row["σx+σy+σz alone, nm"] = round(float(criterion_of(experiment)(psf, torch.Generator())), 1)
        table.append(row)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where masks and models are kept")
    parser.add_argument("--design-steps", type=int, default=3000)
    parser.add_argument("--train-steps", type=int, default=2400)
    parser.add_argument("--seeds", type=int, default=1, help="trainings for each mask")
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="design these and stop")
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.design_steps, arguments.train_steps = 3, 4
    arguments.folder.mkdir(parents=True, exist_ok=True)
    changes = LEARNING | WORLDS
    for name in arguments.only.split(",") if arguments.only else []:
        learned(name, changes[name][1], arguments)
    if arguments.only:
        return
    base = unchanged(arguments)
    masks = [learned(name, change, arguments) for name, (_, change) in LEARNING.items()]
    rows = judge("preset", base, [*masks, least_bound("preset", base, arguments)], arguments)
    for name, (_, change) in WORLDS.items():
        here = change(base)
        own = [
            arguments.folder / "preset.npy",
            learned(name, change, arguments),
            least_bound(name, here, arguments),
        ]
        rows += judge(name, here, own, arguments)
    for row in rows:
        row["changed"] = changes.get(str(row["mask"]), ("",))[0]
    report("What decides a learned mask", rows, arguments)


if __name__ == "__main__":
    main()
