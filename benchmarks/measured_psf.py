"""Molecules localized with a PSF that was measured from simulated beads, beside the true PSF.

Two set-ups: quickstart (astigmatic, 0 to 1.2 µm) and telomeres (Tetrapod, 2 to 6 µm), each with 60 nm rms of
random aberrations; quickstart with the telomeres' mask pixels, which hold wider images.  Beads: four, 50,000 to
5,000 photons a slice, on a background of 20, drawn with twice the pupil samples and their size; slices 50 nm
(quickstart) or 100 nm apart, 0.2 µm beyond the depths at both ends.  The job of `measure-psf` makes of their
TIFF the planes, and the experiment that uses them.

Molecules: points drawn with the true mask (oversampling 2, blur 0.8 px), 30,000 photons on 150, at 21 depths,
localized one by one from 50 nm off.  Error over bound in x, y, z: rms over all depths; in x and z also in five
ranges of depth from shallow to deep, with the mean error in z there.  A shift of all in x and y is told apart.

"true PSF": the table of the true mask.  "exact planes": those of the true PSF in the same steps, without noise:
what the spline costs.  "in depth": beads that move in the sample while the focus stays, without the aberrations
of depth, which beads on the coverslip do not show.  "still": they do not drift; else by 6 nm rms from slice to
slice, which stays in the average.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepstorm3d.calibration.beads.settings import BeadSettings
from deepstorm3d.calibration.beads.simulated import BeadScene, aberrated_mask, draw_stack
from deepstorm3d.calibration.beads.stage_range import travel_for_depths
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import read_experiment
from deepstorm3d.experiment.optics import psf_source
from deepstorm3d.experiment.presets import preset
from deepstorm3d.io.movies import MovieWriter
from deepstorm3d.jobs.measure_psf import measure_psf
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import PhaseMask
from deepstorm3d.optics.measured import sample_volume, spline_psf
from deepstorm3d.optics.psf import Patches
from deepstorm3d.optics.tabulated import TabulatedPSF
from harness import arguments_of, report
from retrieve_mask import BINS, BLUR, BRIGHT, CENTRES, DEPTHS, FOUND, Molecules, draw_molecules, errors_with

# Images of beads, wide enough for the windows of the molecules; depths beyond those of the scenes, µm.
PLANES_PX, BEYOND_UM = 73, 0.2
STEPS_UM = {"quickstart": 0.05, "telomeres": 0.1}


@dataclass(frozen=True)
class Beads:
    """Diameter;  whether they move in depth (else the objective does);  drift, rms from slice to slice."""

    diameter_um: float
    in_depth: bool = False
    drift_um: float = 0.006

    @property
    def name(self) -> str:
        words = [f"{1000 * self.diameter_um:.0f} nm beads", *(["in depth"] if self.in_depth else [])]
        return ", ".join([*words, *([] if self.drift_um else ["still"])])


KINDS = (Beads(0.1), Beads(0.1, False, 0.0), Beads(0.1, True), Beads(0.1, True, 0.0), Beads(0.2, True, 0.0))


class Still:
    """A spline for the fit of single images: the focus is the planes' own, and so is the blur."""

    def __init__(self, psf: TabulatedPSF) -> None:
        self.psf, self.pixel_um = psf, psf.pixel_um

    def __call__(
        self,
        xyz: Tensor,
        blur_px: Tensor | None = None,
        *,
        focus_um: Tensor | None = None,
        place: Tensor | None = None,
    ) -> Patches:
        return self.psf(xyz)


def experiment_of(name: str) -> Experiment:
    base = preset(name)
    optics = base.microscope.with_(mask_pitch=preset("telomeres").microscope.mask_pitch)
    scenes = {
        key: scene.with_(emitters=scene.emitters.with_(blur_px=None)) for key, scene in base.scenes.items()
    }
    psf = base.psf.with_(blur_px=BLUR, patch_px=PLANES_PX - 2 * TabulatedPSF.margin_px)
    return base.with_(microscope=optics, scenes=scenes, psf=psf)


def measured(base: Experiment, mask: PhaseMask, beads: Beads, step_um: float, folder: Path, seed: int) -> Still:
    """From beads to the PSF of an experiment: TIFF, job, experiment file."""
    optics = base.microscope
    low, high = (end + sign * BEYOND_UM for end, sign in zip(base.z_um, (-1, 1), strict=True))
    moves = "depth" if beads.in_depth else "objective"
    first, last = travel_for_depths(optics, (low, high), beads.diameter_um / 2, moves)
    slices = round((last - first) / step_um) + 1
    position = first + step_um * torch.arange(slices)
    generator = torch.Generator().manual_seed(seed)
    places = (torch.tensor(CENTRES) + torch.rand(4, 2, generator=generator)) * optics.pixel_um
    light = torch.tensor(BRIGHT).expand(slices, -1)
    scene = BeadScene(position, places, light, (200, 200), beads.diameter_um, BLUR, beads.drift_um)
    stack = draw_stack(base, mask, replace(scene, in_depth=beads.in_depth), seed)
    movie, out = folder / "beads.tif", folder / "measured.yaml"
    with MovieWriter(movie, frames=slices, shape=(200, 200), overwrite=True) as writer:
        writer.append(stack.numpy())
    told = BeadSettings(
        moves=moves, step_um=step_um, first_um=first, bead_um=beads.diameter_um, side_px=PLANES_PX
    )
    measure_psf(base, [movie], told, folder / "psf.tif", experiment_out=out, overwrite=True)
    experiment = read_experiment(out)
    source = psf_source(experiment)
    return Still(experiment.psf.tabulate(optics, source, experiment.z_um, experiment.blur_px))


def judged(psf: Still, molecules: Molecules, seed: int) -> dict[str, Any]:
    error, shift = errors_with(psf, BLUR, molecules, seed)
    parts, bounds = error.chunk(BINS), molecules.bound.chunk(BINS)
    ratio = [
        part.square().mean(0).sqrt() / bound.square().mean(0).sqrt()
        for part, bound in zip([error, *parts], [molecules.bound, *bounds], strict=True)
    ]
    scatter = torch.stack([part[:, 2] - part[:, 2].mean() for part in error.split(len(error) // DEPTHS)])
    return {
        "x y z error/bound": " ".join(f"{float(v):.2f}" for v in ratio[0]),
        "z by depth": " ".join(f"{float(each[2]):.2f}" for each in ratio[1:]),
        "x by depth": " ".join(f"{float(each[0]):.2f}" for each in ratio[1:]),
        "z about its mean at each depth": float(scatter.square().mean().sqrt())
        / float(molecules.bound[:, 2].square().mean().sqrt()),
        "z bias by depth (nm)": " ".join(f"{1000 * float(part[:, 2].mean()):.1f}" for part in parts),
        "bound of z (nm)": 1000 * float(molecules.bound[:, 2].square().mean().sqrt()),
        "shift of all in x y (nm)": " ".join(f"{1000 * float(v):.1f}" for v in shift),
    }


def ways(
    base: Experiment, mask: PhaseMask, step_um: float, folder: Path, seed: int
) -> Iterator[tuple[str, Still]]:
    """Names and PSFs to localize with."""
    low, high = base.z_um
    beyond = (low - BEYOND_UM, high + BEYOND_UM)
    spec = base.psf.with_(pupil_oversampling=2)
    yield "true PSF", Still(spec.tabulate(base.microscope, mask, beyond, (BLUR, BLUR), finer=True))
    exact = build_psf(spec, base.microscope, mask, patch_px=PLANES_PX)
    yield "exact planes", Still(spline_psf(sample_volume(exact, beyond, step_um), BLUR))
    for beads in KINDS:
        yield beads.name, measured(base, mask, beads, step_um, folder, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="aberrations and stacks (default: 1)")
    parser.add_argument("--each", type=int, default=20, help="molecules at each of 21 depths (default: 20)")
    parser.add_argument("--set-up", choices=tuple(STEPS_UM), default=None, help="one only (default: both)")
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.seeds, arguments.each = 1, 3
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for set_up, step_um in STEPS_UM.items():
            if arguments.set_up not in (None, set_up):
                continue
            base = experiment_of(set_up)
            for seed in range(1, arguments.seeds + 1):
                mask = aberrated_mask(base, FOUND["rms"], seed)
                molecules = draw_molecules(base, mask, arguments.each, 1000 + seed)
                for label, psf in ways(base, mask, step_um, Path(name), seed):
                    rows.append({"PSF": f"{set_up}, seed {seed}: {label}", **judged(psf, molecules, seed)})
                    print(rows[-1], flush=True)
    report("Molecules localized with a measured PSF", rows, arguments)


if __name__ == "__main__":
    main()
