"""What only a GPU can tell, in a few minutes of one: the `gpu` tests, rates, memory, where the time goes.

    python benchmarks/on_gpu.py --out FOLDER            # on a machine with a CUDA device: at most 5 minutes
    python benchmarks/on_gpu.py --out FOLDER --small    # any machine: a rehearsal; its figures mean nothing

Parts come in order of worth. Every result is written to FOLDER/results.jsonl at once: a machine that is taken
away costs only what was still to come. A part that fails says so, and the next begins.

  machine   the card; bandwidth, matrix products, the cost of launching a small kernel
  tests     `pytest -m gpu`: rules of devices, and results equal to the processor's within stated tolerances
  simulate  emitters drawn a second through the exact and the tabulated PSF
  learn     training steps a second of the three networks, by batch
  design    steps a second in which a mask of 329×329 pixels learns with its network
  localize  frames a second of the built-in model, network alone and with the joint fit, by density
  storm     the same for frames of 455×273 px (the real STORM frames where they are at hand)
  large     one frame of 2048×2048 px with 2,500 molecules
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepstorm3d.emitters import Emitters
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.field import Field
from deepstorm3d.io.movies import open_movie
from deepstorm3d.jobs.design_psf import build_design_sampler
from deepstorm3d.jobs.train import build_localizer, build_sampler
from deepstorm3d.localizer.mixture import MixtureSpec
from deepstorm3d.localizer.voxel import VoxelSpec
from deepstorm3d.localizing.catalogue import find_model
from deepstorm3d.localizing.pipeline import experiment_of, load_pipeline
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.masks import ZeroMask
from deepstorm3d.simulation.priors import FixedCount
from deepstorm3d.simulation.simulator import Simulator
from deepstorm3d.training.loop import train
from deepstorm3d.training.sampler import FrameSampler
from deepstorm3d.watch import Silent
from harness import environment

ROOT = Path(__file__).parents[1]
STORM_FRAMES, STORM_MASK = "storm_tetrapod_40.tif", "mask_tetrapod_printed.mat"


@dataclass
class Run:
    """One visit to a machine: where it computes, how much, where the results go, where real frames lie."""

    device: str
    small: bool
    out: Path
    data: Path

    def tell(self, part: str, what: str, **values: Any) -> None:
        """Write one result at once."""
        row = {"part": part, "what": what, **values}
        with open(self.out / "results.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        shown = "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
        print(f"{part:9s} {what:48s} {shown}", flush=True)

    def finish(self) -> None:
        """Wait until the device has done what it was told."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    @contextmanager
    def peak(self) -> Iterator[Callable[[], float]]:
        """Most memory of the device that the body held, GiB; 0 on a processor."""
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        yield lambda: torch.cuda.max_memory_allocated() / 2**30 if self.device == "cuda" else 0.0

    def seconds(self, work: Callable[[], object], budget: float = 2.0) -> float:
        """Mean seconds of a call within a budget of seconds, after one call that does not count."""
        work()
        self.finish()
        began, calls = time.perf_counter(), 0
        while not calls or (not self.small and time.perf_counter() - began < budget):
            work()
            self.finish()
            calls += 1
        return (time.perf_counter() - began) / calls


def machine(run: Run) -> None:
    """The card, and three numbers from which the time of most work follows."""
    run.tell("machine", "where", **environment(run.device))
    if run.device != "cuda":
        return
    here = torch.empty(2**28, device="cuda")
    there = torch.empty_like(here)
    taken = run.seconds(lambda: there.copy_(here), 0.5)
    run.tell("machine", "copy on the device", TB_per_s=8 * here.numel() / taken / 1e12)
    for dtype, side in ((torch.bfloat16, 8192), (torch.float32, 4096), (torch.float64, 4096)):
        x = torch.randn(side, side, device="cuda").to(dtype)
        taken = run.seconds(lambda x=x: x @ x, 0.5)
        run.tell("machine", f"matrix product, {dtype}", TFLOP_per_s=2 * side**3 / taken / 1e12)
    x = torch.zeros(1, device="cuda")
    taken = run.seconds(lambda: [x.add_(1) for _ in range(1000)], 0.5)
    run.tell("machine", "a small kernel, launched from Python", us=1000 * taken)


def tests(run: Run) -> None:
    """The `gpu` tests; what failed is printed."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "--durations=5"]
    if run.small:
        command.append("--collect-only")
    report = f"--junitxml={run.out / 'gpu_tests.xml'}"
    done = subprocess.run([*command, report], cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout[-6000:], done.stderr[-2000:])
    last = (done.stdout.strip().splitlines() or [done.stderr[-200:]])[-1]
    run.tell("tests", "pytest -m gpu", ok=done.returncode == 0, last=last)


def simulate(run: Run) -> None:
    """Emitters a second through both PSFs, telomere set-up, 35 in a frame of 121 px."""
    experiment = preset("telomeres")
    optics, mask = experiment.microscope, experiment_mask(experiment)
    tabulated = experiment.psf.tabulate(optics, mask, experiment.z_um, experiment.blur_px)
    field = Field(121, 121, optics.pixel_um)
    for name, psf, frames in (
        ("tabulated", tabulated, 64),
        ("exact", build_psf(experiment.psf, optics, mask), 8),
    ):
        model = Simulator(psf, experiment.camera, field).to(run.device)
        emitters, background = _scene(experiment, 1 if run.small else frames, 2 if run.small else 35)
        emitters, background = emitters.to(run.device), background.to(run.device)
        with torch.no_grad(), run.peak() as peak:
            taken = run.seconds(lambda m=model, e=emitters, b=background: m.expected(e, b))
            run.tell("simulate", f"{name} PSF", emitters_per_s=len(emitters) / taken, GiB=peak())


def learn(run: Run) -> None:
    """Training of the built-in experiment's networks."""
    base = preset("tetrapod")
    if run.small:
        base = base.with_(training=base.training.with_(crop_px=64))
    networks = {"coarse": base.network, "mixture": MixtureSpec(channels=96), "voxel": VoxelSpec()}
    sampler = build_sampler(base).to(run.device)
    for name, network in networks.items():
        for batch in (1,) if run.small else (2, 4) if name == "voxel" else (6, 32, 96):
            experiment = base.with_(network=network, training=base.training.with_(batch=batch))
            _time_training(run, "learn", f"{name}, batches of {batch}", experiment, sampler)


def design(run: Run) -> None:
    """A mask at full size that learns with its network (PSF-learning preset)."""
    base = preset("psf-learning").with_(mask=ZeroMask())
    base = base.with_(design=base.design.with_(learning_rate=0.02))
    if run.small:
        base = base.with_(microscope=base.microscope.with_(mask_pitch=96.0), psf=base.psf.with_(patch_px=35))
    for batch in (1,) if run.small else (4, 16):
        experiment = base.with_(training=base.training.with_(batch=batch))
        sampler, _ = build_design_sampler(experiment)
        _time_training(run, "design", f"batches of {batch}", experiment, sampler.to(run.device))


def localize(run: Run) -> None:
    """The built-in model on frames of 121×121 px."""
    model = find_model("tetrapod")
    experiment = experiment_of(model)
    for refine in (False, True):
        began = time.perf_counter()
        pipeline = load_pipeline(model, device=run.device, refine=refine)
        run.tell("localize", f"start, {_with(refine)}", s=time.perf_counter() - began)
        for each in (3,) if run.small else (10, 35, 75):
            frames = _movie(experiment, 1 if run.small else 64, each).to(run.device)
            block = frames if refine else frames.repeat(1 if run.small else 8, 1, 1)
            _time_localizing(run, "localize", f"{each} in 121² px, {_with(refine)}", pipeline.localize, block)


def storm(run: Run) -> None:
    """Frames of a real movie, 455×273 px of each."""
    path = ROOT / "benchmarks" / "models" / "storm" / "model.pt"
    frames, mask = run.data / STORM_FRAMES, run.data / STORM_MASK
    if not frames.exists() or not mask.exists():
        run.tell("storm", "left out: the real frames are not at hand")
        return
    with open_movie(frames) as movie:
        counts = torch.from_numpy(movie.read(0, 1 if run.small else 32)[:, :273, :455].astype("float32"))
    if run.small:
        counts = counts[:, :128, :128]
    size = f"{counts.shape[2]}×{counts.shape[1]} px"
    for refine in (False, True):
        pipeline = load_pipeline(find_model(path), mask=mask, device=run.device, refine=refine)
        photons = pipeline.to_photons(counts)
        block = photons if refine else photons.repeat(1 if run.small else 4, 1, 1)
        _time_localizing(run, "storm", f"{size}, {_with(refine)}", pipeline.localize, block)


def large(run: Run) -> None:
    """One frame of a whole camera."""
    model = find_model("tetrapod")
    side, each = (128, 3) if run.small else (2048, 2500)
    frame = _movie(experiment_of(model), 1, each, side).to(run.device)
    for refine in (False, True):
        pipeline = load_pipeline(model, device=run.device, refine=refine)
        _time_localizing(run, "large", f"{side}² px, {_with(refine)}", pipeline.localize, frame)


PARTS = {part.__name__: part for part in (machine, tests, simulate, learn, design, localize, storm, large)}


def _with(refine: bool) -> str:
    return "with the joint fit" if refine else "network alone"


def _scene(experiment: Experiment, frames: int, each: int, side: int = 121) -> tuple[Emitters, Tensor]:
    """So many emitters in each frame and its background, drawn on the CPU: the same for every device."""
    generator, field = torch.Generator().manual_seed(1), Field(side, side, experiment.microscope.pixel_um)
    scene = experiment.scene()
    prior = scene.emitters.with_(count=FixedCount(count=each), margin_px=(20.0, 20.0))
    return prior.draw(frames, field, generator), scene.background.draw(frames, field, generator)


def _movie(experiment: Experiment, frames: int, each: int, side: int = 121) -> Tensor:
    """Noisy frames (frames, side, side) of photons, on the CPU."""
    mask = experiment_mask(experiment)
    psf = experiment.psf.tabulate(experiment.microscope, mask, experiment.z_um, experiment.blur_px)
    model = Simulator(psf, experiment.camera, Field(side, side, experiment.microscope.pixel_um))
    expected = model.expected(*_scene(experiment, frames, each, side))
    return torch.poisson(expected, generator=torch.Generator().manual_seed(2))


def _time_localizing(run: Run, part: str, what: str, localize: Callable[[Tensor], Any], frames: Tensor) -> None:
    """Once, for it may take long; a first frame that does not count loads what is loaded at first use."""
    localize(frames[:1])
    run.finish()
    with run.peak() as peak:
        began = time.perf_counter()
        found = localize(frames)
        run.finish()
        taken = time.perf_counter() - began
        run.tell(
            part, what, frames_per_s=len(frames) / taken, rows_per_frame=len(found) / len(frames), GiB=peak()
        )


def _time_training(run: Run, part: str, what: str, experiment: Experiment, sampler: FrameSampler) -> None:
    """Median time of a step, of those that a few seconds allow."""
    steps, budget = (1, 0.0) if run.small else (2000, 4.0)
    spec = experiment.training.with_(steps=steps, validate_every=10**6, validation_crops=2)
    localizer = build_localizer(experiment).to(run.device)
    rates: list[float] = []
    began = time.perf_counter()

    class WithinBudget(Silent):
        @property
        def stopped(self) -> bool:
            return time.perf_counter() - began > budget

    with run.peak() as peak:
        train(
            localizer, sampler, spec, watch=WithinBudget(),
            after_step=lambda progress: rates.append(progress.crops_per_second),
        )  # fmt: skip
        median = sorted(rates)[len(rates) // 2]
        run.tell(part, what, steps_per_s=median / spec.batch, crops_per_s=median, GiB=peak())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for results.jsonl")
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="where real frames lie"
    )
    parser.add_argument("--small", action="store_true", help="a rehearsal on whatever there is")
    parser.add_argument("--seconds", type=float, default=300.0, help="begin no part after this time")
    parser.add_argument("--parts", default=",".join(PARTS), help="which, in which order")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    run = Run("cuda" if torch.cuda.is_available() else "cpu", given.small, given.out, given.data)
    if run.device == "cpu" and not run.small:
        sys.exit("there is no CUDA device here; --small rehearses on the processor")
    began, failed = time.perf_counter(), []
    for name in given.parts.split(","):
        start = time.perf_counter()
        if start - began > given.seconds:
            run.tell(name, "left out: no time left")
            continue
        try:
            PARTS[name](run)
        except Exception as error:
            traceback.print_exc()
            failed.append(name)
            run.tell(name, "FAILED", error=f"{type(error).__name__}: {str(error)[:400]}")
        run.tell(name, "took", s=time.perf_counter() - start)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
