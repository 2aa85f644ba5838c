"""Design masks by Fisher information: the least Cramér-Rao bound, of one molecule or of a crowd.

Of an experiment with several channels the masks of all are designed at once, by the bound of all together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import plot
from ..devices import needs_double_precision
from ..errors import InputError
from ..experiment.channel_looks import channel_looks
from ..experiment.conditions import scene_conditions
from ..experiment.experiment import Experiment, experiment_mask
from ..io.masks import write_mask
from ..optics.computed import build_psf
from ..optics.exact import ExactPSF
from ..optics.masks import PhaseMask, PixelMask
from ..optics.zernike import zernike_basis
from ..plot.panels import save_figure
from ..plot.phase_mask import masks_with_psfs
from ..simulation.priors import DensityCount
from ..training.checkpoint import RunFiles
from ..training.design import MaskPenalty, learnable_mask
from ..training.fisher import CHECKPOINT_EVERY, Alone, Crowd, FisherCriterion, minimise_bound
from ..training.joint_fisher import ChannelsAlone, ChannelsCrowd
from ..training.mask_history import MaskHistory
from ..training.runs import DesignRun
from ..watch import SILENT, Watcher
from .simulate import channel_file

__all__ = ["FisherSummary", "criterion_of", "design_by_fisher", "mask_files"]

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


def criterion_of(experiment: Experiment) -> FisherCriterion:
    """What a design by Fisher information minimises, under the experiment's first scene.

    Molecules have the scene's median photons over its mean background. The camera's read noise acts as that
    much more background, its excess noise as that much less light. Several channels see the molecules
    together, each with its share of the light.
    """
    there = scene_conditions(experiment, experiment.scene(), None, None)
    photons, background = there.as_poisson()
    density = experiment.design.fisher_density
    looks = channel_looks(experiment, None, there) if experiment.channels else ()
    if not density and looks:
        return ChannelsAlone(looks, there.photons, there.background, there.prior.z_um)
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
    return ChannelsCrowd(crowd, looks, there.photons, there.background) if looks else crowd


def mask_files(experiment: Experiment, out: Path) -> tuple[Path, ...]:
    """The mask of each channel: `out`, and ``NAME.CHANNEL.npy`` beside it for further ones."""
    return out, *(channel_file(out, name) for name in experiment.channels)


def design_by_fisher(
    experiment: Experiment,
    out: Path,
    *,
    device: str = "cpu",
    resume: bool = False,
    watch: Watcher = SILENT,
) -> FisherSummary:
    """Write the mask of the least bound to `out`; beside it its picture, and the bound and masks on the way.

    Of an experiment with several channels the masks of all are designed together, and written to `mask_files`.

    watch: told the steps and the criterion (nm);  others as in `design_mask`.
    Raises InputError where a run is unfinished and not resumed.
    """
    needs_double_precision(device, "the design of a mask")
    run = DesignRun(out)
    run.check(resume=resume)
    channels = [experiment.of_channel(number) for number in range(len(experiment.channel_names))]
    masks = [_learnable(each, number) for number, each in enumerate(channels)]
    psfs = [
        build_psf(each.psf, each.microscope, mask).to(device)
        for each, mask in zip(channels, masks, strict=True)
    ]
    penalties = [
        MaskPenalty(each.design, mask, psf, each.z_um)
        for each, mask, psf in zip(channels, masks, psfs, strict=True)
    ]
    files = mask_files(experiment, out)
    fresh = not run.checkpoint.exists()
    histories = [MaskHistory(DesignRun(path).history, fresh=fresh) for path in files]
    done = minimise_bound(
        psfs[0] if len(psfs) == 1 else nn.ModuleList(psfs),
        criterion_of(experiment),
        lambda: _sum([penalty() for penalty in penalties]),
        experiment.design,
        seed=experiment.seed,
        files=RunFiles(run.checkpoint, run.metrics, resume=resume),
        watch=_Keeping(watch, tuple(zip(histories, masks, strict=True))),
    )
    values = done.values or [float("nan")]
    last = values[-max(1, len(values) // 10) :]
    summary = FisherSummary(values[0], sum(last) / len(last), done.complete)
    if done.complete:
        for path, mask in zip(files, masks, strict=True):
            write_mask(path, mask().detach().cpu().float().numpy())
        _draw(experiment, channels, psfs, run)
        run.checkpoint.unlink(missing_ok=True)
    return summary


def _learnable(experiment: Experiment, number: int) -> PhaseMask:
    """The trainable mask of a channel, at first a little off its experiment's; number: each another way."""
    return learnable_mask(experiment.design, experiment.microscope, _kicked(experiment, number))


def _sum(terms: Sequence[Tensor]) -> Tensor:
    first, *others = terms
    return sum(others, first)


def _draw(
    experiment: Experiment, channels: Sequence[Experiment], psfs: Sequence[ExactPSF], run: DesignRun
) -> None:
    """Pictures of the masks and what they do to a molecule."""
    title = f"{experiment.name}, by Fisher information"
    if len(psfs) == 1:
        save_figure(plot.mask_with_psf(psfs[0], experiment.z_um, title=title), run.preview)
        save_figure(plot.psf_surfaces(psfs[0], experiment.z_um), run.solid)
        return
    named = dict(zip(experiment.channel_names, psfs, strict=True))
    depths = [each.z_um for each in channels]
    save_figure(masks_with_psfs(named, depths, title=title), run.preview)
    for path, psf, z_um in zip(mask_files(experiment, run.out), psfs, depths, strict=True):
        save_figure(plot.psf_surfaces(psf, z_um), DesignRun(path).solid)


@dataclass(frozen=True)
class _Keeping(Watcher):
    """Keeps the masks after their first step, at every checkpoint and at the end; passes all on."""

    watch: Watcher
    kept: tuple[tuple[MaskHistory, PhaseMask], ...]

    def progress(self, done: int, total: int, note: str = "") -> None:
        if done in (1, total) or done % CHECKPOINT_EVERY == 0:
            for history, mask in self.kept:
                history.append(done, mask)
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
