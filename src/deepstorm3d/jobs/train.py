"""Train: an experiment in, a model file out."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..devices import of_image_model
from ..errors import InputError
from ..experiment.channel_views import channel_views, named_by_hash
from ..experiment.dyes import dye_stack, dyes_table
from ..experiment.experiment import Experiment
from ..experiment.optics import psf_source
from ..field import Field
from ..frames.companions import crops_field
from ..io.parts import refuse_unwritable
from ..localizer.localizer import NetworkLocalizer
from ..localizer.modelfile import ChannelFiles, ModelFile, save_model_file
from ..localizer.network import build_network, context_of
from ..optics.masks import FileMask
from ..optics.psf import PSF
from ..simulation.simulator import Simulator
from ..training.channel_crops import ChannelCrops
from ..training.checkpoint import RunFiles
from ..training.design import MaskLearning
from ..training.distributed import is_main_process, process_group
from ..training.loop import Progress, train
from ..training.runs import Run
from ..training.sampler import FrameSampler
from ..training.scene_check import saturation_warning
from ..training.validation import Validation
from ..watch import SILENT, Watcher, warn
from .start_of_training import NEW, Start, prepare_start
from .train_preview import draw_training_preview

__all__ = ["build_localizer", "build_sampler", "crops_through", "model_card", "train_model"]


def build_localizer(experiment: Experiment) -> NetworkLocalizer:
    """The experiment's network, untrained, its weights drawn with the experiment's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.seed)
        channels = len(experiment.channel_names)
        network = build_network(experiment.network, experiment.microscope.pixel_um, experiment.z_um, channels)
    localizer = NetworkLocalizer(network, context=context_of(experiment.network), channels=channels)
    return localizer.to(memory_format=network.memory_format)  # pyright: ignore[reportCallIssue]


def build_sampler(experiment: Experiment, *, sources: Sequence[Any] | None = None) -> FrameSampler:
    """Training crops of the experiment, drawn through the tabulated PSF of each channel, or of its dyes.

    sources: what the PSFs are made from; the experiment's masks or planes where left out.
    """
    if experiment.dyes:
        phase = None if sources is None else sources[0]().detach().cpu().float()
        return crops_through(dyes_table(experiment, phase=phase), experiment)
    alone = [experiment.of_channel(number) for number in range(len(experiment.channel_names))]
    sources = [psf_source(each) for each in alone] if sources is None else sources
    psfs = [
        each.psf.tabulate(each.microscope, source, each.z_um, each.blur_px)
        for each, source in zip(alone, sources, strict=True)
    ]
    return crops_through(psfs[0], experiment, further=psfs[1:])


def crops_through(
    psf: PSF,
    experiment: Experiment,
    mask_learning: MaskLearning | None = None,
    further: Sequence[PSF] = (),
) -> FrameSampler:
    """Training crops of the experiment's scenes and camera, seen through any PSF.

    mask_learning: how the masks of PSFs are optimized, where they are trainable;  further: PSFs of further
    channels.
    Raises InputError for channels whose PSF or pixels differ over the field.
    """
    side = experiment.training.crop_px
    crop, maps = Field(side, side, experiment.microscope.pixel_um), experiment.camera.load_maps()
    whole = crops_field(crop, experiment.psf.across, experiment.camera, maps)
    simulator = Simulator(psf, experiment.camera, whole or crop, maps=maps)
    scenes = list(experiment.scenes.values())
    side = None if whole is None else side
    channels = _further_channels(experiment, further, crop)
    dyes = dye_stack(experiment, psf) if experiment.dyes else None
    context = context_of(experiment.network)
    return FrameSampler(simulator, scenes, side, mask_learning, context, channels, dyes)


def _further_channels(experiment: Experiment, psfs: Sequence[PSF], crop: Field) -> list[ChannelCrops]:
    """What a network sees of the channels after the first; psfs: of these."""
    if len(psfs) != len(experiment.channels):
        raise ValueError(f"{len(psfs)} PSFs were given for {len(experiment.channels)} further channels")
    if not psfs:
        return []
    for number, name in enumerate(experiment.channel_names):
        alone = experiment.of_channel(number)
        if alone.psf.across.changes or alone.camera.maps_named():
            raise InputError(
                f"the channel '{name}' has a PSF that changes over the field, or maps of its camera's pixels: "
                "networks for several channels are trained for one PSF and one noise all over the field",
                "give the camera one value for all pixels, and leave psf.field out",
            )
    views = channel_views(experiment)
    frame = views[0].field
    return [
        ChannelCrops(psf, experiment.of_channel(number).camera, view, frame, crop)
        for number, (psf, view) in enumerate(zip(psfs, views[1:], strict=True), 1)
    ]


def train_model(
    experiment: Experiment,
    out: Path,
    *,
    device: str = "cpu",
    start: Start = NEW,
    store_mask: bool = True,
    watch: Watcher = SILENT,
    after_step: Callable[[Progress], None] | None = None,
) -> Validation | None:
    """Train the experiment's network and write the model file; None where the run was stopped before its end.

    device: of the network; the frames are drawn there too, but on the processor if it is "mps";
    start: with new weights, those of a model, or where it was stopped;
    store_mask: keep the phase of a mask file in the model (else only its SHA-256); planes always.
    watch: told at the start what is doubtful about the simulated frames, then the steps;  after_step: called
    with the figures of each step.
    """
    run = Run(out)
    if not out.parent.is_dir():
        raise InputError(
            f"there is no folder {out.parent} for the model", "create it or choose another place (`out`)"
        )
    refuse_unwritable(out)
    run.check(resume=start.resume)
    # Files are read once, before the training: they may be gone by its end, and paths tell others nothing.
    experiment, sources = named_by_hash(experiment)
    source = sources[0]
    if experiment.psf.planes(source) is not None and not store_mask:
        raise InputError(
            "a model needs the measured PSF that it is trained for", "leave `store_mask=False` out"
        )
    with process_group(torch.device(device)) as place:
        localizer = build_localizer(experiment)
        started_from = prepare_start(
            localizer, experiment, start, run.checkpoint, watch if is_main_process() else SILENT
        )
        localizer.to(place)
        sampler = build_sampler(experiment, sources=sources).to(of_image_model(place))
        if is_main_process() and (warning := saturation_warning(sampler)) is not None:
            warn(watch, warning)

        def tell(progress: Progress) -> None:
            if progress.validation is not None:
                title = f"{experiment.name}, step {progress.step}"
                draw_training_preview(localizer, sampler, run.preview, seed=experiment.seed, title=title)
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
        card = model_card(experiment, validation, run.metrics, place, started_from)
        save_model_file(_model_file(experiment, localizer, sources if store_mask else None, card), out)
        run.checkpoint.unlink(missing_ok=True)
    return validation


def _model_file(
    experiment: Experiment, localizer: NetworkLocalizer, sources: Sequence[Any] | None, card: Mapping[str, Any]
) -> ModelFile:
    """The model with its experiment, and what of its files it must keep: phases of masks, or planes.

    sources: of each channel's PSF;  None: nothing is kept.
    """
    kept = [
        _kept(experiment.of_channel(number), None if sources is None else sources[number])
        for number in range(len(experiment.channel_names))
    ]
    return ModelFile(
        experiment=experiment.to_mapping(),
        weights=localizer.state_dict(),
        threshold=localizer.threshold,
        mask=kept[0].mask,
        card=card,
        planes=kept[0].planes,
        channels=dict(zip(experiment.channels, kept[1:], strict=True)),
    )


def _kept(experiment: Experiment, source: Any) -> ChannelFiles:
    """The phase of the mask file, or the planes, of a one-channel experiment; source: None to keep nothing."""
    if source is None:
        return ChannelFiles()
    from_file = isinstance(experiment.mask, FileMask) and experiment.psf.needs_mask
    phase = source().detach().cpu().float() if from_file else None
    return ChannelFiles(phase, experiment.psf.planes(source))


def model_card(
    experiment: Experiment,
    validation: Validation,
    metrics: Path,
    device: torch.device,
    started_from: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a user should know of a model: where from (see `prepare_start`), at what cost, how good."""
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    last = metrics.read_text(encoding="utf-8").splitlines()[-1] if metrics.exists() else "{}"
    card = {
        "name": experiment.name,
        "version": __version__,
        "date": date.today().isoformat(),
        "torch": str(torch.__version__),
        "hardware": f"{processor}, {os.cpu_count()} cores",
        "last_log_line": last,
        "validation": validation.to_mapping(),
        "threshold": validation.threshold,
    }
    return card if started_from is None else card | {"started_from": started_from}
