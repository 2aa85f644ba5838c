"""A STORM movie with known truth, from frames to the super-resolved image, by the program's own commands.

Mitochondria-like shells over 4 µm that blink and drift (preset `storm`): simulate, localize (with the joint
fit), drift, resolution, render. Scored: molecules found and their errors, what is left of the drift in each
axis, and the Fourier ring correlation beside the one of the same molecules at their true places, without drift
and once more with Gaussian errors of the list's own σ: what density and precision alone would give.

Done steps are kept in the folder: the same command goes on, also with fewer --frames than were simulated.

  python benchmarks/storm_movie.py runs/storm --model MODEL --mask MASK --frames 1000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from deepstorm3d.analysis.drift import DriftCurve
from deepstorm3d.analysis.matching import match
from deepstorm3d.emitters import Localizations
from deepstorm3d.io.tables import read_header, read_table, read_truth, write_table, write_truth
from harness import arguments_of, report

DRIFT_NM, PER_FRAME, SIDE_PX = (300.0, 300.0, 200.0), 15, 200
MIN_PHOTONS = 6000.0


def step(folder: Path, product: str, *command: str) -> float:
    """Run one command of the program unless its product is there; seconds it took, 0 where it was."""
    if (folder / product).exists():
        return 0.0
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "deepstorm3d", *command], cwd=folder, check=True)
    return time.perf_counter() - began


def drift_left(folder: Path, frames: int) -> list[float]:
    """rms over the frames localized of estimated less true drift in x, y, z, nm; a constant is no drift."""
    curves = [
        DriftCurve.from_csv((folder / name).read_text(), name)
        for name in ("truth.drift.csv", "fixed.drift.csv")
    ]
    apart = curves[1].shift_um[:frames] - curves[0].shift_um[curves[1].frames[:frames]]
    return (1000 * (apart - apart.mean(0)).std(0)).tolist()


def seen(folder: Path, frames: int) -> None:
    """The truth of the frames that were localized."""
    truth, header = read_truth(folder / "truth.csv", pixel_um=0.11), read_header(folder / "found.hdf5")
    write_truth(
        folder / "seen.csv",
        truth.select(truth.frame < frames),
        pixel_um=header.pixel_um,
        frames=header.frames,
        shape=header.shape,
        overwrite=True,
    )


def errors(folder: Path) -> dict[str, float]:
    """Of the list as localized, against the truth in the frames: both drift."""
    truth, found = read_truth(folder / "seen.csv", pixel_um=0.11), read_table(folder / "found.hdf5")
    pairs = match(truth, found, tolerance_um=0.15, min_photons=MIN_PHOTONS)
    apart = (found.xyz[pairs.found_index] - truth.xyz[pairs.truth_index]).double() * 1000
    x, y, z = apart.square().mean(0).sqrt().tolist()
    return {"hits": len(pairs.truth_index), "x": x, "y": y, "z": z}


def ideal(folder: Path) -> None:
    """The true places of the bright molecules without drift: as they are, and with errors like the list's."""
    truth, found = read_truth(folder / "seen.csv", pixel_um=0.11), read_table(folder / "found.hdf5")
    curve = DriftCurve.from_csv((folder / "truth.drift.csv").read_text(), "truth")
    truth = truth.select(truth.photons >= MIN_PHOTONS)
    place = truth.xyz.double() - torch.from_numpy(curve.shift_um)[truth.frame]
    generator = torch.Generator().manual_seed(0)
    sigma = found.sigma_xyz[torch.randint(len(found), (len(truth),), generator=generator)]
    header = read_header(folder / "found.hdf5")
    for name, xyz in (
        ("true.hdf5", place),
        ("expected.hdf5", place + sigma * torch.randn(place.shape, generator=generator)),
    ):
        table = Localizations.proposals(xyz.float(), truth.frame, torch.ones(len(truth)))
        write_table(
            folder / name,
            table,
            pixel_um=header.pixel_um,
            frames=header.frames,
            shape=header.shape,
            overwrite=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--mask", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--cluster", default="local:2", help="as of `localize`")
    arguments = arguments_of(parser)
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    frames, side = (40, 64) if arguments.quick else (arguments.frames, SIDE_PX)
    model, mask = str(arguments.model.resolve()), str(arguments.mask.resolve())
    drift = ",".join(f"{value:g}" for value in DRIFT_NM)
    step(folder, "storm.yaml", "config", "--preset", "storm", "--mask", mask, "--out", "storm.yaml")
    step(
        folder, "movie.tif", "simulate", "storm.yaml", "--frames", str(frames), "--emitters", str(PER_FRAME),
        "--structure", "mitochondria", "--drift-nm", drift, "--set", f"frame_px=[{side},{side}]",
        "--out", "movie.tif", "--truth", "truth.csv",
    )  # fmt: skip
    seconds = step(
        folder, "found.hdf5", "localize", "movie.tif", "--model", model, "--mask", mask, "--out", "found.hdf5",
        "--frames", f"0:{frames}", "--cluster", arguments.cluster, "--resume",
    )  # fmt: skip
    fixing = step(folder, "fixed.hdf5", "drift", "found.hdf5", "--out", "fixed.hdf5")
    seen(folder, frames)
    ideal(folder)
    figures = {}
    for name in ("found", "fixed", "true", "expected"):
        step(folder, f"{name}.json", "resolution", f"{name}.hdf5", "--json", f"{name}.json")
        measured = json.loads((folder / f"{name}.json").read_text())["fourier"]
        figures[name] = {
            plane: f"{one['resolution_nm']:.0f} ± {one['spread_nm']:.0f} nm"
            if one["resolution_nm"]
            else one["verdict"]
            for plane, one in measured.items()
        }
    for name in ("fixed", "true"):
        step(folder, f"{name}.png", "render", f"{name}.hdf5", "--out", f"{name}.png")
    step(folder, "scores.json", "evaluate", "found.hdf5", "--truth", "seen.csv", "--pixel-nm", "110",
         "--min-photons", f"{MIN_PHOTONS:g}", "--json", "scores.json")  # fmt: skip
    scores = json.loads((folder / "scores.json").read_text())
    left = drift_left(folder, frames)
    rows = [
        {
            "frames": frames,
            "localizations": len(read_table(folder / "found.hdf5")),
            "frames/s": frames / seconds if seconds else None,
            "drift s": fixing or None,
            **{f"drift left {axis}, nm": value for axis, value in zip("xyz", left, strict=True)},
        }
    ]
    report(
        "A STORM movie with known truth",
        rows,
        arguments,
        errors_nm=errors(folder),
        scores={key: value for key, value in scores.items() if isinstance(value, float | int)},
        resolution=figures,
        drift_reach_nm=np.ptp(
            DriftCurve.from_csv((folder / "truth.drift.csv").read_text(), "truth").shift_um * 1000, axis=0
        ).tolist(),
    )


if __name__ == "__main__":
    main()
