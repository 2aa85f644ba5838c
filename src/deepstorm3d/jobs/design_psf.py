"""Design masks end to end: the mask of every channel and the network that reads them learn together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from .. import plot
from ..devices import needs_double_precision
from ..experiment.experiment import Experiment
from ..io.masks import mask_sha256, write_mask
from ..localizer.localizer import NetworkLocalizer
from ..localizer.modelfile import ChannelFiles, ModelFile, save_model_file
from ..optics.exact import ExactPSF
from ..optics.masks import FileMask
from ..plot.panels import save_figure
from ..plot.phase_mask import evolution_animation
from ..training.checkpoint import RunFiles
from ..training.design import MaskLearning
from ..training.distributed import is_main_process, process_group
from ..training.loop import Progress, train
from ..training.runs import DesignRun
from ..training.sampler import FrameSampler
from ..training.scene_check import saturation_warning
from ..training.validation import Validation
from ..watch import SILENT, Watcher, warn
from .design_channels import (
    ChannelMask,
    MaskHistories,
    channel_masks,
    draw_masks,
    draw_solids,
    mask_files,
    penalty,
)
from .fisher_design import criterion_of
from .start_of_training import NEW, Start, prepare_start
from .train import build_localizer, crops_through, model_card

__all__ = ["build_design_sampler", "design_mask", "gradient_bytes"]


def build_design_sampler(experiment: Experiment) -> tuple[FrameSampler, tuple[ChannelMask, ...]]:
    """Training crops through the exact PSF of masks that learn, at first the experiment's; and these masks.

    Light passes each channel's optics at its own place, depth and share; the images of further channels are
    warped onto the first one's pixels for the network, and the gradient goes the same way back.
    """
    masks = channel_masks(experiment)
    learning = MaskLearning(experiment.design.learning_rate, penalty(masks), _weighted_bound(experiment, masks))
    first, *further = (each.psf for each in masks)
    return crops_through(first, experiment, learning, further), masks


def _weighted_bound(
    experiment: Experiment, masks: Sequence[ChannelMask]
) -> Callable[[torch.Generator], Tensor] | None:
    """``design.bound_weight`` times the bound's logarithm (`criterion_of`); None where it weighs nothing."""
    weight = experiment.design.bound_weight
    if not weight:
        return None
    criterion, psfs = criterion_of(experiment), [each.psf for each in masks]

    def bound(generator: torch.Generator) -> Tensor:
        value: Tensor = weight * criterion(psfs[0] if len(psfs) == 1 else psfs, generator).log()
        return value

    return bound


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
        loss = localizer.network.loss(localizer(drawn.seen), drawn.truth)
        if sampler.mask_learning is not None:
            loss = loss + sampler.mask_learning.cost(generator)
    # Per sample of the pupil: field and phase, the field at a depth and what led to it, and their gradients.
    chunks = [
        each.psf.chunk * each.psf.pupil_samples
        for each in (sampler.simulator, *(channel.simulator for channel in sampler.channels))
        if isinstance(each.psf, ExactPSF)
    ]
    return sum(kept.values()) + 64 * max(chunks)


def design_mask(
    experiment: Experiment,
    out: Path,
    *,
    device: str = "cpu",
    start: Start = NEW,
    watch: Watcher = SILENT,
    after_step: Callable[[Progress], None] | None = None,
) -> Validation | None:
    """Learn the experiment's mask and network together; None where the run was stopped before its end.

    Of an experiment with several channels the masks of all learn with the one network that sees all channels;
    those of ``design.hold`` stay as they are. Writes the masks (`mask_files`), the network beside the first
    (`DesignRun`), and pictures of how they came about.
    start: of the network: new weights, those of a model, or where it was stopped;
    watch: told the memory that a step takes, and what is doubtful about the frames, then the steps;
    after_step: called with the figures of each step.
    Raises InputError where a run is unfinished and not resumed, or complete and resumed; where no mask learns.
    """
    needs_double_precision(device, "the design of a mask")
    run = DesignRun(out)
    run.check(resume=start.resume)
    files, fresh = mask_files(experiment, out), not run.checkpoint.exists()
    with process_group(torch.device(device)) as place:
        localizer = build_localizer(experiment)
        started_from = prepare_start(
            localizer, experiment, start, run.checkpoint, watch if is_main_process() else SILENT
        )
        localizer.to(place)
        sampler, masks = build_design_sampler(experiment)
        sampler.to(place)
        histories = MaskHistories(masks, files, fresh=fresh)
        needed = gradient_bytes(localizer, sampler, experiment.training.batch)
        watch.message(f"a step keeps {needed / 2**30:.2f} GiB for its gradient, besides the program itself")
        if (warning := saturation_warning(sampler)) is not None:
            warn(watch, warning)

        def tell(progress: Progress) -> None:
            if progress.validation is not None:
                histories.append(progress.step)
                draw_masks(masks, run.preview, title=f"{experiment.name}, step {progress.step}")
            if after_step is not None:
                after_step(progress)

        validation = train(
            localizer,
            sampler,
            experiment.training,
            seed=experiment.seed,
            files=RunFiles(run.checkpoint, run.metrics, experiment.to_mapping(), start.resume, started_from),
            watch=watch,
            after_step=tell,
        )
        if validation is None or not is_main_process():
            return None
        for path, each in zip(files, masks, strict=True):
            write_mask(path, each.phase.numpy())
        named = _named_by_hash(experiment, masks)
        card = model_card(named, validation, run.metrics, place, started_from)
        save_model_file(_model_file(named, localizer, masks, card), run.model)
        histories.append(experiment.training.steps + 1)
        save_figure(plot.learning(run.metrics, title=f"{experiment.name}: mask and network"), run.curve)
        draw_solids(masks, files)
        depths = [each.experiment.z_um for each in masks]
        evolution_animation(histories.stages(), depths, run.animation)
    run.checkpoint.unlink(missing_ok=True)
    return validation


def _named_by_hash(experiment: Experiment, masks: Sequence[ChannelMask]) -> Experiment:
    """The experiment with the masks as they were learned, and without paths of this computer."""
    named = [FileMask(path="", sha256=mask_sha256(each.phase.numpy())) for each in masks]
    channels = {
        name: channel.without_file(name).with_(mask=mask)
        for (name, channel), mask in zip(experiment.channels.items(), named[1:], strict=True)
    }
    return experiment.with_(mask=named[0], channels=channels)


def _model_file(
    experiment: Experiment, localizer: NetworkLocalizer, masks: Sequence[ChannelMask], card: dict[str, object]
) -> ModelFile:
    """The network as a model of these masks;  experiment: names them by hash."""
    kept = [ChannelFiles(each.phase, None) for each in masks]
    return ModelFile(
        experiment=experiment.to_mapping(),
        weights=localizer.state_dict(),
        threshold=localizer.threshold,
        mask=kept[0].mask,
        card=card,
        channels=dict(zip(experiment.channels, kept[1:], strict=True)),
    )
