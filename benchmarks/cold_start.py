"""Masks retrieved from nothing: real stacks and a simulated double helix, from wrong designs, either way round.

Real: one bead each of ../shared/data/nebulae (110 nm pixels, 54 to 56 slices of 100 nm, background taken off),
the program told a design and a sign of the step. Simulated: a double helix of waist 0.5 on the same set-up, 55
slices of 100 nm, 50,000 photons a slice on a background of 20, drawn with twice the pupil samples.

Correlation: mean over slices of image and model, as `retrieve-mask` tells it. Strehl: of the phase found over
that of the authors' program (or the true one), |⟨exp(i(φ − φ'))⟩|² over the aperture up to piston, tilt and
defocus, or over its twin −φ(−ξ, −η), which explains the reversed stack: the larger of the two, and which. Phase
error: rms of the same difference, each sample between −π and π.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepstorm3d.calibration.beads.simulated import BeadScene, draw_stack
from deepstorm3d.calibration.phase_retrieval.degeneracies import aperture_of, defocus_phase
from deepstorm3d.calibration.phase_retrieval.orientation import twin
from deepstorm3d.calibration.phase_retrieval.report import write_retrieval
from deepstorm3d.calibration.phase_retrieval.retrieval import BeadSettings, retrieve_mask
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.io.masks import read_mask
from deepstorm3d.io.movies import MovieWriter
from deepstorm3d.optics.designs import double_helix_phase
from deepstorm3d.optics.masks import (
    AstigmaticMask,
    DoubleHelixMask,
    FileMask,
    MaskSpec,
    PixelMask,
    TetrapodMask,
    ZeroMask,
)
from deepstorm3d.optics.microscope import Microscope
from harness import arguments_of, report

DATA = Path(__file__).parents[2] / "shared" / "data" / "nebulae"
AUTHORS = {"tetrapod": "mask_oracle1", "crlb1": "mask_crlb1", "learned1": "mask_learned_fixed1"}
HELIX_WAIST, SLICES, STEP_UM = 0.5, 55, 0.1
HELICES = {"helix": 0, "helix turned by 90°": 1}
# Tilts that are tried along either axis.
_TILTS = 512
DESIGNS: dict[str, MaskSpec] = {
    "none": ZeroMask(),
    "Tetrapod": TetrapodMask(),
    "astigmatic": AstigmaticMask(),
    "helix of waist 0.35": DoubleHelixMask(waist=0.35),
}


def nebulae() -> Experiment:
    """The set-up of the real stacks."""
    base = preset("telomeres")
    return base.with_(microscope=base.microscope.with_(wavelength=0.605, na=1.49))


def likeness(phase: Tensor, other: Tensor, microscope: Microscope) -> tuple[float, float]:
    """Strehl ratio of two phases (K, K) rad and the rms of their difference, rad.

    At the tilts, and the defocus of ±2 µm, for which the ratio is greatest.
    """
    inside = aperture_of(microscope, phase.shape[1])
    field = torch.polar(inside.double(), phase - other)
    defocus = defocus_phase(microscope, phase.shape[1], "objective")
    best, left = 0.0, field
    for travel in torch.linspace(-2, 2, 81).tolist():
        turned = field * torch.polar(inside.double(), travel * defocus)
        # The Fourier transform is the mean over the aperture for every tilt.
        means = torch.fft.fft2(turned, s=(_TILTS, _TILTS))
        value, place = means.abs().flatten().max(0)
        if float(value) > best:
            row, column = divmod(int(place), _TILTS)
            pixel = torch.arange(phase.shape[1]).double() * (2 * torch.pi / _TILTS)
            tilt = row * pixel[:, None] + column * pixel + means.flatten()[place].angle()
            best, left = float(value), turned * torch.polar(inside.double(), -tilt)
    ratio = (best / float(inside.sum())) ** 2
    return ratio, float(left[inside].angle().square().mean().sqrt())


def in_the_middle(phase: Tensor, pixels: int) -> Tensor:
    """The middle of a phase, cut or filled with 0 to so many pixels."""
    edge = (pixels - phase.shape[1]) // 2
    return torch.nn.functional.pad(phase, [edge] * 4)


def draw_helix(folder: Path, experiment: Experiment, turns: int) -> tuple[Path, Tensor]:
    """A stack of one bead as a TIFF, and the phase that it was drawn with;  turns: of the mask by 90°."""
    truth = torch.rot90(double_helix_phase(experiment.microscope, HELIX_WAIST), turns)
    focus = STEP_UM * (torch.arange(SLICES) - (SLICES - 1) / 2)
    pixel = experiment.microscope.pixel_um
    scene = BeadScene(
        focus,
        torch.tensor([[60.3, 59.8]]) * pixel,
        torch.full((SLICES, 1), 50_000.0),
        (121, 121),
        diameter_um=0.1,
    )
    stack = draw_stack(experiment, PixelMask(truth), scene, 0)
    path = folder / f"helix{turns}.tif"
    with MovieWriter(path, frames=SLICES, shape=(121, 121), overwrite=True) as writer:
        writer.append(stack.numpy())
    return path, truth


def case_of(label: str, folder: Path) -> tuple[Path, Tensor] | None:
    """A stack and the phase that it is compared with; None where the real data are not there."""
    if label in HELICES:
        return draw_helix(folder, nebulae(), HELICES[label])
    path, theirs = DATA / f"beads_{label}.tif", DATA / f"{AUTHORS[label]}.tif"
    if path.exists() and theirs.exists():
        return path, torch.from_numpy(read_mask(theirs)).double()
    print(f"not there, left out: {path}")
    return None


def judge(
    label: str, path: Path, truth: Tensor, design: str, step_um: float, arguments: argparse.Namespace
) -> dict[str, Any]:
    """One retrieval."""
    mask = DESIGNS.get(design) or FileMask(path=str(DATA / f"{design}.tif"))
    experiment = nebulae().with_(mask=mask)
    began, worked = time.monotonic(), time.process_time()
    result = retrieve_mask(experiment, [path], BeadSettings(step_um=step_um))
    wall, cpu = time.monotonic() - began, time.process_time() - worked
    if arguments.pictures:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
        name = f"{label}_{design}_{step_um:+.1f}"
        write_retrieval(result, arguments.pictures / f"{name}.npy", picture=arguments.pictures / f"{name}.png")
    figures, optics = result.figures, experiment.microscope
    truth = in_the_middle(truth, result.phase.shape[1])
    same, other = likeness(result.phase, truth, optics), likeness(result.phase, twin(truth), optics)
    return {
        "stack": label,
        "design": design,
        "step (µm)": step_um,
        "correlation": round(figures["correlation"], 4),
        "of the design": round(figures["correlation_of_design"], 3),
        "Strehl": f"{max(same, other)[0]:.2f}" + (" (twin)" if other > same else ""),
        "phase error (rad)": round(max(same, other)[1], 2),
        "reversed by itself": figures["positions_reversed"],
        "starts": figures["starts_tried"],
        "side (px)": figures["side_px"],
        "wall (s)": round(wall, 1),
        "cpu (s)": round(cpu, 1),
        "warnings": "; ".join(result.warnings),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="STACK", help="of the stacks only this")
    parser.add_argument("--designs", nargs="*", default=["none", "Tetrapod"], help="to start from")
    parser.add_argument("--steps", nargs="*", type=float, default=[STEP_UM, -STEP_UM], help="µm, to be told")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write masks and their pictures there")
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.only, arguments.designs, arguments.steps = "helix", ["astigmatic"], [STEP_UM]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for label in (*AUTHORS, *HELICES):
            if arguments.only in ("", label) and (case := case_of(label, Path(name))) is not None:
                for design in arguments.designs:
                    for step_um in arguments.steps:
                        rows.append(judge(label, *case, design, step_um, arguments))
                        print(rows[-1], flush=True)
    report("Masks retrieved from nothing", rows, arguments)


if __name__ == "__main__":
    main()
