"""Design masks by Fisher information: the least Cramér-Rao bound, of one molecule or of a crowd.

Of an experiment with several channels the masks of all are designed at once, by the bound of all together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..devices import needs_double_precision
from ..errors import InputError
from ..experiment.channel_conditions import channel_conditions
from ..experiment.conditions import scene_conditions
from ..experiment.experiment import Experiment
from ..experiment.optics import experiment_mask
from ..io.masks import write_mask
from ..optics.masks import PhaseMask, PixelMask
from ..optics.zernike import zernike_basis
from ..simulation.priors import DensityCount
from ..training.checkpoint import RunFiles
from ..training.fisher import CHECKPOINT_EVERY, Alone, Crowd, FisherCriterion, minimise_bound
from ..training.joint_fisher import ChannelsAlone, ChannelsCrowd
from ..training.runs import DesignRun
from ..watch import SILENT, Watcher
from .design_channels import MaskHistories, channel_masks, draw_masks, draw_solids, mask_files, penalty

__all__ = ["FisherSummary", "criterion_of", "design_by_fisher", "refuse_model"]

# Without it a symmetric start keeps its symmetry, and a flat mask cannot tell above from below focus: rad.
_KICK = 0.05
_KICK_MODES = (5, 6, 7, 8, 9, 10)
# Approximate number of molecules whose bound is averaged in a step.
_JUDGED = 50
# Largest number of frames in a step.
_MOST_FRAMES = 64
# Molecules closer to the edge than this are not averaged, but still are neighbours, px.
_BORDER_PX = 10.0


@dataclass(frozen=True)
class FisherSummary:
    """Criterion at the first and over the last tenth of the steps, nm; whether the end was reached."""

    first_nm: float
    last_nm: float
    complete: bool


def refuse_model(model: object) -> None:
    """Raise InputError for a model to begin with: a design by Fisher information trains no network."""
    if model is not None:
        raise InputError(
            f"a design by Fisher information has no network that could begin with the weights of {model}",
            "leave `from_model` out, or design with a network",
        )


def criterion_of(experiment: Experiment) -> FisherCriterion:
    """What a design by Fisher information minimises, under the experiment's first scene.

    Molecules have the scene's median photons over its mean background. The camera's read noise acts as that
    much more background, its excess noise as that much less light. Several channels see the molecules
    together, each with its share of the light.
    """
    there = scene_conditions(experiment, experiment.scene(), None, None)
    photons, background = there.as_poisson()
    density = experiment.design.fisher_density
    channels = channel_conditions(experiment, None, there) if experiment.channels else ()
    if not density and channels:
        return ChannelsAlone(channels, there.photons, there.background, there.prior.z_um)
    if not density:
        return Alone(photons, background, there.blur_px, there.prior.z_um)
    prior = experiment.scene().emitters.with_(count=DensityCount(low=density, high=density), blur_px=None)
    pixel_um = there.field.pixel_um
    inner = [(side - 2 * _BORDER_PX) * pixel_um for side in there.field.size]
    if min(inner) <= 0:
        raise InputError(
            f"frames of {there.field.width} × {there.field.height} px have no middle beyond a border of "
            f"{_BORDER_PX:g} px",
            "make frame_px larger",
        )
    frames = math.ceil(_JUDGED / (density * inner[0] * inner[1]))
    crowd = Crowd(prior, there.field, photons, background, there.blur_px, min(frames, _MOST_FRAMES), _BORDER_PX)
    return ChannelsCrowd(crowd, channels, there.photons, there.background) if channels else crowd


def design_by_fisher(
    experiment: Experiment,
    out: Path,
    *,
    device: str = "cpu",
    resume: bool = False,
    watch: Watcher = SILENT,
) -> FisherSummary:
    """Write the mask of the least bound to `out`; beside it its picture, and the bound and masks on the way.

    Of an experiment with several channels the masks of all are designed together, and written to `mask_files`;
    those of ``design.hold`` stay as they are.

    watch: told the steps and the criterion (nm);  others as in `design_mask`.
    Raises InputError where a run is unfinished and not resumed, or was begun with another experiment, and where
    no mask learns.
    """
    needs_double_precision(device, "the design of a mask")
    run = DesignRun(out)
    run.check(resume=resume)
    masks = channel_masks(experiment, _kicked)
    psfs = [each.psf.to(device) for each in masks]
    files = mask_files(experiment, out)
    histories = MaskHistories(masks, files, fresh=not run.checkpoint.exists())
    done = minimise_bound(
        psfs[0] if len(psfs) == 1 else nn.ModuleList(psfs),
        criterion_of(experiment),
        penalty(masks),
        experiment.design,
        seed=experiment.seed,
        files=RunFiles(run.checkpoint, run.metrics, experiment.to_mapping(), resume),
        watch=_Keeping(watch, histories),
    )
    values = [*done.earlier, *done.values] or [float("nan")]
    last = values[-max(1, len(values) // 10) :]
    summary = FisherSummary(values[0], sum(last) / len(last), done.complete)
    if done.complete:
        for path, each in zip(files, masks, strict=True):
            write_mask(path, each.phase.numpy())
        draw_masks(masks, run.preview, title=f"{experiment.name}, by Fisher information")
        draw_solids(masks, files)
        run.checkpoint.unlink(missing_ok=True)
    return summary


@dataclass(frozen=True)
class _Keeping(Watcher):
    """Keeps the masks after their first step, at every checkpoint and at the end; passes all on."""

    watch: Watcher
    histories: MaskHistories

    def progress(self, done: int, total: int, note: str = "") -> None:
        if done in (1, total) or done % CHECKPOINT_EVERY == 0:
            self.histories.append(done)
        self.watch.progress(done, total, note)

    def message(self, text: str) -> None:
        self.watch.message(text)

    @property
    def stopped(self) -> bool:
        return self.watch.stopped


def _kicked(experiment: Experiment, number: int) -> PhaseMask:
    """The experiment's mask with a little of every low aberration."""
    phase = experiment_mask(experiment)().detach().double()
    microscope = experiment.microscope
    axis = (torch.arange(len(phase)) - (len(phase) - 1) / 2).double() * microscope.mask_pitch
    basis = zernike_basis(list(_KICK_MODES), axis, microscope.aperture_radius)
    amounts = torch.randn(
        len(basis), generator=torch.Generator().manual_seed(experiment.seed + number)
    ).double()
    return PixelMask(phase + _KICK * torch.einsum("k,khw->hw", amounts, basis))
