"""What the refined list is worth where the model is wrong: blur, background, aberration, gain, photons.

20 emitters in frames of 121×121 pixels (Fig. 2 conditions, accuracy.py), each case with one thing that the
model was not told, localized as `localize` does. Aberration: Zernikes Noll 5 to 15 with normal random
coefficients, scaled to the stated rms over the pupil, another draw in each batch of frames. Gain: the counts
are read as so many photons too many. Columns as in refinement.py.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch

from accuracy import SEED, SIDE, scene_of
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.field import Field
from deepstorm3d.localizer.modelfile import ModelFile, load_model_file
from deepstorm3d.simulation.priors import FixedCount, FixedPhotons
from deepstorm3d.simulation.simulator import Simulator
from harness import arguments_of, report
from refinement import Tally, Way, bounds, ways_of

PATCH_PX, BATCH = 121, 5


@dataclass(frozen=True)
class Case:
    """One thing that the model is not told."""

    name: str
    blur_px: float = 1.0
    nucleus: bool = False
    aberration_rad: float = 0.0
    gain: float = 1.0
    photons: float = 30_000.0


CASES = (
    Case("as the model expects"),
    Case("blur 10 % more", blur_px=1.1),
    Case("blur 10 % less", blur_px=0.9),
    Case("blur 1.6 px, beyond its range", blur_px=1.6),
    Case("super-Gaussian background", nucleus=True),
    Case("aberration 0.1 rad rms", aberration_rad=0.1),
    Case("aberration 0.3 rad rms", aberration_rad=0.3),
    Case("gain 10 % off: photons read 10 % high", gain=1.1),
    Case("gain 10 % off: photons read 10 % low", gain=0.9),
    Case("3,000 photons", photons=3_000.0),
    Case("100,000 photons", photons=100_000.0),
)


def simulator_of(experiment: Experiment, model: ModelFile, case: Case, draw: int) -> Simulator:
    """The image model of a case, exact but for the table."""
    spec = experiment.psf.with_(patch_px=PATCH_PX)
    if case.aberration_rad:
        values = torch.randn(11, generator=torch.Generator().manual_seed(SEED + draw))
        values *= case.aberration_rad / values.square().sum().sqrt()
        spec = spec.with_(aberrations={5 + k: float(v) for k, v in enumerate(values)})
    mask = experiment_mask(experiment, phase=model.mask)
    blur = (case.blur_px, case.blur_px)
    psf = spec.tabulate(experiment.microscope, mask, experiment.z_um, blur)
    return Simulator(psf, experiment.camera, Field(SIDE, SIDE, psf.pixel_um))


@torch.no_grad()
def measure(case: Case, experiment: Experiment, model: ModelFile, way: Way, count: int, frames: int) -> Tally:
    """The refined list of one case against its truth."""
    scene = scene_of("fig2", experiment)
    if case.nucleus:
        scene = scene.with_(background=preset("telomeres").scene().background)
    prior = scene.emitters.with_(
        count=FixedCount(count=count), photons=FixedPhotons(photons=case.photons), blur_px=(case.blur_px,) * 2
    )
    generator = torch.Generator().manual_seed(SEED + 9000)
    tally, simulator = Tally(), None
    for first in range(0, frames, BATCH):
        if simulator is None or case.aberration_rad:
            simulator = simulator_of(experiment, model, case, first)
        truth = prior.draw(BATCH, simulator.field, generator)
        background = scene.background.draw(BATCH, simulator.field, generator)
        photons = simulator.to_photons(simulator(truth, background, generator))
        tally.add(truth, way(case.gain * photons, truth), bounds(simulator, truth, background))
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file that holds its mask")
    parser.add_argument("--count", type=int, default=20, help="emitters in a frame")
    parser.add_argument("--frames", type=int, default=20)
    arguments = arguments_of(parser)
    cases, frames = (CASES[:2], BATCH) if arguments.quick else (CASES, arguments.frames)
    model = load_model_file(arguments.model)
    pipeline, ways = ways_of(arguments.model, None, "cpu")
    rows = []
    for case in cases:
        tally = measure(case, pipeline.experiment, model, ways["refined"], arguments.count, frames)
        rows.append({"case": case.name} | tally.row(frames))
        print(rows[-1], flush=True)
    report(f"Robustness, {arguments.count} emitters", rows, arguments, model=pipeline.experiment.name)


if __name__ == "__main__":
    main()
