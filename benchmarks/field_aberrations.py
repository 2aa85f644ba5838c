"""Aberrations that change across the field: found from beads, and what they are worth to molecules in it.

Telomere set-up, our Tetrapod with 60 nm rms of random aberrations, and on top astigmatism and coma that rise
by 0.2 to 0.5 rad over a field of 420×420 px (--strength multiplies them). Nine beads of 200 nm on a grid,
50,000 to 20,000 photons, 55 slices of 0.1 µm of objective travel, each drawn with the aberrations of its place;
the job of `retrieve-mask` makes of their TIFF the mask and the rises (`psf.field`).

Molecules: points drawn with the true phase of their place (oversampling 3, blur 0.8 px), 30,000 photons on 150,
at 21 depths, localized one by one from 50 nm off: error over bound, and the largest mean error in z of five
ranges of depth, in the middle, at the edges and in the corners of the field. A shift of all in x and y at a
place is told apart (the tilt of the phase there, which beads of unknown place leave open).

"field": the experiment found, as it is;  "one mask": the same without its `psf.field`, as in the middle;
"true": the true mask with the true field. Cost: setting the table up, and an image from it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepstorm3d.calibration.beads.settings import BeadSettings
from deepstorm3d.calibration.beads.simulated import aberrated_mask, draw_stack
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.field import Field
from deepstorm3d.optics.field_aberrations import FieldSpec
from deepstorm3d.optics.masks import PhaseMask, PixelMask, ZernikePhase
from deepstorm3d.optics.tabulated import TabulatedPSF
from harness import arguments_of, report
from measured_psf import Still
from retrieve_mask import (
    BLUR,
    FOUND,
    SIDE,
    STEP_UM,
    draw_molecules,
    errors_with,
    first_um,
    retrieve,
    standard_scene,
)

FIELD_PX, SLICES = 420, 55
RISES = {5: (0.5, -0.2), 6: (0.2, 0.4), 7: (0.0, 0.5), 8: (0.4, 0.0)}
CENTRES = tuple((x, y) for y in (60, 210, 360) for x in (62, 208, 361))
BRIGHT = (50_000.0, 35_000.0, 20_000.0) * 3
PLACES = {
    "middle": (210, 210),
    "right": (405, 210),
    "top": (210, 14),
    "corner ↘": (405, 405),
    "corner ↗": (405, 14),
}


def at(column: float, row: float) -> tuple[float, float]:
    """From the middle of the field, −½ to ½."""
    return (column + 0.5) / FIELD_PX - 0.5, (row + 0.5) / FIELD_PX - 0.5


def mask_at(base: Experiment, mask: PhaseMask, field: FieldSpec, place: tuple[float, float]) -> PhaseMask:
    """The true mask with the aberrations of a place."""
    table = field.at(*place)
    values = torch.tensor(list(table.values()), dtype=torch.float64)
    return PixelMask(ZernikePhase(base.microscope, list(table), values, base=mask)().detach())


def bead_stack(base: Experiment, mask: PhaseMask, field: FieldSpec, seed: int) -> Tensor:
    """Photons (S, H, W): each bead with the mask of its place; sums of Poisson counts are such counts."""
    scene = standard_scene(base.microscope.pixel_um, seed, SLICES)
    generator = torch.Generator().manual_seed(seed)
    size, bleaching = (FIELD_PX, FIELD_PX), torch.exp(-0.4 * torch.arange(SLICES) / SLICES)
    stack = torch.zeros(SLICES, *size)
    for number, (place, light) in enumerate(zip(CENTRES, BRIGHT, strict=True)):
        there = (torch.tensor(place) + torch.rand(2, generator=generator)) * base.microscope.pixel_um
        one = replace(
            scene,
            places_um=there[None],
            photons=(light * bleaching)[:, None],
            size=size,
            background=0.0 if number else scene.background,
        )
        stack += draw_stack(base, mask_at(base, mask, field, at(*place)), one, seed)
    return stack


def table_of(experiment: Experiment, mask: PhaseMask) -> TabulatedPSF:
    spec = experiment.psf.with_(patch_px=SIDE + 8)
    blur = (experiment.psf.blur_px,) * 2
    low, high = experiment.z_um
    # As in the fit: a molecule at the end of the range may be found a little beyond it.
    return spec.tabulate(experiment.microscope, mask, (low - 0.2, high + 0.2), blur, finer=True)


def judged(
    table: TabulatedPSF, blur_px: float, base: Experiment, truth: PhaseMask, place: str, each: int
) -> Any:
    molecules = draw_molecules(base, truth, each, 1001)
    # The images of molecules begin half their side before the place.
    column, row = (each - SIDE // 2 for each in PLACES[place])
    psf = Still(table.in_field(Field(SIDE, SIDE, table.pixel_um, (column, row))))
    error, shift = errors_with(psf, blur_px, molecules, 1)
    ratio = error.square().mean(0).sqrt() / molecules.bound.square().mean(0).sqrt()
    parts = [1000 * float(part[:, 2].mean()) for part in error.chunk(5)]
    return {
        "x y z error/bound": " ".join(f"{float(v):.2f}" for v in ratio),
        "worst z bias (nm)": round(max(parts, key=abs), 1),
        "shift of all in x y (nm)": " ".join(f"{1000 * float(v):.1f}" for v in shift),
    }


def cost_of(table: TabulatedPSF, began: float) -> dict[str, float]:
    ready = time.perf_counter() - began
    xyz = torch.rand(1000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([46.0, 46.0, 4.0])
    xyz[:, 2] += 2
    table(xyz)
    began = time.perf_counter()
    table(xyz)
    drawn = time.perf_counter() - began
    began = time.perf_counter()
    table.derivatives(xyz)
    return {"table (s)": ready, "image (ms)": drawn, "with slopes (ms)": time.perf_counter() - began}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strength", type=float, default=1.0, help="factor on the rises (default: 1)")
    parser.add_argument("--each", type=int, default=20, help="molecules at each of 21 depths (default: 20)")
    arguments = arguments_of(parser)
    each = 2 if arguments.quick else arguments.each
    base = preset("telomeres")
    base = base.with_(psf=base.psf.with_(blur_px=BLUR))
    rises = {noll: (arguments.strength * a, arguments.strength * b) for noll, (a, b) in RISES.items()}
    field, mask = FieldSpec(size_px=(FIELD_PX, FIELD_PX), rises=rises), aberrated_mask(base, FOUND["rms"], 1)
    told = BeadSettings(step_um=STEP_UM, first_um=first_um(SLICES), bead_um=0.2)
    with tempfile.TemporaryDirectory() as name:
        result, wall, worked = retrieve(base, bead_stack(base, mask, field, 1), Path(name), told, "field")
    print("\n".join(result.warnings), flush=True)
    found = result.experiment
    print({"found": found.psf.across.rises, "wall": wall, "cpu": worked}, flush=True)
    true = base.with_(psf=base.psf.with_(field=field, pupil_oversampling=2))
    same = found.with_(psf=found.psf.with_(field=FieldSpec()))
    ways = {
        "field": (found, PixelMask(result.phase)),
        "one mask": (same, PixelMask(result.phase)),
        "true": (true, mask),
    }
    rows: list[dict[str, Any]] = []
    for label, (experiment, phase) in ways.items():
        began = time.perf_counter()
        table = table_of(experiment, phase)
        cost = cost_of(table, began)
        for place in PLACES:
            truth = mask_at(base, mask, field, at(*PLACES[place]))
            row = {"localized with": label, "place": place}
            rows.append(row | judged(table, experiment.psf.blur_px, base, truth, place, each) | cost)
            cost = {}
            print(rows[-1], flush=True)
    error = max(
        abs(found.psf.across.rises.get(noll, (0.0, 0.0))[axis] - rise[axis])
        for noll, rise in field.rises.items()
        for axis in (0, 1)
    )
    report("Aberrations across the field", rows, arguments, greatest_error_of_a_rise_rad=round(error, 4))


if __name__ == "__main__":
    main()
