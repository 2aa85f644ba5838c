"""Fits of single emitters: ours beside those of Picasso and smappy, on the same simulated windows.

    python benchmarks/single_emitter.py MODEL --threads 1 --python PYTHON

PYTHON: of an environment with picassosr and smappy-smlm (their dependencies do not agree with ours); a package
that is missing there is named and left out. Each program works in a process of its own, holds the windows, and
fits them once a round, all in turn; the first round (Numba compiles) is not counted. Rates are of the
processor's time.

Windows: one emitter within half a pixel of the middle at any depth, drawn with the exact PSF of the model; all
fits are maximum-likelihood fits of x, y, z, photons and one level of background, from a start of their own:

  deepstorm3d   what `localize --method mle` does: finds the spot by a matched filter, fits, tells σ too;
  picasso       cubic spline, `n_z_starts` depths; the template is as large as the window;
  smappy        cubic spline, the likeliest of as many fits as there are starts; a template 8 px larger.

The splines of the others are made, by their own functions, from noiseless images of the exact PSF, 50 nm apart.
Bound: of these five unknowns in the window (optics/fisher.py). Farther than 300 nm from the truth is lost.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from accuracy import SEED
from deepstorm3d.emitters import Emitters
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.field import Field
from deepstorm3d.localizer.modelfile import ModelFile, load_model_file
from deepstorm3d.localizing.pipeline import experiment_of
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.fisher import crlb
from deepstorm3d.simulation.simulator import Simulator
from harness import arguments_of, interval, report
from processes import Worker, WorkerEnded

PROGRAMS = ("deepstorm3d", "picasso", "smappy")
LOST_UM, PLANE_UM, BEYOND_UM, LARGER_PX = 0.3, 0.05, 0.2, 8


@dataclass
class Windows:
    """Simulated windows (N, side, side), photons; true places (N, 3) and their bounds (N, 3), µm."""

    photons: Tensor
    xyz: Tensor
    bound: Tensor


@torch.no_grad()
def draw(model: ModelFile, side: int, number: int, photons: float, background: float) -> Windows:
    """Windows with one emitter each; places are measured from the middle of the middle pixel."""
    experiment = experiment_of(model)
    mask, blur = experiment_mask(experiment, phase=model.mask), sum(experiment.blur_px) / 2
    exact = build_psf(experiment.psf.with_(patch_px=side + LARGER_PX), experiment.microscope, mask)
    generator = torch.Generator().manual_seed(SEED + side)
    low, high = experiment.z_um
    place = (torch.rand(number, 2, generator=generator) - 0.5) * exact.pixel_um
    z = low + (high - low) * torch.rand(number, 1, generator=generator)
    xyz, rows = torch.cat([place, z], 1), torch.arange(number)
    middle = torch.tensor([side // 2 * exact.pixel_um, side // 2 * exact.pixel_um, 0.0])
    light = torch.full((number,), photons)
    truth = Emitters(xyz + middle, rows, light, rows, blur_px=torch.full((number,), blur))
    simulator = Simulator(exact, experiment.camera, Field(side, side, exact.pixel_um))
    level = torch.full((number, side, side), background)
    frames = torch.poisson(simulator.expected(truth, level), generator=generator)
    window = experiment.psf.with_(patch_px=side).tabulate(
        experiment.microscope, mask, experiment.z_um, (blur, blur)
    )
    bound = crlb(window, xyz, light, torch.full((number,), background))[:, :3]
    return Windows(frames, xyz, bound)


@torch.no_grad()
def template(experiment: Experiment, model: ModelFile, side: int) -> tuple[np.ndarray, float]:
    """Noiseless images (planes, side, side) of the exact PSF, of unit sum, and the depth of the first, µm."""
    mask, (low, high) = experiment_mask(experiment, phase=model.mask), experiment.z_um
    psf = build_psf(experiment.psf.with_(patch_px=side), experiment.microscope, mask)
    first = low - BEYOND_UM
    z = first + PLANE_UM * torch.arange(round((high + BEYOND_UM - first) / PLANE_UM) + 1)
    xyz = torch.nn.functional.pad(z[:, None], (2, 0))
    return psf(xyz, torch.full_like(z, sum(experiment.blur_px) / 2)).values.numpy(), first


def row_of(windows: Windows, found: Tensor, rates: list[float]) -> dict[str, Any]:
    """Fits a second, share of lost fits, RMSE of the others and over the bound; found: (N, 3) µm."""
    error = (found - windows.xyz).double()
    kept = error.norm(dim=1) < LOST_UM
    rms = error[kept].square().mean(0).sqrt()
    least = windows.bound[kept].double().square().mean(0).sqrt()
    return {
        "fits/s": interval(rates),
        "lost": f"{100 * (1 - float(kept.double().mean())):.2g} %",
        "rmse nm x y z": " · ".join(f"{1000 * float(value):.2f}" for value in rms),
        "rmse/bound x y z": " · ".join(f"{float(value):.3f}" for value in rms / least),
        "bias nm x y z": " · ".join(f"{1000 * float(value):.2f}" for value in error[kept].mean(0)),
    }


def measured(arguments: argparse.Namespace, windows: Windows, side: int) -> list[dict[str, Any]]:
    """A row for each program that is there."""
    rows, rates = [], {}
    model = load_model_file(arguments.model)
    images, first = template(experiment_of(model), model, side + LARGER_PX)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "windows.npz", windows=windows.photons.numpy(), images=images)
        about = {"first_um": first, "plane_um": PLANE_UM, "model": str(arguments.model.resolve())}
        pixel_um = experiment_of(model).microscope.pixel_um
        (folder / "about.json").write_text(json.dumps(about | {"side": side, "pixel_um": pixel_um}))
        workers, versions = {}, {}
        for program in PROGRAMS:
            python = sys.executable if program == "deepstorm3d" else arguments.python
            if python is None:
                print(f"{program} is left out: give --python", flush=True)
                continue
            told = (program, folder, arguments.threads, arguments.starts)
            worker = Worker("single_emitter_worker.py", told, threads=arguments.threads, python=python)
            try:
                versions[program] = worker.answer()["version"]
            except WorkerEnded as error:
                print(f"{program} is left out: {error}", flush=True)
                worker.close()
                continue
            workers[program], rates[program] = worker, []
        for turn in range(arguments.rounds + 1):
            for program, worker in list(workers.items()):
                try:
                    said = worker.ask("fit")
                except WorkerEnded as error:
                    print(f"{program} failed and is left out: {error}", flush=True)
                    workers.pop(program).close()
                else:
                    if turn:
                        rates[program].append(len(windows.xyz) / said["processor"])
        for program, worker in workers.items():
            found = folder / f"{program}.npy"
            worker.ask(f"save {found}")
            worker.close()
            row = row_of(windows, torch.from_numpy(np.load(found)).float(), rates[program])
            rows.append({"window": f"{side}×{side}", "program": versions[program]} | row)
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file that holds its mask")
    parser.add_argument("--python", help="of an environment with picassosr and smappy-smlm")
    parser.add_argument("--sides", type=int, nargs="+", default=[31, 61], metavar="PX")
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--photons", type=float, default=30_000.0)
    parser.add_argument("--background", type=float, default=150.0)
    parser.add_argument("--starts", type=int, default=9, help="depths from which the others start")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.windows, arguments.rounds = min(arguments.windows, 40), 1
    model, rows = load_model_file(arguments.model), []
    for side in arguments.sides:
        windows = draw(model, side, arguments.windows, arguments.photons, arguments.background)
        rows += measured(arguments, windows, side)
    report("Single emitters", rows, arguments, model=experiment_of(model).name)


if __name__ == "__main__":
    main()
