"""The coarse, the mixture and the paper's voxel network with trainings of equal cost, through the Tetrapod.

Set-up, frames and emitters of `masks_at_full_size.py` (Fig. 4 of Nehme et al. 2020). A step of each network is
timed first (processor seconds of one thread, image and gradient, in turns); the coarse network then gets
--steps steps, and every other one as many as cost the same. Stopped and started again, it goes on.

    nice python benchmarks/networks_at_equal_cost.py FOLDER
    python benchmarks/networks_at_equal_cost.py FOLDER --only mixture --counts 10 35 75
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from pathlib import Path

from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.jobs.start_of_training import Start
from deepstorm3d.jobs.train import build_localizer, build_sampler, train_model
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.mixture import MixtureSpec
from deepstorm3d.localizer.voxel import VoxelSpec
from deepstorm3d.training.loop import train
from deepstorm3d.training.runs import Run
from harness import arguments_of, report
from masks_at_full_size import COUNTS, Printed, experiment, judge

# Over 4 µm: planes of 100 nm and two voxels a pixel, which two cores can train; and of 50 nm and four.
NETWORKS = {
    "coarse": CoarseSpec(channels=64),
    "mixture": MixtureSpec(channels=64),
    "voxel 55 nm": VoxelSpec(planes=41, upsampling=2),
    "voxel 27.5 nm": VoxelSpec(planes=81, upsampling=4),
}
TIMED_STEPS, TURNS = 5, 3


def setup(name: str, steps: int) -> Experiment:
    """The training of one network."""
    return experiment(steps).with_(name=name, network=NETWORKS[name])


def seconds_a_step(name: str) -> float:
    """Processor seconds of a step: the median of a few, without the first."""
    here, ends = setup(name, TIMED_STEPS + 2), [time.process_time()]
    spec = here.training.with_(validation_crops=1)
    train(
        build_localizer(here),
        build_sampler(here),
        spec,
        after_step=lambda _: ends.append(time.process_time()),
    )
    taken = [after - before for before, after in itertools.pairwise(ends)]
    # The first one makes the kernels; the last one validates.
    return statistics.median(taken[1:-1])


def costs(folder: Path) -> dict[str, float]:
    """Processor seconds of a step of every network, measured once and kept in the folder."""
    path = folder / "seconds_a_step.json"
    if not path.exists():
        turns = [{name: seconds_a_step(name) for name in NETWORKS} for _ in range(TURNS)]
        found = {name: statistics.median(turn[name] for turn in turns) for name in NETWORKS}
        path.write_text(json.dumps(found))
    made: dict[str, float] = json.loads(path.read_text())
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where models are kept")
    parser.add_argument("--only", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=5000, help="of the coarse network")
    parser.add_argument("--counts", type=int, nargs="*", default=list(COUNTS), help="none: train only")
    parser.add_argument("--emitters-per-point", type=int, default=400)
    arguments = arguments_of(parser)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    cost, rows = costs(arguments.folder), []
    for name in arguments.only:
        out = arguments.folder / f"{name}.pt"
        unfinished = Run(out).checkpoint.exists()
        steps = round(arguments.steps * cost["coarse"] / cost[name])
        print(f"{name}: {cost[name]:.3f} s a step, {steps:,} steps", flush=True)
        if not out.exists() or unfinished:
            made = train_model(setup(name, steps), out, start=Start(resume=unfinished), watch=Printed())
            if made is None:
                raise SystemExit("stopped; the same command goes on")
        for row in judge(name, out, arguments.counts, arguments.emitters_per_point, ("network",)):
            rows.append({"network": row.pop("mask"), "steps": steps, "s/step": round(cost[name], 3), **row})
    if rows:
        report("Networks at equal cost", rows, arguments)


if __name__ == "__main__":
    main()
