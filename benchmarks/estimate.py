"""Estimates from simulated movies, without a model: density, photons, background and camera against truth.

Each movie is simulated from a preset with a density, a distribution of photons and a camera of its own, and
written as TIFF. `deepstorm3d estimate` then gets the preset as it is (other density, other photons, an ideal
or an sCMOS camera of other values), the movie, and a second movie without light. The table gives each
estimate over its truth; σ is what the estimate itself says of density and photons. A miss is a figure more
than 15 % off.

--model NAME: movies of 8 frames of the model's own experiment instead, with densities and photons of three
kinds, estimated from pixel values alone and from the molecules that the model finds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepstorm3d.calibration.movie_statistics.by_model import model_for
from deepstorm3d.calibration.movie_statistics.settings import EstimateSettings
from deepstorm3d.camera import Camera, EmccdCamera, ScmosCamera
from deepstorm3d.emitters import Emitters
from deepstorm3d.experiment.configure import find_experiment
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.field import Field
from deepstorm3d.io.movies import MovieWriter
from deepstorm3d.io.tables import read_truth
from deepstorm3d.jobs.estimate import estimate_movie
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.localizing.catalogue import find_model
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import experiment_of
from deepstorm3d.simulation.backgrounds import Background, UniformBackground
from deepstorm3d.simulation.priors import DensityCount, FixedPhotons, GammaPhotons, Photons, UniformPhotons
from harness import arguments_of, report

SCMOS = ScmosCamera(baseline=100.0, gain=2.2, read_noise=1.6)
LOUD = ScmosCamera(baseline=400.0, gain=0.46, read_noise=3.0)
EMCCD = EmccdCamera(em_gain=200.0, gain=0.1, baseline=300.0, read_noise=40.0)
LEVEL = UniformBackground(low=60.0, high=60.0)
WITHIN = 0.15
# Preset, density, photons, camera (None: the preset's), background (None: the preset's), frames.
Case = tuple[str, float, Photons, Camera | None, Background | None, int]
MODEL_CASES: tuple[tuple[float, Photons], ...] = (
    (0.2, UniformPhotons(low=5000.0, high=30000.0)),
    (0.45, GammaPhotons(shape=6.0, scale=3000.0)),
    (0.9, FixedPhotons(photons=30000.0)),
)
CASES: tuple[Case, ...] = (
    ("quickstart", 0.1, FixedPhotons(photons=3000.0), SCMOS, None, 100),
    ("quickstart", 0.5, GammaPhotons(shape=3.0, scale=1200.0), SCMOS, None, 100),
    ("quickstart", 1.0, FixedPhotons(photons=8000.0), LOUD, LEVEL, 100),
    ("quickstart", 2.0, GammaPhotons(shape=3.0, scale=1200.0), SCMOS, None, 100),
    ("quickstart", 0.5, FixedPhotons(photons=5000.0), EMCCD, None, 100),
    ("storm", 0.05, GammaPhotons(shape=3.0, scale=3000.0), None, None, 60),
    ("storm", 0.2, GammaPhotons(shape=3.0, scale=2000.0), None, None, 60),
    ("storm", 0.6, GammaPhotons(shape=2.0, scale=4000.0), None, None, 60),
    ("storm", 0.2, GammaPhotons(shape=3.0, scale=3000.0), SCMOS, LEVEL, 60),
    ("telomeres", 0.05, UniformPhotons(low=10000.0, high=60000.0), LOUD, None, 60),
    ("telomeres", 0.2, UniformPhotons(low=5000.0, high=30000.0), SCMOS, None, 60),
    ("telomeres", 0.45, FixedPhotons(photons=30000.0), SCMOS, None, 60),
    ("telomeres", 0.9, UniformPhotons(low=10000.0, high=60000.0), SCMOS, None, 60),
)


def truth_of(case: Case) -> Experiment:
    """The preset with the density, photons and camera of a case."""
    preset, density, photons, camera, background, _ = case
    experiment = find_experiment(preset)
    scene = experiment.scene()
    count = DensityCount(low=0.8 * density, high=1.2 * density)
    emitters = scene.emitters.with_(count=count, photons=photons)
    scene = scene.with_(emitters=emitters, background=background or scene.background)
    return experiment.with_(scenes={next(iter(experiment.scenes)): scene}, camera=camera or experiment.camera)


def known(case: Case) -> Experiment:
    """What the user has: the preset, with a camera of the right kind and other values."""
    experiment, camera = find_experiment(case[0]), case[3]
    if camera is not None and camera.multiplication > 1:
        return experiment.with_(camera=EmccdCamera(em_gain=camera.multiplication))
    return experiment if camera is None else experiment.with_(camera=ScmosCamera())


def write_dark(path: Path, experiment: Experiment, frames: int = 100) -> None:
    """A movie of the camera without light."""
    height, width = experiment.frame_px
    generator = torch.Generator().manual_seed(9)
    pixel = experiment.microscope.pixel_um
    with MovieWriter(path, frames=frames, shape=(height, width), pixel_um=pixel, overwrite=True) as movie:
        movie.append(experiment.camera.expose(torch.zeros(frames, height, width), generator).numpy())


def mean_background(experiment: Experiment) -> float:
    """Photons per pixel over frames and field; of minimum-subtracted frames the baseline."""
    if not experiment.camera.is_calibrated:
        return sum(experiment.camera.remaining_level) / 2
    field = Field(*experiment.frame_px, experiment.microscope.pixel_um)
    return float(experiment.scene().background.draw(100, field, torch.Generator().manual_seed(1)).mean())


def row_of(case: Case, folder: Path, seed: int) -> dict[str, Any]:
    """One case: simulate, estimate, compare."""
    experiment, own = truth_of(case), known(case)
    movie, list_file = folder / "movie.tif", folder / "truth.csv"
    simulate_movie(
        MovieSimulation(experiment, frames=case[5], seed=seed), movie, truth=list_file, overwrite=True
    )
    camera = experiment.camera
    dark = None
    if camera.is_calibrated:
        dark = folder / "dark.tif"
        write_dark(dark, experiment)
    began = time.perf_counter()
    found = estimate_movie(
        Excerpt(movie), own, folder / "found.yaml", EstimateSettings(dark=dark), overwrite=True
    )
    seconds = time.perf_counter() - began
    guess, sigma = found.scene.guess, found.scene.light.sigma
    drawn: Emitters = read_truth(list_file, pixel_um=experiment.microscope.pixel_um)
    row: dict[str, Any] = {
        "preset": case[0],
        "per µm²": case[1],
        "photons": f"{float(drawn.photons.mean()):.0f} ± {float(drawn.photons.std()):.0f}",
        "camera": camera.kind,
        "density": guess.density / case[1],
        "± ": sigma[0],
        "photons found": guess.photons / float(drawn.photons.mean()),
        "± of them": sigma[1],
        "spread": guess.photon_spread,
        "background": guess.background / mean_background(experiment),
    }
    got: Any = found.experiment.camera
    own_noise: Any = camera
    if not camera.is_calibrated:
        row["noise"] = sum(got.noise) / sum(own_noise.noise)
    elif not camera.counts_photons:
        row["gain"] = got.gain / camera.read_out.gain
        row["read noise"] = got.read_noise / camera.read_out.read_noise
    names = ("density", "photons found", "background", "gain", "read noise", "noise")
    misses = [name for name in names if name in row and not abs(row[name] - 1) <= WITHIN]
    alike = found.similarity
    row["distances"] = f"{alike.values:.2f} · {alike.contrasts:.2f} · {alike.spectra:.2f}"
    row["misses"] = ", ".join(misses)
    row["s"] = seconds
    return row


def by_model_rows(name: str, folder: Path, seed: int) -> list[dict[str, Any]]:
    """Movies of a few frames, from pixel values alone and with a model."""
    own = experiment_of(find_model(name)).with_(camera=SCMOS)
    scene_name, scene = next(iter(own.scenes.items()))
    pipeline, rows = model_for(name, own, mask=None, device="cpu"), []
    for density, photons in MODEL_CASES:
        count = DensityCount(low=0.8 * density, high=1.2 * density)
        there = scene.with_(emitters=scene.emitters.with_(count=count, photons=photons))
        movie = folder / "movie.tif"
        truth = own.with_(scenes={**own.scenes, scene_name: there})
        simulate_movie(MovieSimulation(truth, frames=8, scene=scene_name, seed=seed), movie, overwrite=True)
        mean = float(photons.draw(20_000, torch.Generator().manual_seed(0)).mean())
        for way, helper in (("pixel values", None), (f"model {name}", pipeline)):
            began = time.perf_counter()
            found = estimate_movie(
                Excerpt(movie),
                own,
                folder / "found.yaml",
                EstimateSettings(baseline=SCMOS.baseline, scene=scene_name, pipeline=helper),
                overwrite=True,
            )
            guess = found.scene.guess
            row = {"per µm²": density, "photons": photons.kind, "from": way, "seed": seed}
            row |= {"density": guess.density / density, "photons found": guess.photons / mean}
            rows.append(row | {"s": time.perf_counter() - began})
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="movies of each case")
    parser.add_argument("--preset", help="only the cases of this preset")
    parser.add_argument("--model", metavar="NAME", help="movies of a few frames, with a trained model")
    arguments = arguments_of(parser)
    if arguments.model:
        rows = []
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                rows += by_model_rows(arguments.model, Path(folder), seed + 1)
        report("Estimates from a few frames, over their truth", rows, arguments)
        return
    cases = CASES[:2] if arguments.quick else CASES
    cases = [case for case in cases if arguments.preset in (None, case[0])]
    rows = []
    for case in cases:
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                rows.append(row_of(case, Path(folder), seed + 1))
            print({k: v if isinstance(v, str) else round(v, 3) for k, v in rows[-1].items()}, flush=True)
    names = ("density", "photons found", "background", "gain", "read noise", "noise")
    summary = {
        name: f"rms {np.sqrt(np.mean([(r[name] - 1) ** 2 for r in rows if name in r])):.3f}, "
        f"within 15 %: {sum(abs(r[name] - 1) <= WITHIN for r in rows if name in r)} "
        f"of {sum(name in r for r in rows)}"
        for name in names
        if any(name in r for r in rows)
    }
    report("Estimates from a movie, over their truth", rows, arguments, **summary)


if __name__ == "__main__":
    main()
