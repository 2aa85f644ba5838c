"""How true `recommend` is: settings that are not in its table, and the built-in network beside its assumptions.

`settings`: other microscopes, light and depths than the table's, simulated and fitted as the table was; beside
the expectation. `network`: the built-in Tetrapod model, network and joint fit; the same fit begun as for the
table; and begun with no candidates.

  python benchmarks/recommend_check.py settings
  python benchmarks/recommend_check.py network
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import torch

from deepstorm3d.camera import IdealCamera
from deepstorm3d.emitters import Localizations
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.recommendation import Sample
from deepstorm3d.jobs import recommend as job
from deepstorm3d.jobs.known_mask_setup import sketched, through
from deepstorm3d.localizing.catalogue import find_model
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSFSpec
from harness import arguments_of, report
from known_masks import BEYOND_PX, BLUR_PX, Fits

# Name, microscope, sample, side of the frame and of the patch (px).
SETTINGS: tuple[tuple[str, Microscope, Sample, int, int], ...] = (
    (
        "670 nm, NA 1.2 water, 130 nm",
        Microscope(wavelength=0.67, na=1.2, n_immersion=1.33, camera_pitch=13.0),
        Sample((0.0, 1.6), 0.5, 6000.0, 40.0),
        48,
        41,
    ),
    (
        "520 nm, NA 1.45 oil, 100 nm",
        Microscope(wavelength=0.52, camera_pitch=10.0),
        Sample((0.0, 3.0), 0.5, 9000.0, 30.0),
        64,
        61,
    ),
)
MASKS = ("astigmatic", "tetrapod", "flat")
DENSITIES = (0.13, 0.45, 0.9)


def settings(quick: bool) -> list[dict[str, Any]]:
    """Expected and simulated figures of some masks in settings that are not in the table."""
    rows = []
    for name, scope, sample, side, patch in SETTINGS:
        scene = sample.scene(BLUR_PX, -BEYOND_PX)
        psf = ScalarPSFSpec(patch_px=patch, blur_px=BLUR_PX)
        experiment = Experiment(name=name, microscope=scope, camera=IdealCamera(), psf=psf, scenes={"s": scene})
        answer = job.recommend(experiment, sample)
        for advice in answer.advice:
            if advice.mask not in MASKS[: 1 if quick else None]:
                continue
            here = through(sketched(experiment, scene, side), advice.masks, advice.focus)
            made, bound = Fits(here, patch + 16).judged(here, sample.density, 77)
            rows.append(
                {
                    "setting": name,
                    "mask": advice.mask,
                    "expected J": round(advice.jaccard, 3),
                    "simulated J": round(made.jaccard, 3),
                    "expected lateral nm": round(advice.rmse_lateral_nm, 1),
                    "simulated lateral nm": round(made.rmse_lateral_nm or math.nan, 1),
                    "expected axial nm": round(advice.rmse_axial_nm, 1),
                    "simulated axial nm": round(made.rmse_axial_nm or math.nan, 1),
                    "bound nm": [round(value, 1) for value in bound],
                    "rows": made.tp + made.fn,
                }
            )
            print(rows[-1], flush=True)
    return rows


def network(quick: bool) -> list[dict[str, Any]]:
    """The built-in Tetrapod model beside the fits begun with the table's candidates, and with none."""
    model = load_pipeline(find_model("tetrapod"))
    whole, rows = model.experiment, []
    for density in DENSITIES[: 1 if quick else None]:
        sample = Sample(whole.z_um, density, 30_000.0, 150.0)
        scene = sample.scene(BLUR_PX, -BEYOND_PX)
        here = whole.with_(scenes={"sample": scene}, frame_px=(80, 80), camera=IdealCamera())
        fits = Fits(here, 95)

        def by_network(_: Localizations, lights: list[Any]) -> Localizations:
            return model.localize(lights[0].frames)

        ways = {
            "network and fit": fits.judged(here, density, 11, by=by_network),
            "the table's candidates": fits.judged(here, density, 11),
            "no candidates": fits.judged(here, density, 11, proposed=False),
        }
        for way, (made, bound) in ways.items():
            rows.append(
                {
                    "per µm²": density,
                    "begun with": way,
                    "J": round(made.jaccard, 3),
                    "lateral nm": round(made.rmse_lateral_nm or math.nan, 1),
                    "axial nm": round(made.rmse_axial_nm or math.nan, 1),
                    "bound nm": [round(value, 1) for value in bound],
                    "rows": made.tp + made.fn,
                }
            )
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["settings", "network"])
    arguments = arguments_of(parser)
    torch.set_grad_enabled(False)
    rows = settings(arguments.quick) if arguments.what == "settings" else network(arguments.quick)
    report(f"recommend: {arguments.what}", rows, arguments)


if __name__ == "__main__":
    main()
