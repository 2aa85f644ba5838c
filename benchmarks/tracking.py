"""Trajectories of diffusing molecules: how many links are right, and what D comes out as.

60 molecules in 20×20×4 µm, 50 frames, listed with errors of 12, 12 and 20 nm, some missed and some false in
each frame (the lists of the tests, tests/diffusing.py); --seeds lists a row. The search range comes from the
list itself, as in `track` (a gap of one frame is bridged); D by the covariance estimator, from steps between
adjacent frames. "D over truth": the mean over the lists; beside it the scatter from list to list and the mean
error that the program states, both over the truth. Where no range can be told, the list counts as refused.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
from pathlib import Path
from types import ModuleType
from typing import Any

from deepstorm3d.analysis.diffusion import diffusion
from deepstorm3d.analysis.tracking import find_range, link_tracks
from deepstorm3d.errors import InputError
from harness import arguments_of, report

# D in µm² a frame, part missed, false detections a frame.
CASES = (
    (1e-4, 0.1, 3.0),
    (1.5e-3, 0.1, 3.0),
    (1.5e-3, 0.3, 10.0),
    (1e-2, 0.1, 3.0),
    (5e-2, 0.1, 3.0),
)


def lists() -> ModuleType:
    """The diffusing molecules of the tests, by their file."""
    path = Path(__file__).parents[1] / "tests" / "diffusing.py"
    spec = importlib.util.spec_from_file_location("diffusing", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judged(scenes: ModuleType, coefficient: float, missed: float, false: float, seeds: int) -> dict[str, Any]:
    found_of_true, true_of_found, values, errors, refused = [], [], [], [], 0
    for seed in range(seeds):
        table, who = scenes.diffusing(60, 50, coefficient, missed=missed, false=false, seed=seed)
        try:
            track = link_tracks(table, find_range(table), gap=1)
        except InputError:
            refused += 1
            continue
        joined = scenes.successors(track, table.frame, 1)
        true = scenes.successors(who, table.frame, 1)
        found_of_true.append(len(joined & true) / len(true))
        true_of_found.append(len(joined & true) / len(joined))
        result = diffusion(scenes.tracked(table, track))
        assert result is not None
        values.append(result.coefficient / coefficient)
        errors.append(result.coefficient_error / coefficient)
    return {
        "D, µm² a frame": f"{coefficient:g}",
        "missed": missed,
        "false a frame": false,
        "true links found": statistics.fmean(found_of_true),
        "found links true": statistics.fmean(true_of_found),
        "D over truth": statistics.fmean(values),
        "scatter": statistics.stdev(values),
        "stated error": statistics.fmean(errors),
        "refused": refused,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30, help="lists of each case (default: 30)")
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.seeds = 2
    scenes = lists()
    rows = [judged(scenes, *case, arguments.seeds) for case in CASES]
    report("Trajectories over snapshots", rows, arguments)


if __name__ == "__main__":
    main()
