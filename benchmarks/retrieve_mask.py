"""Masks retrieved from simulated beads: how near the phase is, and what molecules localized with it are worth.

Telomere set-up, our Tetrapod with 60 nm rms of random aberrations (Zernike orders to 6), 55 slices of 0.1 µm
of the objective's travel (--slices; these cover all depths of the experiment), four beads of 200 nm (50,000 to
5,000 photons a slice, bleaching by a third, flickering by 5 %), drift between slices, background 20. The truth
has twice the pupil samples of the fit and beads of their size. The stack goes through a TIFF and
`retrieve-mask`'s own job.

Phase error: rms over the usable aperture, up to piston, tilt and defocus (and with defocus kept).
Molecules: points drawn with the true mask (oversampling 3, blur 0.8 px), 30,000 photons on 150, at 21 depths of
the experiment's range, localized one by one from 50 nm off with the mask under test, the pupil sampled twice as
finely as the mask (as the experiment that `retrieve-mask` writes) or as finely: rms error over the bound, and
the largest mean error in z of five ranges of depth and over all. A shift of all molecules in x and y by the
same amount is told apart: it is the tilt of the phase, which beads of unknown place leave open.

Trouble: one thing wrong at a time in the data or in what the program is told; the warnings are printed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepstorm3d.calibration.beads.images import BeadImages, first_state
from deepstorm3d.calibration.beads.simulated import BeadScene, aberrated_mask, draw_stack
from deepstorm3d.calibration.phase_retrieval.bead_model import FocusedPSF
from deepstorm3d.calibration.phase_retrieval.degeneracies import aperture_of, split_defocus, without_tilt
from deepstorm3d.calibration.phase_retrieval.position_fit import fit_each
from deepstorm3d.calibration.phase_retrieval.report import write_retrieval
from deepstorm3d.calibration.phase_retrieval.retrieval import (
    BeadSettings,
    DefocusGoes,
    Retrieval,
    Unknowns,
    retrieve_mask,
)
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.io.movies import MovieWriter
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.fisher import crlb
from deepstorm3d.optics.masks import PhaseMask, PixelMask, ZeroMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.vectorial import VectorialPSFSpec
from harness import arguments_of, report

PHOTONS, BACKGROUND, BLUR, SIDE = 30_000.0, 150.0, 0.8, 61
DEPTHS, BINS, START_UM = 21, 5, 0.05
MIDDLE_UM, STEP_UM = -0.6, 0.1
CENTRES = ((50, 50), (146, 54), (52, 150), (148, 149))
BRIGHT = (50_000.0, 25_000.0, 12_000.0, 5_000.0)
FOUND: dict[str, Any] = {"rms": 0.060}


def first_um(slices: int) -> float:
    """Position of the first slice."""
    return MIDDLE_UM - STEP_UM * (slices - 1) / 2


def standard_scene(pixel_um: float, seed: int, slices: int, **changes: Any) -> BeadScene:
    """The stack of the docstring."""
    generator = torch.Generator().manual_seed(seed)
    focus = first_um(slices) + STEP_UM * torch.arange(slices)
    places = (torch.tensor(CENTRES) + torch.rand(4, 2, generator=generator)) * pixel_um
    bleaching = torch.exp(-0.4 * torch.arange(slices) / slices)[:, None]
    flicker = 1 + 0.05 * torch.randn(slices, 4, generator=generator)
    scene = BeadScene(focus, places, torch.tensor(BRIGHT) * bleaching * flicker, (200, 200))
    return replace(scene, **changes)


def phase_error(phase: Tensor, truth: Tensor, microscope: Microscope) -> tuple[float, float]:
    """rms over the aperture, rad: up to piston, tilt and defocus; and with the defocus."""
    inside = aperture_of(microscope, truth.shape[1])
    flat, _ = without_tilt(phase.double(), truth, microscope)
    focused, _ = without_tilt(split_defocus(flat, truth, microscope)[0], truth, microscope)
    return tuple(float((each - truth)[inside].square().mean().sqrt()) for each in (focused, flat))  # type: ignore[return-value]


@dataclass(frozen=True)
class Molecules:
    """Images (N, h, w) of molecules with the true mask, their positions (N, 3) µm and bounds (N, 3) µm."""

    frames: Tensor
    xyz: Tensor
    bound: Tensor


@torch.no_grad()
def draw_molecules(experiment: Experiment, mask: PhaseMask, each: int, seed: int) -> Molecules:
    generator = torch.Generator().manual_seed(seed)
    z = torch.linspace(*experiment.z_um, DEPTHS).repeat_interleave(each)
    pixel = experiment.microscope.pixel_um
    xyz = torch.cat([(torch.rand(len(z), 2, generator=generator) - 0.5) * pixel, z[:, None]], 1)
    spec = experiment.psf.with_(blur_px=BLUR, pupil_oversampling=3)
    psf = build_psf(spec, experiment.microscope, mask, patch_px=SIDE)
    frames = torch.poisson(PHOTONS * psf(xyz).values + BACKGROUND, generator=generator)
    some = torch.linspace(*experiment.z_um, DEPTHS, dtype=torch.float64)
    there = torch.nn.functional.pad(some[:, None], (2, 0))
    sigma = crlb(psf, there, torch.full_like(some, PHOTONS), torch.full_like(some, BACKGROUND))[:, :3]
    return Molecules(frames, xyz, sigma.repeat_interleave(each, 0))


@torch.no_grad()
def localize(experiment: Experiment, mask: PhaseMask, molecules: Molecules, seed: int) -> dict[str, Any]:
    """Errors of molecules localized with a mask, the experiment's blur and focus."""
    psf = build_psf(experiment.psf, experiment.microscope, mask, patch_px=SIDE + 8)
    error, shift = errors_with(psf, experiment.psf.blur_px, molecules, seed)
    ratio = error.square().mean(0).sqrt() / molecules.bound.square().mean(0).sqrt()
    parts = [1000 * float(part[:, 2].mean()) for part in error.chunk(BINS)]
    return {
        "x y z error/bound": " ".join(f"{float(v):.2f}" for v in ratio),
        "worst z bias (nm)": round(max(parts, key=abs), 2),
        "z bias (nm)": round(1000 * float(error[:, 2].mean()), 2),
        "z error (nm)": round(1000 * float(error[:, 2].square().mean().sqrt()), 2),
        "shift of all in x y (nm)": " ".join(f"{1000 * float(v):.1f}" for v in shift),
        "bias by depth (nm)": " ".join(f"{v:.1f}" for v in parts),
    }


@torch.no_grad()
def errors_with(psf: FocusedPSF, blur_px: float, molecules: Molecules, seed: int) -> tuple[Tensor, Tensor]:
    """Errors (N, 3) µm of molecules localized with a PSF; a shift (2,) µm of all in x and y is told apart."""
    count = len(molecules.xyz)
    off = START_UM * torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    rows = torch.arange(count)
    depth = molecules.xyz[:, 2] + off[:, 2]
    images = BeadImages(Likelihood(molecules.frames), rows, rows, depth, "depth")
    state = first_state(images, 0.0, blur_px)
    state = replace(state, xy=molecules.xyz[:, :2] + off[:, :2])
    found, _ = fit_each(psf, images, state, iterations=10)
    found = found + torch.nn.functional.pad(depth[:, None], (2, 0))
    error = (found - molecules.xyz).double()
    shift = error[:, :2].mean(0)
    error[:, :2] -= shift
    return error, shift


def retrieve(
    experiment: Experiment,
    stack: Tensor,
    folder: Path,
    told: BeadSettings,
    name: str,
    defocus: DefocusGoes = "mask",
    *,
    amplitude: bool = False,
    positions: bool = False,
) -> tuple[Retrieval, float, float]:
    """The job of the command on a TIFF of the stack; wall and processor seconds."""
    movie = folder / f"{name}.tif"
    with MovieWriter(movie, frames=len(stack), shape=tuple(stack.shape[1:]), overwrite=True) as writer:  # type: ignore[arg-type]
        writer.append(stack.numpy())
    began, worked = time.monotonic(), time.process_time()
    result = retrieve_mask(experiment, [movie], told, Unknowns(defocus, amplitude, positions))
    return result, time.monotonic() - began, time.process_time() - worked


def trouble_cases(
    base: Experiment, told: BeadSettings
) -> dict[str, tuple[Experiment, BeadSettings, dict[str, Any]]]:
    """What the program is told, and how the scene changes."""
    optics = base.microscope
    half = (optics.n_sample - 1) * 0.1
    pixel, first = optics.pixel_um, told.first_um or 0.0
    double = torch.tensor(CENTRES[2]).float() * pixel + torch.tensor([0.5, 0.3])

    def larger(factor: float) -> BeadSettings:
        """A stage whose scale is wrong."""
        return replace(told, step_um=STEP_UM * factor, first_um=first * factor)

    return {
        "sample index + 10 % of n − 1": (
            base.with_(microscope=optics.with_(n_sample=optics.n_sample + half)),
            told,
            {},
        ),
        "sample index 1.35 for 1.33": (base.with_(microscope=optics.with_(n_sample=1.35)), told, {}),
        "positions 1.5 times as large": (base, larger(1.5), {}),
        "positions 1.05 times as large": (base, larger(1.05), {}),
        "positions 1.5 times as large, --fit-positions": (base, larger(1.5), {"positions": True}),
        "positions 1.05 times as large, --fit-positions": (base, larger(1.05), {"positions": True}),
        "travel the other way": (base, replace(told, step_um=-STEP_UM, first_um=-first), {}),
        "zero of the focus 0.7 µm off": (base, replace(told, first_um=first + 0.7), {"defocus": "focus"}),
        "bead 3 double": (base, told, {"double": double}),
        "saturated at 255": (base, told, {"saturate": 255.0}),
        "background ± 50 %": (base, told, {"gradient": 0.5}),
        "no design (zero mask)": (base.with_(mask=ZeroMask()), told, {}),
        "mask pitch 12 for 24 µm": (base.with_(microscope=optics.with_(mask_pitch=12.0)), told, {}),
        "steps jitter by 50 nm rms": (base, told, {"jitter": 0.05}),
        "steps jitter by 50 nm rms, --fit-positions": (base, told, {"jitter": 0.05, "positions": True}),
        "nothing wrong, --fit-positions": (base, told, {"positions": True}),
        "light falls to the rim": (base, told, {"true": {"transmission": {2: 0.2, 4: -0.3}}}),
        "light falls to the rim, --amplitude": (
            base,
            told,
            {"true": {"transmission": {2: 0.2, 4: -0.3}}, "amplitude": True},
        ),
        "vectorial light": (base, told, {"true": {"kind": VectorialPSFSpec}}),
        "vectorial light, --amplitude": (base, told, {"true": {"kind": VectorialPSFSpec}, "amplitude": True}),
        "vectorial light, psf.kind=vectorial": (
            base.with_(psf=base.psf.to_kind(VectorialPSFSpec)),
            told,
            {"true": {"kind": VectorialPSFSpec}},
        ),
    }


def stack_of(base: Experiment, mask: PhaseMask, changes: dict[str, Any], seed: int, slices: int) -> Tensor:
    scene = standard_scene(base.microscope.pixel_um, seed, slices, gradient=changes.get("gradient", 0.0))
    if "double" in changes:
        places = torch.cat([scene.places_um, changes["double"][None]])
        scene = replace(scene, places_um=places, photons=torch.cat([scene.photons, scene.photons[:, 2:3]], 1))
    if "jitter" in changes:
        noise = torch.randn(slices, generator=torch.Generator().manual_seed(seed))
        scene = replace(scene, focus_um=scene.focus_um + changes["jitter"] * noise)
    stack = draw_stack(base, mask, scene, seed)
    return stack.clamp(max=changes["saturate"]) if "saturate" in changes else stack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="aberrations and stacks (default: 3)")
    parser.add_argument("--slices", type=int, default=55, help="slices around -0.6 µm (default: 55)")
    parser.add_argument("--each", type=int, default=40, help="molecules at each of 21 depths (default: 40)")
    parser.add_argument("--no-trouble", action="store_true", help="leave the second table out")
    parser.add_argument("--only", default="", metavar="TEXT", help="of the troubles only those with this text")
    parser.add_argument(
        "--picture", type=Path, metavar="IMAGE", help="write the picture of the first retrieval"
    )
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.seeds, arguments.each, arguments.no_trouble = 1, 3, True
    base = preset("telomeres")
    base = base.with_(psf=base.psf.with_(blur_px=BLUR))
    told = BeadSettings(step_um=STEP_UM, first_um=first_um(arguments.slices), bead_um=0.2)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(1, arguments.seeds + 1):
            rows += judge_seed(base, told, folder, seed, arguments)
        if not arguments.no_trouble:
            rows += judge_trouble(base, told, folder, arguments)
    report("Masks retrieved from beads", rows, arguments)


def judge_seed(
    base: Experiment, told: BeadSettings, folder: Path, seed: int, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    mask = aberrated_mask(base, FOUND["rms"], seed)
    truth = mask().double()
    molecules = draw_molecules(base, mask, arguments.each, 1000 + seed)
    result, wall, worked = retrieve(
        base, stack_of(base, mask, {}, seed, arguments.slices), folder, told, "beads"
    )
    if seed == 1 and arguments.picture:
        write_retrieval(result, folder / "mask.npy", picture=arguments.picture)
    design = experiment_mask(base)
    rows = []
    for label, experiment, phase, finer in (
        ("retrieved", result.experiment, result.phase, 2),
        ("retrieved, pupil sampled once", result.experiment, result.phase, 1),
        ("true", base, truth, 2),
        ("true, pupil sampled once", base, truth, 1),
        ("design", base, design().double(), 2),
    ):
        free, with_defocus = phase_error(phase, truth, base.microscope)
        sampled = experiment.with_(psf=experiment.psf.with_(pupil_oversampling=finer))
        errors = localize(sampled, PixelMask(phase), molecules, seed)
        rows.append(
            {"mask": f"{label}, seed {seed}", "phase error (rad)": free, "with defocus": with_defocus, **errors}
        )
    figures = result.figures
    rows[0] |= {"wall (s)": wall, "cpu (s)": worked, "deviance/noise": figures["deviance_over_noise"]}
    rows[0] |= {"point blur (px)": figures["point_blur_px"], "warnings": "; ".join(result.warnings)}
    return rows


def judge_trouble(
    base: Experiment, told: BeadSettings, folder: Path, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    mask = aberrated_mask(base, FOUND["rms"], 1)
    truth = mask().double()
    rows = []
    for label, (experiment, settings, changes) in trouble_cases(base, told).items():
        if arguments.only not in label:
            continue
        light = {"kind": type(base.psf), **changes.get("true", {})}
        true = base.with_(psf=base.psf.to_kind(**light))
        stack = stack_of(true, mask, changes, 1, arguments.slices)
        molecules = draw_molecules(true, mask, max(3, arguments.each // 3), 1001)
        where, amplitude = changes.get("defocus", "mask"), changes.get("amplitude", False)
        positions = changes.get("positions", False)
        result, wall, _ = retrieve(
            experiment, stack, folder, settings, "trouble", where, amplitude=amplitude, positions=positions
        )
        row: dict[str, Any] = {"mask": label}
        if result.phase.shape == truth.shape:
            row["phase error (rad)"], row["with defocus"] = phase_error(result.phase, truth, base.microscope)
        row |= localize(result.experiment, PixelMask(result.phase), molecules, 1)
        row |= {"wall (s)": wall, "deviance/noise": result.figures["deviance_over_noise"]}
        if amplitude:
            row["transmission"] = " ".join(f"{j}: {v:.2f}" for j, v in result.fit.found.transmission.items())
        if positions:
            figures = result.figures
            row["steps over said, uneven (nm)"] = (
                f"{figures['steps_over_said']:.4f}, {1000 * figures['steps_uneven_um_rms']:.1f}"
            )
        row["unexplained (%)"] = 100 * result.figures["unexplained_share"]
        row["warnings"] = "; ".join(result.warnings)
        rows.append(row)
        print({key: np.round(v, 4) if isinstance(v, float) else v for key, v in row.items()}, flush=True)
    return rows


if __name__ == "__main__":
    main()
