"""A movie of thousands of frames: frames per second, the share of each stage, memory against frames.

The real frames, repeated to the length asked for: a stress movie with the density of the real ones, not a
recording. It is written as one TIFF, then localized as `deepstorm3d localize` does it. Memory is the resident
set of the process (and of its workers, with --cluster), sampled after every block; its slope is a straight line
through the samples of the second half, when all caches are filled.

  python benchmarks/long_movie.py MODEL --mask MASK --length 500
  python benchmarks/long_movie.py MODEL --mask MASK --length 2000 --no-refine --cluster local:2
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deepstorm3d.emitters import Localizations
from deepstorm3d.io.movies import MovieWriter, open_movie
from deepstorm3d.io.tables import read_table
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.localizing.cluster import cluster_workers
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import Pipeline
from deepstorm3d.localizing.recipe import Recipe
from deepstorm3d.watch import Silent
from harness import report
from storm_frames import frames_arguments, frames_parser

ASKED_FRAMES = 20_000


class Timed(Pipeline):
    """A pipeline that measures how long its network takes, as one part of localizing."""

    network_s = 0.0

    def propose(self, frames: Tensor) -> Localizations:
        began = time.perf_counter()
        found = super().propose(frames)
        Timed.network_s += time.perf_counter() - began
        return found


def repeated(source: Path, length: int, roi: list[int] | None, out: Path) -> tuple[int, int]:
    """Write the frames of a movie again and again; returns height and width."""
    with open_movie(source) as movie:
        counts = movie.read(0, movie.shape[0])
        pixel_um = movie.pixel_um
    if roi:
        x0, y0, x1, y1 = roi
        counts = counts[:, y0:y1, x0:x1]
    height, width = counts.shape[1:]
    with MovieWriter(out, frames=length, shape=(height, width), pixel_um=pixel_um) as writer:
        for start in range(0, length, len(counts)):
            writer.append(counts[: min(len(counts), length - start)])
    return height, width


def resident_bytes() -> int:
    """Memory of this process and its children that is really held."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/statm"):
        try:
            parent = int((status.parent / "stat").read_text().rpartition(")")[2].split()[1])
            mine = {int(status.parent.name), parent} & FAMILY
            if mine:
                FAMILY.add(int(status.parent.name))
                total += int(status.read_text().split()[1]) * 4096
        except (OSError, ValueError, IndexError):
            continue
    return total


FAMILY = {int(Path("/proc/self").resolve().name)}


class Sampling(Silent):
    """Notes the memory after each block, and prints the rate now and then."""

    def __init__(self) -> None:
        self.began, self.samples = 0.0, list[tuple[int, int]]()

    def message(self, text: str) -> None:
        print(text)

    def progress(self, done: int, total: int, note: str = "") -> None:
        self.samples.append((done, resident_bytes()))
        if len(self.samples) % 50 == 0:
            print(f"{done}/{total}, {done / (time.perf_counter() - self.began):.3f} frames/s", flush=True)


def main() -> None:
    parser = frames_parser(__doc__)
    parser.add_argument("--length", type=int, default=500, help="frames of the stress movie")
    parser.add_argument("--roi", type=int, nargs=4, metavar=("X0", "Y0", "X1", "Y1"))
    parser.add_argument("--no-refine", dest="refine", action="store_false")
    parser.add_argument("--cluster", help="local:N, as of `localize`")
    arguments = frames_arguments(parser)
    if arguments.quick:
        arguments.length, arguments.roi = 6, [100, 100, 228, 228]
    recipe = Recipe(str(arguments.model), arguments.mask, refine=arguments.refine, device=arguments.device)
    watch = Sampling()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        height, width = repeated(arguments.frames, arguments.length, arguments.roi, folder / "m.tif")
        plain = recipe.load()
        pipeline = Timed(**{field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)})
        workers = None
        if arguments.cluster:
            workers = stack.enter_context(cluster_workers(arguments.cluster, recipe, watch=watch))
        began = watch.began = time.perf_counter()
        summary = localize_movie(
            Excerpt(folder / "m.tif"), pipeline, ListFile(folder / "o.hdf5"), workers=workers, watch=watch
        )
        seconds = time.perf_counter() - began
        rows = len(read_table(folder / "o.hdf5"))
    frames, memory = np.array(watch.samples[len(watch.samples) // 2 :], dtype=float).T
    slope = np.polyfit(frames, memory, 1)[0] if len(frames) > 2 else float("nan")
    row = {
        "frames": summary.frames,
        "size": f"{width}×{height}",
        "refined": arguments.refine,
        "workers": arguments.cluster or "this process",
        "frames/s": summary.frames / seconds,
        "molecules/frame": rows / summary.frames,
        "memory, greatest, GiB": max(held for _, held in watch.samples) / 2**30,
        "memory, kB a frame": slope / 1000,
        f"hours for {ASKED_FRAMES}": ASKED_FRAMES * seconds / summary.frames / 3600,
    }
    if workers is None:
        localizing = summary.times.localizing
        row |= {
            "reading %": 100 * summary.times.reading / seconds,
            "network %": 100 * Timed.network_s / seconds,
            "rest of localizing %": 100 * (localizing - Timed.network_s) / seconds,
            "writing %": 100 * summary.times.writing / seconds,
        }
    report("A long movie", [row], arguments, threads_of_torch=torch.get_num_threads())


if __name__ == "__main__":
    main()
