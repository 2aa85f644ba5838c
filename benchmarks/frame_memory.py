"""Memory that the work on large frames takes, and what `localizing.memory` reckons for it.

Each point is measured in a process of its own: the highest resident set while frames are worked on, less that
before, when model and compiled code are loaded and a small frame was localized. "network" is
`Pipeline.propose`, "all" is `Pipeline.explain` with the joint fit, of so many frames side by side, each in a
thread of its own; "reckoned" is for the molecules found. Model: a built-in one, on simulated frames; storm, on
the real ones, mirrored up to the size.

    python benchmarks/frame_memory.py --points tetrapod:512:0.02:1 tetrapod:256:0.1:2 storm:512:0:1

MODEL:PX:DENSITY:FRAMES is model, side of the frames, molecules per µm², and frames side by side.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from accuracy import SEED, simulator_of
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.field import Field
from deepstorm3d.io.movies import open_movie
from deepstorm3d.localizer.modelfile import ModelFile, load_model_file
from deepstorm3d.localizing.in_order import in_order
from deepstorm3d.localizing.memory import bytes_of_frame
from deepstorm3d.localizing.pipeline import Pipeline, experiment_of, load_pipeline
from deepstorm3d.simulation.counts import FixedCount
from deepstorm3d.simulation.simulator import Simulator
from deepstorm3d.watch import SILENT
from harness import arguments_of, report

HERE = Path(__file__).parent
BUILT_IN, STORM_MODEL = HERE.parent / "src" / "deepstorm3d" / "models", HERE / "models" / "storm" / "model.pt"
DATA = HERE.parents[1] / "shared" / "data"
MASK, MOVIE = DATA / "mask_tetrapod_printed.mat", DATA / "storm_tetrapod_40.tif"
SMALL_PX = 96
POINTS = (
    "tetrapod:256:0.02:1",
    "tetrapod:256:0.3:1",
    "learned:256:0.1:1",
    "tetrapod:256:0.1:2",
    "storm:256:0:1",
    "tetrapod:512:0.02:1",
    "storm:512:0:1",
)


def simulated(model: ModelFile, experiment: Experiment, px: int, density: float, frames: int) -> Tensor:
    """Photons of frames of so many molecules per µm²."""
    small = simulator_of(experiment, model, None, exact=False)
    field = Field(px, px, experiment.microscope.pixel_um)
    simulator, scene = Simulator(small.psf, experiment.camera, field), next(iter(experiment.scenes.values()))
    generator = torch.Generator().manual_seed(SEED + px)
    count = FixedCount(count=round(density * (px * field.pixel_um) ** 2))
    truth = scene.emitters.with_(count=count).draw(frames, field, generator)
    return simulator.to_photons(simulator(truth, scene.background.draw(frames, field, generator), generator))


def real(pipeline: Pipeline, px: int, frames: int) -> Tensor:
    """Photons of the STORM frames, mirrored and repeated up to the size."""
    with open_movie(MOVIE) as movie:
        counts = np.asarray(movie.read(0, frames), np.float32)
    height, width = counts.shape[1:]
    wide = np.pad(counts, [(0, 0), (0, max(0, px - height)), (0, max(0, px - width))], "symmetric")
    return pipeline.to_photons(torch.from_numpy(wide[:, :px, :px].copy()))


def resident(name: str) -> int:
    """VmRSS, the resident set, or VmHWM, its highest since `peak_of` began, bytes (Linux)."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(found[1]) if found else 0


def peak_of(work: Callable[[], Any]) -> tuple[int, Any]:
    """How far the resident set rises, bytes, and the result of the work."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    result = work()
    return resident("VmHWM") - before, result


def loaded(name: str) -> tuple[ModelFile, Pipeline]:
    """A model file of this name, and its pipeline."""
    if name == "storm":
        model = load_model_file(STORM_MODEL)
        return model, load_pipeline(model, mask=MASK)
    model = load_model_file(BUILT_IN / f"{name}.pt")
    return model, load_pipeline(model)


@torch.no_grad()
def point(name: str, px: int, density: float, frames: int) -> dict[str, Any]:
    """One row of the table."""
    model, pipeline = loaded(name)
    torch.set_num_threads(frames)
    photons = (
        real(pipeline, px, frames)
        if name == "storm"
        else simulated(model, experiment_of(model), px, density, frames)
    )
    pipeline.localize(photons[:, :SMALL_PX, :SMALL_PX])
    row: dict[str, Any] = {"point": f"{name}, {px} px, {density:g}", "frames": frames}

    def network(number: int, *_: Any) -> int:
        return len(pipeline.propose(photons[number : number + 1]))

    def everything(number: int, *_: Any) -> int:
        return len(pipeline.explain(photons[number : number + 1]).localizations)

    found = 0
    for what, work in {"network": network, "all": everything}.items():
        began = time.perf_counter()
        rise, found = peak_of(lambda work=work: sum(in_order(work, range(frames), frames, SILENT)))
        row |= {f"{what}, B/px": round(rise / (frames * px * px)), f"{what}, MB": round(rise / 1e6)}
        row[f"{what}, s"] = round(time.perf_counter() - began, 1)
    reckoned = bytes_of_frame(pipeline, (px, px), found / frames)
    return row | {"rows": found, "reckoned, B/px": round(reckoned / (px * px))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", nargs="+", default=POINTS, metavar="MODEL:PX:DENSITY:FRAMES")
    arguments = arguments_of(parser)
    fresh, rows = multiprocessing.get_context("spawn"), []
    for text in ["tetrapod:128:0.02:1"] if arguments.quick else arguments.points:
        name, px, density, frames = text.split(":")
        with fresh.Pool(1) as pool:
            rows.append(pool.apply(point, (name, int(px), float(density), int(frames))))
        print(rows[-1], flush=True)
    report("Memory of the work on a frame", rows, arguments)


if __name__ == "__main__":
    main()
