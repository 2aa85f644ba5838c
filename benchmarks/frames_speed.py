"""Seconds a frame, from its pixels to the refined list: this tree, and an earlier one beside it.

Frames of 121×121 pixels with a border of 20 free of emitters, in the conditions of Fig. 2 and Fig. 4,
localized with the built-in model, all at once; and 455×273 pixels of each real STORM frame, if they are there.
Each tree runs in a process of its own on the same saved frames; in every round one after the other. The first
pass of a process, which compiles and warms up, is not counted. "network" is `Pipeline.propose`, "all" is
`Pipeline.localize` with the joint fit; "fit" is their difference.

    python benchmarks/frames_speed.py --threads 2 --before FOLDER_OF_AN_EARLIER_TREE
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from accuracy import SEED, TOLERANCE_UM, scene_of, simulator_of
from deepstorm3d.analysis.matching import match
from deepstorm3d.analysis.metrics import score
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.io.movies import open_movie
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.pipeline import experiment_of
from deepstorm3d.simulation.priors import FixedCount
from harness import arguments_of, interval, report
from processes import Worker

HERE = Path(__file__).parent
BUILT_IN = HERE.parent / "src" / "deepstorm3d" / "models" / "tetrapod.pt"
STORM_MODEL = HERE / "models" / "storm" / "model.pt"
DATA = HERE.parents[1] / "shared" / "data"
WIDTH, HEIGHT = 455, 273
CASES = ("fig2:10", "fig2:35", "fig2:75", "fig2:100", "fig4:100", "storm")


@torch.no_grad()
def simulated(conditions: str, emitters: int, frames: int) -> tuple[dict[str, Any], Emitters]:
    """Photons of frames with as many emitters each, and the truth."""
    model = load_model_file(BUILT_IN)
    experiment = experiment_of(model)
    simulator, scene = simulator_of(experiment, model, None, exact=False), scene_of(conditions, experiment)
    generator = torch.Generator().manual_seed(SEED + emitters)
    prior = scene.emitters.with_(count=FixedCount(count=emitters))
    truth = prior.draw(frames, simulator.field, generator)
    background = scene.background.draw(frames, simulator.field, generator)
    photons = simulator.to_photons(simulator(truth, background, generator))
    return {"photons": photons.numpy(), "model": str(BUILT_IN), "mask": ""}, truth


def real(frames: int) -> dict[str, Any]:
    """Counts of the real STORM frames."""
    with open_movie(DATA / "storm_tetrapod_40.tif") as movie:
        counts = movie.read(0, frames)[:, :HEIGHT, :WIDTH]
    mask = DATA / "mask_tetrapod_printed.mat"
    return {"counts": np.asarray(counts, np.float32), "model": str(STORM_MODEL), "mask": str(mask)}


def accuracy(truth: Emitters, rows: np.ndarray) -> dict[str, Any]:
    """Jaccard index and RMSE of a list."""
    frame, xyz = torch.from_numpy(rows[:, 0]).long(), torch.from_numpy(rows[:, 1:]).float()
    found = Localizations.proposals(xyz, frame, torch.ones(len(rows)))
    measured = score(truth, found, match(truth, found, tolerance_um=TOLERANCE_UM))
    return {
        "Jaccard": round(measured.jaccard, 3),
        "missed": measured.fn,
        "false": measured.fp,
        "lateral, nm": round(measured.rmse_lateral_nm or 0.0, 1),
        "axial, nm": round(measured.rmse_axial_nm or 0.0, 1),
    }


def measure(case: str, arguments: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """One row for each tree."""
    truth = None
    if case == "storm":
        saved, at_once = real(arguments.storm_frames), arguments.at_once
    else:
        conditions, emitters = case.split(":")
        saved, truth = simulated(conditions, int(emitters), arguments.frames)
        at_once = arguments.frames
    np.savez(folder / "frames.npz", **saved)
    folders = {"now": HERE.parent} | ({"before": arguments.before} if arguments.before else {})
    told = [folder / "frames.npz", arguments.threads, at_once]
    trees = {
        name: Worker("frames_worker.py", told, threads=arguments.threads, path=each / "src")
        for name, each in folders.items()
    }
    passes: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    for turn in range(arguments.rounds + 1):
        for name, tree in trees.items():
            answer = tree.ask()
            if turn:
                passes[name].append(answer)
    result = []
    for name, tree in trees.items():
        tree.ask(f"save {folder / 'list.npy'}")
        tree.close()
        of = {key: [each[key] for each in passes[name]] for key in ("network", "all")}
        of["fit"] = [a - n for a, n in zip(of["all"], of["network"], strict=True)]
        row: dict[str, Any] = {"frames": case, "tree": name, "molecules": passes[name][-1]["molecules"]}
        row |= {f"{key}, s a frame": interval(values) for key, values in of.items()}
        result.append(row | (accuracy(truth, np.load(folder / "list.npy")) if truth is not None else {}))
        print(result[-1], flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="the working tree of an earlier commit")
    parser.add_argument("--cases", nargs="+", default=CASES, metavar="CASE", help="fig2:N, fig4:N or storm")
    parser.add_argument("--frames", type=int, default=6, help="of 121×121 pixels")
    parser.add_argument("--storm-frames", type=int, default=32)
    parser.add_argument("--at-once", type=int, default=32, help="STORM frames at a time")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.cases, arguments.frames, arguments.rounds = ["fig2:10"], 2, 1
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for case in arguments.cases for row in measure(case, arguments, Path(folder))]
    report("Seconds a frame, pixels to refined list", rows, arguments)


if __name__ == "__main__":
    main()
