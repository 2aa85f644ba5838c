"""Whether two versions of the program give the same results: movies, lists, trainings, masks, by its commands.

    python benchmarks/same_results.py BEFORE [AFTER]

BEFORE, AFTER: the `src` folders of two commits (AFTER: this one). Only commands are used, so a version that
keeps its command line can be compared however it is built inside. Each result is computed by both versions
from the same input and compared number by number: two to four minutes of one core for each version.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import tifffile

HERE = Path(__file__).resolve().parents[1] / "src"
STACK = ["--set", "psf.patch_px=21", "--set", "microscope.mask_pitch=100"]
SIDE, SLICES, STEP_UM, PHOTONS, BACKGROUND = 84, 41, 0.05, 20000.0, 10.0
CENTRES = ((20, 20), (22, 60), (60, 24))


def run(source: Path, *words: object, thread: str = "1") -> None:
    """One command of the version in `source`, on one thread."""
    known = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": thread, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-m", "deepstorm3d", *map(str, words)], env=known, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}\n{done.stderr}")


def write_beads(source: Path, folder: Path) -> Path:
    """A stack of three beads from the planes of the quickstart's PSF, with Poisson noise; for both versions."""
    planes, out = folder / "planes.tif", folder / "beads.tif"
    run(
        source,
        "export-psf",
        "quickstart",
        *STACK,
        "--out",
        planes,
        "--z",
        "0,2",
        "--step-nm",
        50,
        "--patch-px",
        21,
    )
    psf = np.maximum(np.asarray(tifffile.imread(planes), dtype=np.float64), 0)[:SLICES]
    psf /= psf.sum(axis=(1, 2)).max()
    stack = np.full((len(psf), SIDE, SIDE), BACKGROUND)
    for row, column in CENTRES:
        stack[:, row - 10 : row + 11, column - 10 : column + 11] += PHOTONS * psf
    tifffile.imwrite(out, np.random.default_rng(0).poisson(stack).astype(np.uint16))
    return out


def make(source: Path, folder: Path, movie: Path, beads: Path) -> None:
    """Every result of one version, in `folder`."""
    run(source, "simulate", "quickstart", "--frames", 6, "--seed", 3, "--out", folder / "made.tif", "--truth",
        folder / "made.csv")  # fmt: skip
    run(
        source,
        "simulate",
        "telomeres",
        "--frames",
        2,
        "--emitters",
        20,
        "--seed",
        4,
        "--out",
        folder / "nucleus.tif",
    )
    for name, words in {
        "network": ["--no-refine"],
        "fitted": [],
        "pursuit": ["--method", "pursuit", "--frames", "0:1"],
        "mle": ["--method", "mle"],
    }.items():
        run(source, "localize", movie, "--model", "tetrapod", "--out", folder / f"{name}.hdf5", *words)
    short = ["training.steps=20", "training.validate_every=10", "training.crop_px=64", "training.batch=2"]
    run(source, "train", "quickstart", "--out", folder / "trained.pt", "--device", "cpu",
        *(word for key in short for word in ("--set", key)))  # fmt: skip
    run(source, "retrieve-mask", beads, "quickstart", *STACK, "--stack", "depth", "--first-um", 0, "--step-um",
        STEP_UM, "--bead-nm", 0, "--out", folder / "mask.npy", "--set", "camera.kind=ideal")  # fmt: skip


def pixels(folder: Path, name: str) -> np.ndarray:
    return np.asarray(tifffile.imread(folder / name), dtype=np.float64)


def table(folder: Path, name: str) -> np.ndarray:
    """Rows of a list in our own format, (rows, columns)."""
    with h5py.File(folder / f"{name}.hdf5") as file:
        rows = file["locs"][...]  # pyright: ignore[reportIndexIssue]
    return np.stack([rows[column].astype(np.float64) for column in rows.dtype.names], axis=1)


def losses(folder: Path) -> np.ndarray:
    """Loss, Jaccard and errors of the training's log, step by step; times left out."""
    (log,) = folder.glob("trained*.jsonl")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    keys = sorted({key for row in rows for key in row if "second" not in key and "rate" not in key})
    values = [[row.get(key) for key in keys] for row in rows]
    numbers = [[value if isinstance(value, int | float) else np.nan for value in row] for row in values]
    return np.asarray(numbers, dtype=np.float64)


RESULTS: dict[str, Callable[[Path], np.ndarray]] = {
    "simulated movie (quickstart, 6 frames)": lambda folder: pixels(folder, "made.tif"),
    "simulated snapshot (telomeres, 2 frames)": lambda folder: pixels(folder, "nucleus.tif"),
    "list: network alone": lambda folder: table(folder, "network"),
    "list: network and joint fit": lambda folder: table(folder, "fitted"),
    "list: pursuit and joint fit": lambda folder: table(folder, "pursuit"),
    "list: one by one (mle)": lambda folder: table(folder, "mle"),
    "training of 20 steps, its log": losses,
    "retrieved mask, rad": lambda folder: np.load(folder / "mask.npy").astype(np.float64),
}


def compared(before: np.ndarray, after: np.ndarray) -> str:
    """The two results in a few words: the same, or by how much they differ."""
    if before.shape != after.shape:
        return f"DIFFERENT: {before.shape} became {after.shape}"
    if np.array_equal(before, after, equal_nan=True):
        return "the same bits"
    return f"DIFFERENT: by up to {np.nanmax(np.abs(before - after)):.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="?", default=HERE)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        movie = folder / "movie.tif"
        run(
            arguments.before,
            "simulate",
            "tetrapod",
            "--frames",
            3,
            "--emitters",
            10,
            "--seed",
            1,
            "--out",
            movie,
        )
        beads = write_beads(arguments.before, folder)
        for name, source in (("before", arguments.before), ("after", arguments.after)):
            (folder / name).mkdir()
            make(source.resolve(), folder / name, movie, beads)
        print("| result | numbers | before and after |\n| --- | --- | --- |")
        for name, read in RESULTS.items():
            before, after = read(folder / "before"), read(folder / "after")
            print(f"| {name} | {before.size:,} | {compared(before, after)} |", flush=True)


if __name__ == "__main__":
    main()
