"""Seconds and memory to draw ten million localizations: our renderers and Picasso's, on the same points.

    python benchmarks/rendering_speed.py --threads 1 --picasso PYTHON

PYTHON: of an environment with picassosr (its dependencies do not agree with ours). Every renderer works in a
process of its own, holds the points, and draws them once a round, all in turn; the first round (Numba compiles)
is not counted. Points lie on filaments, σ are log-normal around 10 nm.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness import arguments_of, interval, report, take_turns
from processes import Worker

OURS = ("histogram", "average shifted histogram", "gaussian, each its own", "gaussian, one for all")
PICASSOS = ("None", "smooth", "convolve", "gaussian")


class Renderer(Worker):
    """A renderer's process, and what it said last."""

    def __init__(self, python: str, program: str, name: str, data: Path, arguments: argparse.Namespace) -> None:
        told = (program, name, data, arguments.threads, arguments.pixel_nm, arguments.field_um)
        super().__init__("rendering_worker.py", told, threads=arguments.threads, python=python)
        self.points, self.said = arguments.points, dict[str, Any]()
        self.processor: list[float] = []

    def render(self) -> int:
        self.said = self.ask("render")
        self.processor.append(self.said["processor"])
        return self.points


def filaments(points: int, field_um: float, seed: int = 0) -> np.ndarray:
    """Points (N, 4): x, y, σx, σy, µm; nine in ten on 200 bent filaments of 25 nm, the others anywhere."""
    g = np.random.default_rng(seed)
    which, along = g.integers(200, size=points), g.random(points)
    start, end, bend = g.random((3, 200, 2)) * field_um
    t = along[:, None]
    xy = (1 - t) ** 2 * start[which] + 2 * t * (1 - t) * bend[which] + t**2 * end[which]
    xy += 0.0125 * g.standard_normal(xy.shape)
    anywhere = g.random(points) < 0.1
    xy[anywhere] = g.random((int(anywhere.sum()), 2)) * field_um
    # Both programs are to draw all points: none beyond the field.
    sigma = 0.01 * np.exp(0.4 * g.standard_normal((points, 2)))
    return np.concatenate([xy.clip(0.05, field_um - 0.05), sigma], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picasso", metavar="PYTHON", help="Python of an environment with picassosr")
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pixel-nm", type=float, default=10.0)
    parser.add_argument("--field-um", type=float, default=20.0)
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.points, arguments.rounds = 100_000, 1
    ways = [("deepstorm3d", name, sys.executable) for name in OURS]
    ways += [("picasso", name, arguments.picasso) for name in PICASSOS if arguments.picasso]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "points.npy"
        np.save(data, filaments(arguments.points, arguments.field_um))
        workers = {
            f"{program}: {name}": Renderer(python, program, name, data, arguments)
            for program, name, python in ways
        }
        work: dict[str, Callable[[], int]] = {label: worker.render for label, worker in workers.items()}
        rates = take_turns(work, arguments.rounds)
        rows = [
            {
                "renderer": label,
                "seconds": interval([arguments.points / rate for rate in rates[label]]),
                "of the processor": interval(worker.processor[1:]),
                "peak memory of the process (GB)": worker.said["peak"] / 1e9,
                "sum of the image": worker.said["sum"],
            }
            for label, worker in workers.items()
        ]
        agreement = _agreement(workers, Path(folder)) if arguments.picasso else "not measured"
        for worker in workers.values():
            worker.close()
    report("Rendering", rows, arguments, **{"our gaussian against Picasso's": agreement})


def _agreement(workers: dict[str, Renderer], folder: Path) -> str:
    images = []
    for label in ("deepstorm3d: gaussian, each its own", "picasso: gaussian"):
        workers[label].ask(f"save {folder / 'image.npy'}")
        images.append(np.load(folder / "image.npy").astype(float))
    ours, theirs = images
    difference = np.abs(ours - theirs).max() / theirs.max()
    alike = np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]
    return f"largest difference {100 * difference:.2f} % of the peak, correlation {alike:.6f}"


if __name__ == "__main__":
    main()
