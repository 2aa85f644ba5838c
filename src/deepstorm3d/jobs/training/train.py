"""Train: an experiment in, a model file out."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ... import __version__
from ...errors import InputError
from ...io.masks import mask_sha256
from ...localizer.localizer import NetworkLocalizer
from ...localizer.modelfile import ModelFile, save_model_file
from ...localizer.network import build_network
from ...optics.masks import FileMask, PixelMask
from ...optics.model import tabulate
from ...optics.psf import PSF
from ...simulation.field import Field
from ...simulation.simulator import Simulator
from ...training.distributed import is_main_process, process_group
from ...training.loop import Progress, RunFiles, train
from ...training.sampler import FrameSampler
from ...training.validation import Validation
from ..experiment import Experiment, experiment_mask
from .runs import Run
from .train_preview import draw_training_preview

Watcher = Callable[[Progress, NetworkLocalizer, FrameSampler], None]

__all__ = ["build_localizer", "build_sampler", "crops_through", "model_card", "train_model"]


def build_localizer(experiment: Experiment) -> NetworkLocalizer:
    """The experiment's network, untrained, its weights drawn with the experiment's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.seed)
        network = build_network(experiment.network, experiment.microscope.pixel_um, experiment.z_um)
    localizer = NetworkLocalizer(network)  # pyright: ignore[reportArgumentType]
    return localizer.to(memory_format=network.memory_format)  # pyright: ignore[reportCallIssue]


def build_sampler(experiment: Experiment, *, phase: Tensor | None = None) -> FrameSampler:
    """Training crops of the experiment, drawn through the tabulated PSF."""
    mask = experiment_mask(experiment, phase=phase)
    psf = tabulate(experiment.psf, experiment.microscope, mask, experiment.z_um, experiment.blur_px)
    return crops_through(psf, experiment)


def crops_through(psf: PSF, experiment: Experiment) -> FrameSampler:
    """Training crops of the experiment's scenes and camera, seen through any PSF."""
    side = experiment.training.crop_px
    field = Field(side, side, experiment.microscope.pixel_um)
    return FrameSampler(Simulator(psf, experiment.camera, field), list(experiment.scenes.values()))


def train_model(
    experiment: Experiment,
    out: Path,
    *,
    device: str = "cpu",
    resume: bool = False,
    store_mask: bool = True,
    on_progress: Watcher = lambda progress, localizer, sampler: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Validation | None:
    """Train the experiment's network and write the model file; None where the run was stopped before its end.

    store_mask: keep the phase of a mask file in the model (else only its SHA-256).
    on_progress: called after each step with the network and the frames it learns from.
    """
    run = Run(out)
    if not out.parent.is_dir():
        raise InputError(f"there is no folder {out.parent} for the model; create it or choose another --out")
    run.check(resume=resume)
    experiment, phase = _mask_by_hash(experiment)
    with process_group(torch.device(device)) as place:
        localizer = build_localizer(experiment).to(place)
        sampler = build_sampler(experiment, phase=phase).to(place)

        def tell(progress: Progress) -> None:
            if progress.validation is not None:
                title = f"{experiment.name}, step {progress.step}"
                draw_training_preview(localizer, sampler, run.preview, seed=experiment.seed, title=title)
            on_progress(progress, localizer, sampler)

        validation = train(
            localizer,
            sampler,
            experiment.training,
            seed=experiment.seed,
            files=RunFiles(run.checkpoint, run.metrics, experiment.to_mapping()),
            resume=resume,
            on_progress=tell,
            should_stop=should_stop,
        )
        if validation is None or not is_main_process():
            return None
        card = model_card(experiment, validation, run.metrics, place)
        save_model_file(_model_file(experiment, localizer, phase if store_mask else None, card), out)
        run.checkpoint.unlink(missing_ok=True)
    return validation


def _mask_by_hash(experiment: Experiment) -> tuple[Experiment, Tensor | None]:
    """The experiment with a mask file named by its hash, and its phase; other masks need no file.

    Read once, before the training: the file may be gone by its end, and its path tells others nothing.
    """
    if not isinstance(experiment.mask, FileMask):
        return experiment, None
    mask = experiment_mask(experiment)
    assert isinstance(mask, PixelMask)
    phase = mask.phase.detach().cpu().float()
    return experiment.with_(mask=FileMask(path="", sha256=mask_sha256(phase.numpy()))), phase


def _model_file(
    experiment: Experiment, localizer: NetworkLocalizer, phase: Tensor | None, card: Mapping[str, Any]
) -> ModelFile:
    """The model with its experiment, and the phase of its mask file where that is to be kept."""
    return ModelFile(
        experiment=experiment.to_mapping(),
        weights=localizer.state_dict(),
        threshold=localizer.threshold,
        mask=phase,
        card=card,
    )


def model_card(
    experiment: Experiment, validation: Validation, metrics: Path, device: torch.device
) -> dict[str, Any]:
    """What a user should know of a model: where from, at what cost, how good."""
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    last = metrics.read_text(encoding="utf-8").splitlines()[-1] if metrics.exists() else "{}"
    return {
        "name": experiment.name,
        "version": __version__,
        "date": date.today().isoformat(),
        "torch": str(torch.__version__),
        "hardware": f"{processor}, {os.cpu_count()} cores",
        "last_log_line": last,
        "validation": validation.score.to_mapping(),
        "threshold": validation.threshold,
    }
