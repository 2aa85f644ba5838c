"""How long the commands on a list take for a million rows, beside an earlier commit, and what they find.

    python benchmarks/million_rows.py --threads 1 --before FOLDER_OF_AN_EARLIER_TREE

The list: 40×40×4 µm over 20,000 frames; filaments (25 nm thick), clusters (60 nm) and stray molecules that
shine through 2.5 frames on average, three times each; σ from the light, about 10 · 10 · 20 nm and stated; a
drift of up to 300 · 300 · 200 nm to either side. `resolution`, `report`, `render` and `link` read the list
without drift, `track` another one, of as many rows of diffusing molecules. --kept: `drift`, `resolution` and
`report` also of lists with the column `molecule`, in which the rows of a blink share a position.
Each command is a process of its own and runs by both trees in turn, with all that it reads and writes. Told are
the processor's seconds, the clock, the greatest memory, and what was found: what is left of the drift (rms over
frames, nm), Fourier ring correlation and NeNA (nm). The ratio is of the processor's seconds, pair by pair.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from deepstorm3d.emitters import Localizations
from deepstorm3d.io.tables import TableHeader, write_list
from harness import arguments_of, interval, report

Floats = NDArray[np.float64]
HERE = Path(__file__).resolve().parents[1]
SIDE_UM, DEPTH_UM, PIXEL_UM = 40.0, 4.0, 0.1
ON_FRAMES, BLINKS, LIGHT = 2.5, 3, 3000.0
SIGMA_UM = np.array([0.010, 0.010, 0.020])
DRIFT_UM = np.array([0.3, 0.3, 0.2])
COMMANDS: dict[str, tuple[str, ...]] = {
    "filter": ("filter", "drifted.hdf5", "photons > 1500 & sigma_z_nm < 30", "--out", "{}.hdf5"),
    "convert": ("convert", "drifted.hdf5", "{}.csv"),
    "convert back": ("convert", "drifted.csv", "{}.hdf5"),
    "render": ("render", "still.hdf5", "--out", "{}.png"),
    "link": ("link", "still.hdf5", "--out", "{}.hdf5"),
    "track": ("track", "moving.hdf5", "--out", "{}.hdf5", "--interval", "0.02", "--picture", "{}.png"),
    "resolution": ("resolution", "still.hdf5", "--json", "{}.json", "--plot", "{}.png"),
    "drift": ("drift", "drifted.hdf5", "--out", "{}.hdf5"),
    "report": ("report", "still.hdf5", "--out", "{}.html"),
    "resolution, kept": ("resolution", "still_kept.hdf5", "--json", "{}.json"),
    "drift, kept": ("drift", "drifted_kept.hdf5", "--out", "{}.hdf5"),
    "report, kept": ("report", "still_kept.hdf5", "--out", "{}.html"),
}


def sites(number: int, rng: np.random.Generator) -> Floats:
    """Places of molecules (number, 3) µm: 75 % on filaments, 20 % in clusters, the rest anywhere."""
    box = np.array([SIDE_UM, SIDE_UM, DEPTH_UM])
    on, clustered = round(0.75 * number), round(0.2 * number)
    curve, along = rng.integers(150, size=on), rng.random(on)[:, None]
    ends, bends = rng.random((2, 150, 3)), 0.08 * rng.normal(size=(3, 150, 3))
    place = ends[0][curve] * (1 - along) + ends[1][curve] * along
    for wave in range(3):
        place += bends[wave][curve] * np.sin(np.pi * (wave + 1) * along) / (wave + 1)
    place = np.clip(place, 0, 1) * box + 0.025 * rng.normal(size=(on, 3))
    centres = box * rng.random((400, 3))
    lumps = centres[rng.integers(400, size=clustered)] + 0.06 * rng.normal(size=(clustered, 3))
    return np.concatenate([place, lumps, box * rng.random((number - on - clustered, 3))])


@dataclass(frozen=True)
class Blinks:
    """Rows in order of frame: blink and frame (N,), photons (N,), true place and σ (N, 3) µm."""

    blink: NDArray[np.int64]
    frame: NDArray[np.int64]
    photons: Floats
    place: Floats
    sigma: Floats

    def measured(self, moved: Floats, rng: np.random.Generator) -> Localizations:
        """Each row by itself.  moved: (frames, 3) µm."""
        xyz = self.place + self.sigma * rng.normal(size=self.sigma.shape) + moved[self.frame]
        return table(xyz, self.frame, self.photons, self.sigma)

    def fitted_over_frames(self, moved: Floats, rng: np.random.Generator) -> Localizations:
        """The rows of a blink share a position, and a σ that is that of all."""
        _, first, which, rows = np.unique(
            self.blink, return_index=True, return_inverse=True, return_counts=True
        )
        sigma = self.sigma[first] / np.sqrt(rows)[:, None]
        xyz = self.place[first] + sigma * rng.normal(size=sigma.shape)
        between = np.stack([np.bincount(which, along) / rows for along in moved[self.frame].T], axis=1)
        made = table((xyz + between)[which], self.frame, self.photons, sigma[which])
        return replace(made, molecule=torch.from_numpy(self.blink))


def blinking(rows: int, frames: int, rng: np.random.Generator) -> Blinks:
    place = rng.permutation(sites(round(rows / ON_FRAMES / BLINKS * 1.02) + 1, rng))
    begin = rng.integers(frames, size=len(place) * BLINKS)
    length = rng.geometric(1 / ON_FRAMES, len(begin))
    blink = np.repeat(np.arange(len(begin)), length)
    frame = begin[blink] + np.arange(len(blink)) - np.repeat(np.cumsum(length) - length, length)
    inside = np.flatnonzero(frame < frames)[:rows]
    order = inside[np.argsort(frame[inside], kind="stable")]
    blink, frame = blink[order], frame[order]
    photons = LIGHT * rng.gamma(3.0, 1 / 3.0, len(blink)) + 200
    sigma = SIGMA_UM * np.sqrt(LIGHT / photons)[:, None]
    return Blinks(blink, frame, photons, place[blink // BLINKS], sigma)


def wander(frames: int, rng: np.random.Generator) -> Floats:
    """A smooth random walk (frames, 3) µm, mean 0, as far as `DRIFT_UM` to the farther side."""
    smooth = frames / 12
    margin = round(4 * smooth)
    walk = gaussian_filter1d(rng.normal(size=(frames + 2 * margin, 3)), smooth, axis=0)[
        margin : margin + frames
    ]
    walk = walk - walk.mean(0)
    return walk / np.abs(walk).max(0) * DRIFT_UM


def diffusing(rows: int, frames: int, rng: np.random.Generator) -> Localizations:
    """Molecules that diffuse (0.1 µm²/s, 20 ms a frame) and are seen in ten frames on average."""
    length = rng.geometric(0.1, round(1.02 * rows / 10) + 1)
    begin = rng.integers(frames, size=len(length))
    who = np.repeat(np.arange(len(length)), length)
    first = np.cumsum(length) - length
    frame = begin[who] + np.arange(len(who)) - first[who]
    walk = np.cumsum(np.sqrt(2 * 0.1 * 0.02) * rng.normal(size=(len(who), 3)), axis=0)
    place = np.array([SIDE_UM, SIDE_UM, DEPTH_UM]) * rng.random((len(length), 3))
    xyz = place[who] + walk - walk[first][who] + SIGMA_UM * rng.normal(size=(len(who), 3))
    keep = np.flatnonzero(frame < frames)[:rows]
    order = keep[np.argsort(frame[keep], kind="stable")]
    sigma = np.broadcast_to(SIGMA_UM, (len(order), 3))
    return table(xyz[order], frame[order], np.full(len(order), LIGHT), sigma)


def table(xyz: Floats, frame: NDArray[np.int64], photons: Floats, sigma: Floats) -> Localizations:
    place, light, spread = (torch.from_numpy(each.astype(np.float32)) for each in (xyz, photons, sigma))
    made = Localizations.proposals(place, torch.from_numpy(frame), torch.ones(len(frame)))
    return replace(made, photons=light, sigma_xyz=spread, sigma_source="fit")


def write_lists(folder: Path, rows: int, frames: int, seed: int) -> Floats:
    """All lists that the commands read; returns the drift."""
    rng = np.random.default_rng(seed)
    blinks, moved = blinking(rows, frames, rng), wander(frames, rng)
    header = TableHeader(PIXEL_UM, frames, (round(SIDE_UM / PIXEL_UM),) * 2)
    for name, drift in (("drifted", moved), ("still", np.zeros_like(moved))):
        single = blinks.measured(drift, rng)
        write_list(folder / f"{name}.hdf5", single, header)
        write_list(folder / f"{name}.csv", single, header)
        write_list(folder / f"{name}_kept.hdf5", blinks.fitted_over_frames(drift, rng), header)
    write_list(folder / "moving.hdf5", diffusing(rows, frames, rng), header)
    return moved


def measured(tree: Path, folder: Path, words: Sequence[str], out: str, threads: int) -> dict[str, float]:
    """Processor's seconds, clock and greatest memory (GB) of a command by the program of a tree."""
    chosen = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    known = os.environ | chosen | {"PYTHONPATH": str(tree / "src"), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "deepstorm3d", *(word.format(out) for word in words), "--overwrite"]
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(command, cwd=folder, env=known, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)}\n{said.read()}")
    clock = time.perf_counter() - began
    return {"s": used.ru_utime + used.ru_stime, "clock": clock, "GB": used.ru_maxrss * 1024 / 1e9}


def found(folder: Path, out: str, command: str, moved: Floats) -> str:
    """What a command found, where that is a number."""
    if command == "drift":
        curve = np.loadtxt(folder / f"{out}.drift.csv", delimiter=",", skiprows=1)[:, 1:4]
        error = curve - 1000 * moved
        return " · ".join(f"{each:.2f}" for each in np.sqrt(np.mean((error - error.mean(0)) ** 2, axis=0)))
    if command == "resolution":
        told = json.loads((folder / f"{out}.json").read_text(encoding="utf-8"))
        rings = " · ".join(
            f"{name} {each['resolution_nm'] or float('nan'):.2f}" for name, each in told["fourier"].items()
        )
        return f"{rings}; NeNA {told['nena_sigma_nm'] and np.round(told['nena_sigma_nm'], 3).tolist()}"
    if command == "link":
        return f"{(folder / f'{out}.hdf5').stat().st_size:,} B"
    return ""


def compared(name: str, trees: dict[str, Path], folder: Path, moved: Floats, arguments: Any) -> dict[str, Any]:
    """One line of the table: a command by each tree, in turn."""
    taken: dict[str, list[dict[str, float]]] = {tree: [] for tree in trees}
    for _ in range(arguments.rounds):
        for tree, path in trees.items():
            out = f"out_{tree}_{re.sub(r'[^a-z]+', '_', name)}"
            taken[tree].append(measured(path, folder, COMMANDS[name], out, arguments.threads))
    line: dict[str, Any] = {"command": name}
    for tree, each in taken.items():
        line |= {f"{tree}, processor s": round(float(np.median([one["s"] for one in each])), 1)}
        line |= {f"{tree}, clock s": round(float(np.median([one["clock"] for one in each])), 1)}
        line |= {f"{tree}, GB": round(max(one["GB"] for one in each), 2)}
        out = f"out_{tree}_{re.sub(r'[^a-z]+', '_', name)}"
        line |= {f"{tree}, found": found(folder, out, name.partition(",")[0], moved)}
    if "before" in taken:
        pairs = [one["s"] / other["s"] for one, other in zip(taken["before"], taken["now"], strict=True)]
        line["times as fast"] = interval(pairs) if len(pairs) > 1 else pairs[0]
    print(line, file=sys.stderr, flush=True)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="the working tree of an earlier commit")
    parser.add_argument("--rounds", type=int, default=2, help="of each command (default: 2)")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--lists", type=Path, metavar="FOLDER", help="keep the lists there, or take those there"
    )
    parser.add_argument("--kept", action="store_true", help="lists with the column `molecule` too")
    parser.add_argument("--only", nargs="*", choices=COMMANDS, help="these commands alone")
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.rows, arguments.frames, arguments.rounds = 20_000, 2000, 1
    trees = ({"before": arguments.before.resolve()} if arguments.before else {}) | {"now": HERE}
    names = arguments.only or [name for name in COMMANDS if arguments.kept or "kept" not in name]
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.lists or Path(scratch)
        if not (folder / "moved.npy").exists():
            np.save(folder / "moved.npy", write_lists(folder, arguments.rows, arguments.frames, arguments.seed))
        moved = np.load(folder / "moved.npy")
        lines = [compared(name, trees, folder, moved, arguments) for name in names]
    report("Commands on a long list", lines, arguments)


if __name__ == "__main__":
    main()
