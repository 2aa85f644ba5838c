"""The learned mask at the paper's size on a CPU: 0 to 5 µm, 1 to 35 emitters, 329×329 pixels of the modulator.

Two designs end to end: one on coarse pixels of the mask, from the flat mask, and one on the modulator's own
pixels, which begins with the coarse mask, each pixel repeated 4×4. Frames are crops of 64 px without an empty
border, at the densities of 1 to 35 emitters in a frame of 121 px with a border of 20. Four hours of a core;
stopped (Ctrl-C or SIGTERM) and started again, it goes on from its last checkpoint.

    nice python benchmarks/learned_mask.py FOLDER
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import write_experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.optics.masks import ZeroMask
from deepstorm3d.simulation.counts import DensityCount

COARSE_PITCH = 4
SIDE_PX, BORDER_PX = 121, 20


def experiments() -> dict[str, Experiment]:
    """The two designs, in their order."""
    whole = preset("psf-learning").with_(mask=ZeroMask())
    microscope, scene = whole.microscope, whole.scenes["nucleus"]
    area_um2 = ((SIDE_PX - 2 * BORDER_PX) * microscope.pixel_um) ** 2
    density = DensityCount(low=1 / area_um2, high=35 / area_um2)
    emitters = scene.emitters.with_(count=density, margin_px=(-10.0, -10.0))
    training = whole.training.with_(crop_px=64, batch=16, validation_crops=96, checkpoint_every=100)
    cropped = whole.with_(
        scenes={"nucleus": scene.with_(emitters=emitters)},
        network=whole.network.with_(channels=48),
        design=whole.design.with_(spread=1.0),
    )
    return {
        "coarse": cropped.with_(
            name="psf-learning-coarse",
            microscope=microscope.with_(mask_pitch=COARSE_PITCH * microscope.mask_pitch),
            psf=whole.psf.with_(patch_px=81, pupil_oversampling=2),
            training=training.with_(steps=6000),
        ),
        "fine": cropped.with_(name="psf-learning-fine", training=training.with_(steps=5000, warmup_steps=400)),
    }


def design(name: str, experiment: Experiment, start: list[str], folder: Path) -> bool:
    """Run a design from a mask, or go on with it; False if it was stopped before its end."""
    mask, checkpoint, settings = (folder / f"{name}{end}" for end in (".npy", ".checkpoint", ".yaml"))
    if mask.exists() and not checkpoint.exists():
        return True
    if not settings.exists():
        write_experiment(experiment, settings)
    command = [sys.executable, "-m", "deepstorm3d", "design-psf", str(settings), "--out", str(mask)]
    resume = ["--resume"] if checkpoint.exists() else []
    subprocess.run([*command, "--start", *start, "--device", "cpu", *resume], check=False)
    return mask.exists() and not checkpoint.exists()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    stages, finer = experiments(), folder / "up.npy"
    if not design("coarse", stages["coarse"], ["zero"], folder):
        return
    if not finer.exists():
        np.save(finer, np.load(folder / "coarse.npy").repeat(COARSE_PITCH, 0).repeat(COARSE_PITCH, 1))
    design("fine", stages["fine"], [str(finer), "--from", str(folder / "coarse.pt")], folder)


if __name__ == "__main__":
    main()
