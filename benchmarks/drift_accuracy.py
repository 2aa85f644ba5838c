"""How near the drift curve comes to the true one, for each method, and how long it takes.

Molecules on mitochondria in 20×20×4 µm blink over 5,000 frames (2 frames a blink, 3 blinks); errors of 12, 12
and 18 nm, which the list states. The drift is a Gaussian process, scaled so that its greatest value is as said.
The residual is the estimate less the truth, less its mean (a constant shift of the whole picture), rms over
frames; σ is what the estimate says of itself, rms over frames.

  usual    15 localizations a frame, drift to 300, 300 and 200 nm, smooth over 1,000 frames (σ of its kernel)
  sparse   2 a frame, the same drift
  fast     15 a frame, the same reach, smooth over 125 frames
  far      15 a frame, drift to 1, 1 and 0.5 µm, smooth over 1,000 frames
  million  200 a frame: one million localizations (with --million)

Methods: `overlap`, that of `deepstorm3d drift`; `comet`, where comet-smlm can be imported (its first run
compiles and is not counted). Seconds, by the clock and of processor time (all threads),
include the halves that give the σ.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from comet_drift import comet_drift
from deepstorm3d.analysis.overlap_drift import estimate_drift
from deepstorm3d.emitters import Localizations
from deepstorm3d.simulation.blinking import blink
from deepstorm3d.simulation.structures import mitochondria
from harness import arguments_of, report

SIGMA_UM = torch.tensor([0.012, 0.012, 0.018])
EXTENT_UM = (20.0, 20.0, 4.0)


@dataclass(frozen=True)
class Case:
    """A movie: localizations a frame, greatest drift (µm), σ of its smoothing kernel and length (frames)."""

    name: str
    rate: float
    reach_um: tuple[float, float, float]
    smooth: float
    frames: int = 5000


USUAL = Case("usual", 15, (0.3, 0.3, 0.2), 1000)
CASES = (
    USUAL,
    replace(USUAL, name="sparse", rate=2),
    replace(USUAL, name="fast", smooth=125),
    replace(USUAL, name="far", reach_um=(1.0, 1.0, 0.5)),
)
MILLION = replace(USUAL, name="million", rate=200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, help="movies of each case (default: 3)")
    parser.add_argument("--million", action="store_true", help="a million localizations too, by our method")
    arguments = arguments_of(parser)
    methods = {"overlap": estimate_drift}
    if importlib.util.find_spec("comet"):
        methods["comet"] = comet_drift
        comet_drift(*movie(replace(USUAL, frames=200), 0)[:1], 200)
    cases = [(case, tuple(methods)) for case in (CASES[:1] if arguments.quick else CASES)]
    if arguments.million:
        cases.append((MILLION, ("overlap",)))
    rows = [
        measured(case, seed, name, methods[name])
        for case, names in cases
        for seed in range(1, 1 + (1 if arguments.quick or case is MILLION else arguments.seeds))
        for name in names
    ]
    report("Residual of the drift curve", rows, arguments)


def measured(case: Case, seed: int, name: str, method: Any) -> dict[str, Any]:
    """One line of the table."""
    table, true = movie(case, seed)
    began, worked = time.perf_counter(), time.process_time()
    found = method(table, case.frames)
    seconds, processor = time.perf_counter() - began, time.process_time() - worked
    error = found.curve.shift_um - true
    residual = rms_nm(error - error.mean(0))
    told = rms_nm(found.curve.sigma_um)
    line = {"case": case.name, "seed": seed, "localizations": len(table), "method": name}
    line |= {f"{axis} (nm)": round(float(r), 2) for axis, r in zip("xyz", residual, strict=True)}
    line |= {f"σ {axis} (nm)": round(float(s), 2) for axis, s in zip("xyz", told, strict=True)}
    return line | {"segments": found.segments, "seconds": round(seconds, 1), "processor s": round(processor, 1)}


def movie(case: Case, seed: int) -> tuple[Localizations, NDArray[np.float64]]:
    """A list, and its drift (F, 3) µm."""
    generator = torch.Generator().manual_seed(seed)
    trial = shine(2000, case.frames, generator)
    true = shine(round(2000 * case.frames * case.rate / len(trial.frame)), case.frames, generator)
    noise = SIGMA_UM * torch.randn(true.xyz.shape, generator=generator)
    drift = wander(case, np.random.default_rng(seed))
    xyz = (true.xyz + noise).double() + torch.from_numpy(drift)[true.frame]
    table = Localizations.proposals(xyz, true.frame, torch.ones(len(true)))
    return replace(table, sigma_xyz=SIGMA_UM.expand(len(true), 3), sigma_source="fit"), drift


def shine(molecules: int, frames: int, generator: torch.Generator) -> Any:
    x, y, z = EXTENT_UM
    places = mitochondria(molecules, (x / 2, y / 2, z / 2), EXTENT_UM, generator)
    photons = torch.full((molecules,), 5000.0)
    return blink(places, photons, frames, generator, on_time=2.0, off_time=frames / 2, blinks=3.0)


def wander(case: Case, rng: np.random.Generator) -> NDArray[np.float64]:
    margin = round(4 * case.smooth)
    walk = gaussian_filter1d(rng.normal(size=(case.frames + 2 * margin, 3)), case.smooth, axis=0)
    walk = walk[margin : margin + case.frames]
    walk = walk - walk.mean(0)
    return walk / np.abs(walk).max(0) * np.array(case.reach_um)


def rms_nm(values_um: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1000 * np.sqrt(np.mean(values_um**2, axis=0))


if __name__ == "__main__":
    main()
