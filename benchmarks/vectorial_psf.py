"""What the vectorial PSF changes: precision that is possible, error of fitting with the wrong model, cost.

Set-up of a preset with its mask (Tetrapod); models "scalar" (as published), "apodized" (scalar with the
aplanatic amplitude), "vectorial" (freely turning molecules), "polarizer" (the same behind a polarizer along x)
and "tilted" (molecules fixed at 45° to the axis, toward x). Three tables:

  bound   Cramér-Rao bound of x, y, z for the first three against depth;
  error   images of one model, without noise, fitted with another by maximum likelihood for one molecule (x, y,
          z, photons, level; blur known, or fitted too): what remains of the error when noise is averaged away,
          its mean over depth, its extremes, and what the misfit adds to the deviance per pixel (a right model
          has 1);
  cost    images a second, exact and from the table, seconds to tabulate, training batches a second.
"""

from __future__ import annotations

import argparse
import time
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.refine import Bounds, Effort
from deepstorm3d.fitting.windows import WindowFit, Windows
from deepstorm3d.jobs.train import crops_through
from deepstorm3d.optics.computed import ComputedPSFSpec, build_psf
from deepstorm3d.optics.exact import ExactPSF
from deepstorm3d.optics.fisher import crlb
from deepstorm3d.optics.psf import PSF
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.optics.vectorial import VectorialPSFSpec
from harness import arguments_of, report, take_turns

PHOTONS, BACKGROUND, WINDOW_PX = 30_000.0, 20.0, 61
MODELS: dict[str, tuple[type[ComputedPSFSpec], dict[str, Any]]] = {
    "scalar": (ScalarPSFSpec, {}),
    "apodized": (ScalarPSFSpec, {"apodized": True}),
    "vectorial": (VectorialPSFSpec, {}),
    "polarizer": (VectorialPSFSpec, {"polarizer": "x"}),
    "tilted": (VectorialPSFSpec, {"dipole": (45.0, 0.0)}),
}
COMPARED = ("scalar", "apodized", "vectorial")
PAIRS = (
    ("vectorial", "vectorial"),
    ("vectorial", "scalar"),
    ("vectorial", "apodized"),
    ("scalar", "vectorial"),
    ("polarizer", "vectorial"),
    ("polarizer", "scalar"),
    ("tilted", "vectorial"),
)
# Blur of the images, px, and whether the fit knows it.
BLURS = ((0.0, True), (0.75, True), (1.25, True), (1.0, False))


def spec_of(experiment: Experiment, model: str, patch_px: int) -> ComputedPSFSpec:
    """The experiment's PSF with another model."""
    kind, changes = MODELS[model]
    return experiment.psf.to_kind(kind, **changes, patch_px=patch_px)


@cache
def exact(name: str, model: str, patch_px: int, blur_px: float) -> ExactPSF:
    """The exact PSF of a preset."""
    experiment = preset(name)
    spec = spec_of(experiment, model, patch_px).with_(blur_px=blur_px)
    return build_psf(spec, experiment.microscope, experiment_mask(experiment))


def bounds_by_depth(name: str, depths: Tensor) -> list[dict[str, Any]]:
    """Bound of x, y, z in nm for each model and depth, and the light that the patch holds."""
    rows = []
    for z in depths.tolist():
        row: dict[str, Any] = {"z µm": z}
        xyz = torch.tensor([[0.0, 0.0, z]], dtype=torch.float64)
        for model in COMPARED:
            psf = exact(name, model, preset(name).psf.patch_px, 1.0)
            bound = crlb(psf, xyz, xyz.new_full((1,), PHOTONS), xyz.new_full((1,), BACKGROUND))[0, :3] * 1000
            row[f"{model} σ x y z nm"] = " ".join(f"{value:.2f}" for value in bound.tolist())
            row[f"{model} held"] = float(psf(xyz).encircled_energy)
        rows.append(row)
    return rows


def errors(
    name: str, truth: str, fit: str, depths: Tensor, blur_px: float, known: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Errors (depths, 3) nm of fitting one model's images with another, mean of four places within a pixel.

    Also the deviance per pixel that the misfit adds, and the photons found over the true ones, both (depths,).
    """
    seen = exact(name, truth, WINDOW_PX, blur_px)
    model = exact(name, fit, WINDOW_PX, blur_px)
    within = torch.tensor([[0.1, 0.2], [-0.3, 0.4], [0.4, -0.1], [-0.2, -0.35]], dtype=torch.float64)
    place = (within + WINDOW_PX // 2) * seen.pixel_um
    xyz = torch.cat([place.repeat(len(depths), 1), depths.repeat_interleave(4)[:, None]], 1)
    frames = PHOTONS * seen(xyz).values + BACKGROUND
    likelihood = Likelihood(frames)
    windows = Windows(torch.zeros(len(xyz), 2, dtype=torch.int64), likelihood)
    reach = (float(depths[0]) - 0.6, float(depths[-1]) + 0.6)
    ready = WindowFit(model, Bounds(reach, blur_px=(0.5, 2.0)), Effort(iterations=60, settled=1e-4))
    light = torch.full((len(xyz), 1), PHOTONS, dtype=torch.float64)
    blur = None if known else torch.full_like(light, blur_px)
    found = ready(windows, xyz[:, None], light, torch.full_like(light[:, 0], BACKGROUND), blur)
    error = 1000 * (found.state.xyz - xyz).view(-1, 4, 3).mean(1)
    photons = (found.state.photons / PHOTONS).view(-1, 4).mean(1)
    return error, (found.deviance / WINDOW_PX**2).view(-1, 4).mean(1), photons


def error_rows(name: str, depths: Tensor) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One row for each pair of models and blur; and the errors at every depth."""
    rows, detail = [], {}
    for truth, fit in PAIRS:
        for blur, known in BLURS:
            error, deviance, photons = errors(name, truth, fit, depths, blur, known)
            words = f"{blur:g} px" if known else f"{blur:g} px, fitted"
            rows.append(
                {
                    "images": truth,
                    "fit": fit,
                    "blur": words,
                    "mean x y z nm": " ".join(f"{v:.1f}" for v in error.mean(0)),
                    "rms x y z nm": " ".join(f"{v:.1f}" for v in error.square().mean(0).sqrt()),
                    "z at the ends nm": f"{float(error[0, 2]):.1f}, {float(error[-1, 2]):.1f}",
                    "deviance added": float(deviance.mean()),
                    "photons": float(photons.mean()),
                }
            )
            detail[f"{truth} → {fit}, {words}"] = error.round(decimals=1).tolist()
            print(rows[-1], flush=True)
    return rows, detail


def cost_rows(name: str, rounds: int) -> list[dict[str, Any]]:
    """Images and batches a second; everything with one table and one exact PSF for each model."""
    experiment = preset(name)
    mask = experiment_mask(experiment)
    low, high = experiment.z_um
    xyz = torch.rand(64, 3, generator=torch.Generator().manual_seed(0))
    xyz[:, 2] = low + (high - low) * xyz[:, 2]
    ways, seconds = {}, {}

    def images(psf: PSF) -> int:
        psf(xyz)
        return len(xyz)

    def slopes(psf: PSF) -> int:
        psf.derivatives(xyz)
        return len(xyz)

    for model in ("scalar", "vectorial"):
        began = time.perf_counter()
        spec = spec_of(experiment, model, experiment.psf.patch_px)
        table = spec.tabulate(experiment.microscope, mask, experiment.z_um, experiment.blur_px)
        seconds[model] = time.perf_counter() - began
        sampler = crops_through(table, experiment)

        def batch(sampler: Any = sampler) -> int:
            sampler.draw(experiment.training.batch, torch.Generator().manual_seed(0))
            return 1

        alone = exact(name, model, WINDOW_PX, 1.0)
        ways[model, "exact images/s"] = partial(images, alone)
        ways[model, "exact with slopes/s"] = partial(slopes, alone)
        ways[model, "table images/s"] = partial(images, table)
        ways[model, "training batches drawn/s"] = batch
    with torch.no_grad():
        rates = take_turns({" ".join(key): way for key, way in ways.items()}, rounds)
    rows: list[dict[str, Any]] = []
    for model in ("scalar", "vectorial"):
        row: dict[str, Any] = {"model": model, "tabulate s": seconds[model]}
        # The fastest round: what else the machine does only slows.
        row |= {what: max(rates[f"{model} {what}"]) for way, what in ways if way == model}
        rows.append(row)
    return rows


def part_of(arguments: argparse.Namespace, name: str) -> argparse.Namespace:
    """The same arguments with a JSON file of its own for one of the tables: FILE.bound.json and so on."""
    where = arguments.json and arguments.json.with_suffix(f".{name}.json")
    return argparse.Namespace(**{**vars(arguments), "json": where})


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="telomeres")
    parser.add_argument("--depths", type=int, default=9)
    arguments = arguments_of(parser)
    depths = torch.linspace(*preset(arguments.preset).z_um, 2 if arguments.quick else arguments.depths).double()
    where = f"{arguments.preset}, {PHOTONS:.0f} photons, background {BACKGROUND:.0f}"
    bounds = bounds_by_depth(arguments.preset, depths)
    rows, detail = error_rows(arguments.preset, depths)
    cost = cost_rows(arguments.preset, 1 if arguments.quick else 5)
    for title, table, also in (
        (f"Bound by depth, {where}, blur 1 px", bounds, {}),
        (f"Error of the wrong model, {where}", rows, {"errors_nm": detail}),
        (f"Cost, {arguments.preset}", cost, {}),
    ):
        report(title, table, part_of(arguments, title.split()[0].lower()), **also)


if __name__ == "__main__":
    main()
