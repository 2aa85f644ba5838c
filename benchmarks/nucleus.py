"""One nucleus, as in Fig. 5 of Nehme et al. 2020: a scan without a mask, then a snapshot with one, and Jaccard.

62 emitters of 10,000 to 60,000 photons in an ellipsoid of 20 × 20 × 3.6 µm, frames of 200 × 200 px, a
nucleus-shaped background. The scan uses the standard PSF, planes 0.2 µm of travel apart. Each snapshot is
localized by its model and refined, then compared within 150 nm with the scan (after a shift of the whole, as
one would with real data) and with the truth, which a microscopist does not have. The paper's 0.77 (Tetrapod)
and 0.89 (learned mask) were measured on real, aberrated, fixed cells; here nothing is aberrated, so the
figures are no contest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepstorm3d.analysis.matching import match
from deepstorm3d.analysis.metrics import score
from deepstorm3d.analysis.point_registration import register_points
from deepstorm3d.camera import ScmosCamera
from deepstorm3d.draws import uniform
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.experiment.configure import find_experiment
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.field import Field
from deepstorm3d.io.movies import MovieWriter
from deepstorm3d.io.tables import read_truth
from deepstorm3d.jobs.axial_scan import FocalPlanes, scan_stack
from deepstorm3d.localizing.catalogue import find_model
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from deepstorm3d.optics.assembly import Assembly
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import ZeroMask
from deepstorm3d.optics.scalar import ScalarPSF
from deepstorm3d.simulation.structures import nucleus
from harness import arguments_of, interval, report

HERE = Path(__file__).parent
LEARNED = HERE / "models" / "telomeres-learned" / "model.pt"
LEARNED_MASK = HERE.parents[1] / "shared" / "data" / "mask_learned.mat"
NUMBER, SIDE, STEP_UM, TRAVEL_UM = 62, 200, 0.2, (2.0, 9.0)
EXTENT_UM, DEPTH_UM = (20.0, 20.0, 3.6), 4.0
CAMERA = ScmosCamera(baseline=100.0, gain=1.0, read_noise=1.6)
PUBLISHED = {"tetrapod": 0.77, "learned": 0.89}


def scene(experiment: Experiment, seed: int) -> tuple[Emitters, Tensor]:
    """Emitters of one nucleus, and its background (1, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    middle = (SIDE - 1) / 2 * experiment.microscope.pixel_um
    xyz = nucleus(NUMBER, (middle, middle, DEPTH_UM), EXTENT_UM, generator)
    photons = uniform(10000.0, 60000.0, (NUMBER,), generator)
    field = Field(SIDE, SIDE, experiment.microscope.pixel_um)
    background = experiment.scene().background.draw(1, field, generator)
    return Emitters(xyz, torch.zeros(NUMBER, dtype=torch.int64), photons, torch.arange(NUMBER)), background


@torch.no_grad()
def image(psf: ScalarPSF, emitters: Emitters, background: Tensor, focus: float | None = None) -> Tensor:
    """Expected photons of one plane, (1, H, W)."""
    travel = None if focus is None else torch.full_like(emitters.photons, focus)
    patches = psf(emitters.xyz, focus_um=travel)
    side = patches.values.shape[-1]
    places = Assembly(patches.corner, emitters.frame, (side, side), (1, SIDE, SIDE))
    return background + places.add(places.inside(patches.values * emitters.photons[:, None, None]))


def scan(experiment: Experiment, emitters: Emitters, background: Tensor, folder: Path, seed: int) -> Emitters:
    """The list that axial-scan makes of a simulated stack."""
    microscope = experiment.microscope
    psf = build_psf(experiment.psf, microscope, ZeroMask().build(microscope), patch_px=95)
    generator = torch.Generator().manual_seed(1000 + seed)
    stack, truth = folder / "stack.tif", folder / "scan.csv"
    planes = torch.arange(TRAVEL_UM[0], TRAVEL_UM[1] + 1e-6, STEP_UM).tolist()
    pixel = microscope.pixel_um
    with MovieWriter(stack, frames=len(planes), shape=(SIDE, SIDE), pixel_um=pixel, overwrite=True) as movie:
        for focus in planes:
            movie.append(CAMERA.expose(image(psf, emitters, background, focus), generator).numpy())
    scan_stack(
        Excerpt(stack), experiment.with_(camera=CAMERA), truth, FocalPlanes(STEP_UM, planes[0]), overwrite=True
    )
    return read_truth(truth, pixel_um=pixel)


def snapshot(
    pipeline: Pipeline, psf: ScalarPSF, emitters: Emitters, background: Tensor, seed: int
) -> Localizations:
    """What the model finds in one exposure through its mask."""
    generator = torch.Generator().manual_seed(2000 + seed)
    counts = CAMERA.expose(image(psf, emitters, background), generator)
    return pipeline.localize(pipeline.to_photons(counts))


def jaccard(truth: Emitters, found: Localizations, *, register: bool) -> float:
    """Within 150 nm; register: shift the list onto the truth first."""
    if register:
        shift = register_points(found.xyz.double().numpy(), truth.xyz.double().numpy()).xyz.tolist()
        found = found.shift(xyz=(shift[0], shift[1], shift[2]))
    return score(truth, found, match(truth, found, tolerance_um=0.15)).jaccard


def as_found(emitters: Emitters) -> Localizations:
    return Localizations.proposals(emitters.xyz, emitters.frame, torch.ones(len(emitters)))


def models() -> dict[str, tuple[Pipeline, ScalarPSF]]:
    """The built-in Tetrapod, and the learned mask's model where its mask is there."""
    camera = {"kind": CAMERA.kind, "baseline": CAMERA.baseline, "gain": CAMERA.gain, "read_noise": 1.6}
    made = {}
    for name, path, mask in (("tetrapod", "tetrapod", None), ("learned", LEARNED, LEARNED_MASK)):
        if mask is not None and not mask.exists():
            print(f"skipped: the learned mask is not at {mask}")
            continue
        file = find_model(path)
        pipeline = load_pipeline(file, mask=mask, camera=camera)
        phase = file.mask
        if mask is not None:
            from deepstorm3d.io.masks import read_mask

            phase = torch.from_numpy(read_mask(mask)).float()
        experiment = pipeline.experiment
        # All the light that the sampling of the mask lets a patch hold.
        psf = build_psf(
            experiment.psf, experiment.microscope, experiment_mask(experiment, phase=phase), patch_px=151
        )
        made[name] = pipeline, psf
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nuclei", type=int, default=4)
    arguments = arguments_of(parser)
    experiment, figures = find_experiment("telomeres"), {}
    known = models()
    for seed in range(1, (1 if arguments.quick else arguments.nuclei) + 1):
        emitters, background = scene(experiment, seed)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            scanned = scan(experiment, emitters, background, Path(folder), seed)
        own = score(emitters, as_found(scanned), match(emitters, as_found(scanned), tolerance_um=0.15))
        collect(figures, "scan, no mask", {"to truth": own.jaccard, "found": len(scanned)}, own, began)
        for name, (pipeline, psf) in known.items():
            began = time.perf_counter()
            found = snapshot(pipeline, psf, emitters, background, seed)
            pairs = match(emitters, found, tolerance_um=0.15)
            values = {
                "to truth": jaccard(emitters, found, register=False),
                "to scan": jaccard(scanned, found, register=True),
                "found": len(found),
            }
            collect(figures, name, values, score(emitters, found, pairs), began)
        print(
            f"nucleus {seed}: " + ", ".join(f"{k} {v['to truth'][-1]:.3f}" for k, v in figures.items()),
            flush=True,
        )
    rows: list[dict[str, Any]] = []
    for name, values in figures.items():
        row: dict[str, Any] = {"list": name}
        row |= {key: interval(each) for key, each in values.items()}
        row["paper, real cells"] = PUBLISHED.get(name)
        rows.append(row)
    report("A nucleus of 62 emitters in one snapshot (Jaccard within 150 nm)", rows, arguments)


def collect(
    figures: dict[str, dict[str, list[float]]], name: str, values: dict[str, float], own: Any, began: float
) -> None:
    """One nucleus more: the values, errors against the truth, and seconds."""
    also = {
        "lateral RMSE, nm": own.rmse_lateral_nm,
        "axial RMSE, nm": own.rmse_axial_nm,
        "s": time.perf_counter() - began,
    }
    for key, value in {**values, **also}.items():
        figures.setdefault(name, {}).setdefault(key, []).append(float(value))


if __name__ == "__main__":
    main()
