"""Design a mask end to end: the mask and the network that reads it learn together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from .. import plot
from ..devices import needs_double_precision
from ..errors import InputError
from ..experiment.experiment import Experiment, experiment_mask
from ..io.masks import mask_sha256, write_mask
from ..localizer.localizer import NetworkLocalizer
from ..localizer.modelfile import ModelFile, save_model_file
from ..optics.computed import build_psf
from ..optics.exact import ExactPSF
from ..optics.masks import FileMask, PhaseMask, PixelMask
from ..plot.panels import save_figure
from ..plot.phase_mask import evolution_animation
from ..training.checkpoint import RunFiles
from ..training.design import MaskLearning, MaskPenalty, learnable_mask
from ..training.distributed import is_main_process, process_group
from ..training.loop import Progress, train
from ..training.mask_history import MaskHistory
from ..training.runs import DesignRun
from ..training.sampler import FrameSampler
from ..training.scene_check import saturation_warning
from ..training.validation import Validation
from ..watch import SILENT, Watcher, warn
from .train import build_localizer, crops_through, model_card

__all__ = ["build_design_sampler", "design_mask", "gradient_bytes"]


def build_design_sampler(experiment: Experiment) -> tuple[FrameSampler, PhaseMask]:
    """Training crops through the exact PSF of a mask that learns, at first the experiment's; and that mask.

    Aberrations of the experiment lie on top of the mask and stay as they are.
    """
    design, start = experiment.design, experiment_mask(experiment)
    mask = learnable_mask(design, experiment.microscope, start)
    psf = build_psf(experiment.psf, experiment.microscope, mask)
    learning = MaskLearning(design.learning_rate, MaskPenalty(design, mask, psf, experiment.z_um))
    return crops_through(psf, experiment, learning), mask


def gradient_bytes(localizer: NetworkLocalizer, sampler: FrameSampler, batch: int) -> int:
    """Memory that one step of a design keeps for its gradient, bytes.

    Every tensor that autograd saves in one forward pass of `batch` frames is counted. The fields of one chunk
    of molecules, computed again when the gradient passes, are estimated at 64 bytes a sample of the pupil.
    """
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    generator = torch.Generator(localizer.offset.device).manual_seed(0)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        drawn = sampler.draw(batch, generator)
        localizer.network.loss(localizer(drawn.seen), drawn.truth)
    psf = sampler.simulator.psf
    assert isinstance(psf, ExactPSF)
    # Per sample of the pupil: field and phase, the field at a depth and what led to it, and their gradients.
    return sum(kept.values()) + psf.chunk * psf.pupil_samples * 64


def design_mask(
    experiment: Experiment,
    out: Path,
    *,
    device: str = "cpu",
    resume: bool = False,
    watch: Watcher = SILENT,
    after_step: Callable[[Progress], None] | None = None,
) -> Validation | None:
    """Learn the experiment's mask and network together; None where the run was stopped before its end.

    Writes the mask to `out`, the network beside it (`DesignRun`), and pictures of how they came about.
    watch: told the memory that a step takes, and what is doubtful about the frames, then the steps;
    after_step: called with the figures of each step.
    Raises InputError where a run is unfinished and not resumed, or complete and resumed; for several channels.
    """
    needs_double_precision(device, "the design of a mask")
    if experiment.channels:
        raise InputError(
            f"masks of {len(experiment.channel_names)} channels cannot learn together with a network yet",
            "design them by Fisher information (`by=fisher`)",
        )
    run = DesignRun(out)
    run.check(resume=resume)
    history = MaskHistory(run.history, fresh=not run.checkpoint.exists())
    with process_group(torch.device(device)) as place:
        localizer = build_localizer(experiment).to(place)
        sampler, mask = build_design_sampler(experiment)
        psf = sampler.to(place).simulator.psf
        assert isinstance(psf, ExactPSF)
        needed = gradient_bytes(localizer, sampler, experiment.training.batch)
        watch.message(f"a step keeps {needed / 2**30:.2f} GiB for its gradient, besides the program itself")
        if (warning := saturation_warning(sampler)) is not None:
            warn(watch, warning)

        def tell(progress: Progress) -> None:
            if progress.validation is not None:
                history.append(progress.step, mask)
                title = f"{experiment.name}, step {progress.step}"
                save_figure(plot.mask_with_psf(psf, experiment.z_um, title=title), run.preview)
            if after_step is not None:
                after_step(progress)

        validation = train(
            localizer,
            sampler,
            experiment.training,
            seed=experiment.seed,
            files=RunFiles(run.checkpoint, run.metrics, experiment.to_mapping(), resume),
            watch=watch,
            after_step=tell,
        )
        if validation is None or not is_main_process():
            return None
        phase = mask().detach().cpu().float()
        _write(run, experiment, localizer, phase, validation, place)
        history.append(experiment.training.steps + 1, mask)
        seen = (build_psf(experiment.psf, experiment.microscope, PixelMask(each)) for each in history.phases)
        save_figure(plot.learning(run.metrics, title=f"{experiment.name}: mask and network"), run.curve)
        learned = build_psf(experiment.psf, experiment.microscope, PixelMask(phase))
        save_figure(plot.psf_surfaces(learned, experiment.z_um), run.solid)
        evolution_animation(zip(history.steps, seen, strict=True), experiment.z_um, run.animation)
    run.checkpoint.unlink(missing_ok=True)
    return validation


def _write(
    run: DesignRun,
    experiment: Experiment,
    localizer: NetworkLocalizer,
    phase: Tensor,
    validation: Validation,
    device: torch.device,
) -> None:
    """The mask, and the network as a model of it."""
    write_mask(run.out, phase.numpy())
    named = experiment.with_(mask=FileMask(path="", sha256=mask_sha256(phase.numpy())))
    model = ModelFile(
        experiment=named.to_mapping(),
        weights=localizer.state_dict(),
        threshold=localizer.threshold,
        mask=phase,
        card=model_card(named, validation, run.metrics, device),
    )
    save_model_file(model, run.model)
