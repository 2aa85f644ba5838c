"""A mask that stands off the pupil plane: where molecules seem to lie with and without `psf.field.mask_offset`.

    python benchmarks/mask_offset.py

Frames of 160×160 px through a Tetrapod, a grid of molecules, each drawn by the exact PSF with the mask moved to
where its light crosses it. The offset of 48 mm moves the light at the edge of this small field by 280 µm on the
mask, as 15 mm does at the edge of 512 px. Joint fit without a network (matching pursuit), with the offset in
the experiment and without; both signs.

bias: error averaged over the frames, root mean square over the molecules of a zone, nm, across and in depth;
over σ: rms of the error over the σ stated, 1 where it is true.  Zones: by the larger distance from the middle.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deepstorm3d.emitters import Localizations
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.localizing.fits import build_fit
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.field_aberrations import FieldSpec
from deepstorm3d.optics.mask_shift import footprint_um, moved_phase
from deepstorm3d.optics.masks import PixelMask, TetrapodMask
from harness import arguments_of, report

SIDE_PX, OFFSET_MM, FRAMES = 160, 48.0, 4
PHOTONS, BACKGROUND, FOUND_WITHIN_UM = 20_000.0, 10.0, 0.6
ZONES = {"middle (0 to ⅓)": (0.0, 1 / 3), "between": (1 / 3, 2 / 3), "edge (⅔ to 1)": (2 / 3, 1.0)}


@dataclass(frozen=True)
class Scene:
    """xyz: (N, 3) µm;  out: (N,) larger distance from the middle, 0 to 1;  photons: (F, H, W) counted."""

    xyz: Tensor
    out: Tensor
    photons: Tensor


def set_up(mm: float) -> Experiment:
    """A small set-up with the mask so far off."""
    base = preset("quickstart")
    field = FieldSpec(size_px=(SIDE_PX, SIDE_PX), mask_offset=mm)
    return base.with_(
        mask=TetrapodMask(strength=0.4),
        psf=base.psf.with_(patch_px=27, pupil_oversampling=2, field=field),
        microscope=base.microscope.with_(mask_pitch=60.0),
        frame_px=(SIDE_PX, SIDE_PX),
    )


def drawn(mm: float, frames: int) -> Scene:
    """Molecules on a grid, with the mask moved by hand for each."""
    experiment = set_up(mm)
    microscope, (low, high) = experiment.microscope, experiment.z_um
    phase = experiment_mask(experiment)().detach()
    generator = torch.Generator().manual_seed(3)
    image, rows, places = torch.full((SIDE_PX, SIDE_PX), BACKGROUND), [], []
    for row in range(16, SIDE_PX - 14, 21):
        for column in range(16, SIDE_PX - 14, 21):
            shift = torch.rand(3, generator=generator)
            x, y = column + float(shift[0]) - 0.5, row + float(shift[1]) - 0.5
            place = torch.tensor([[(x + 0.5) / SIDE_PX - 0.5, (y + 0.5) / SIDE_PX - 0.5]], dtype=torch.float64)
            right, below = footprint_um(experiment.psf.across, microscope, place)[0].tolist()
            mask = PixelMask(moved_phase(phase, microscope, (right, below)))
            psf = build_psf(experiment.psf.with_(field=FieldSpec()), microscope, mask)
            depth = low + (high - low) * (0.15 + 0.7 * float(shift[2]))
            xyz = torch.tensor([[x * microscope.pixel_um, y * microscope.pixel_um, depth]])
            with torch.no_grad():
                patches = psf(xyz)
            (left, top), side = patches.corner[0].tolist(), patches.values.shape[1]
            image[top : top + side, left : left + side] += PHOTONS * patches.values[0]
            rows.append(xyz[0])
            places.append(2 * place.abs().max())
    photons = torch.poisson(image.expand(frames, -1, -1).clone(), generator=generator)
    return Scene(torch.stack(rows), torch.stack(places), photons)


def compared(scene: Scene, fit: JointFit, experiment: Experiment) -> list[dict[str, Any]]:
    """Figures of each zone."""
    found = fit(Localizations.empty(), Likelihood(scene.photons))
    frames = len(scene.photons)
    error = torch.full((frames, len(scene.xyz), 3), torch.nan)
    ratio = error.clone()
    for frame in range(frames):
        here = found.select(found.frame == frame)
        distance, nearest = torch.cdist(scene.xyz, here.xyz.float()).min(1)
        there = distance < FOUND_WITHIN_UM
        away = here.xyz.float()[nearest] - scene.xyz
        error[frame, there] = away[there]
        ratio[frame, there] = (away / here.sigma_xyz[nearest])[there]
    bias = 1000 * error.nanmean(0)
    rows = []
    for name, (low, high) in ZONES.items():
        inside = (scene.out >= low) & (scene.out < high)
        far = bias[inside]
        rows.append(
            {
                "zone": name,
                "molecules": int(inside.sum()),
                "found": float(error[:, inside, 0].isfinite().double().mean()),
                "bias x, y": float(far[:, :2].square().nanmean().sqrt()),
                "bias z": float(far[:, 2].square().nanmean().sqrt()),
                "worst z": float(far[:, 2].abs().nan_to_num().max()),
                "over σ": float(ratio[:, inside].square().nanmean().sqrt()),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments = arguments_of(parser)
    rows: list[dict[str, Any]] = []
    for mm in (OFFSET_MM,) if arguments.quick else (OFFSET_MM, -OFFSET_MM):
        scene = drawn(mm, 1 if arguments.quick else FRAMES)
        for known in (True, False):
            experiment = set_up(mm if known else 0.0)
            fit = build_fit(experiment, experiment_mask(experiment), "pursuit", "cpu")
            assert isinstance(fit, JointFit)
            row = {"mask": f"{mm:+.0f} mm", "in the experiment": known}
            rows += [row | each for each in compared(scene, fit, experiment)]
            print(rows[-3:], flush=True)
    report("Molecules through a mask off the pupil plane, joint fit", rows, arguments)


if __name__ == "__main__":
    main()
