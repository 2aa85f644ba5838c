"""The masks of a design, one in each channel: where they begin, which of them learn, and what they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from .. import plot
from ..errors import InputError
from ..experiment.dyes import refuse_dyes
from ..experiment.experiment import Experiment
from ..experiment.optics import experiment_mask
from ..optics.computed import build_psf
from ..optics.exact import ExactPSF
from ..optics.masks import PhaseMask, PixelMask
from ..plot.panels import save_figure
from ..plot.phase_mask import masks_with_psfs
from ..training.design import MaskPenalty, learnable_mask
from ..training.mask_history import MaskHistory
from ..training.runs import DesignRun
from .simulate import channel_file

__all__ = [
    "ChannelMask",
    "MaskHistories",
    "channel_masks",
    "draw_masks",
    "draw_solids",
    "mask_files",
    "penalty",
]


@dataclass(frozen=True)
class ChannelMask:
    """The mask of one channel in a design.

    name: of the channel;  experiment: the one-channel experiment;  mask: trainable, unless it is held;
    psf: exact, through this mask;  held: whether the mask stays as it is.
    """

    name: str
    experiment: Experiment
    mask: PhaseMask
    psf: ExactPSF
    held: bool

    @property
    def phase(self) -> Tensor:
        """The mask as it is now: (h, w) rad, float32, on the processor; a copy."""
        return self.mask().detach().cpu().float().clone()

    def psf_through(self, phase: Tensor) -> ExactPSF:
        """The channel's PSF through another phase (h, w) rad."""
        return build_psf(self.experiment.psf, self.experiment.microscope, PixelMask(phase))


def channel_masks(
    experiment: Experiment, begin: Callable[[Experiment, int], PhaseMask] | None = None
) -> tuple[ChannelMask, ...]:
    """The masks of all channels; those of ``design.hold`` stay as they are.

    Aberrations of a channel lie on top of its mask and stay as they are.
    begin: where a mask that learns begins, given the one-channel experiment and its number; None: at its own.
    Raises InputError where ``design.hold`` names a channel that there is not, or all of them; for dyes.
    """
    refuse_dyes(experiment, "the design of a mask")
    names, hold = experiment.channel_names, experiment.design.hold
    if unknown := sorted(set(hold) - set(names)):
        raise InputError(
            f"design.hold names {', '.join(unknown)}, but the channels are {', '.join(names)}",
            "name channels of this experiment",
        )
    if set(hold) >= set(names):
        raise InputError("design.hold names every channel, so no mask would learn", "leave one of them out")
    found = []
    for number, name in enumerate(names):
        alone, held = experiment.of_channel(number), name in hold
        start = experiment_mask(alone) if held or begin is None else begin(alone, number)
        mask = start if held else learnable_mask(alone.design, alone.microscope, start)
        psf = build_psf(alone.psf, alone.microscope, mask)
        found.append(ChannelMask(name, alone, mask, psf, held))
    return tuple(found)


def penalty(masks: Sequence[ChannelMask]) -> Callable[[], Tensor]:
    """What the masks that learn cost by the design's penalties, a scalar with a gradient to each of them."""
    terms = [
        MaskPenalty(each.experiment.design, each.mask, each.psf, each.experiment.z_um)
        for each in masks
        if not each.held
    ]

    def total() -> Tensor:
        first, *others = (term() for term in terms)
        return sum(others, first)

    return total


def mask_files(experiment: Experiment, out: Path) -> tuple[Path, ...]:
    """The mask of each channel: `out`, and ``NAME.CHANNEL.npy`` beside it for further ones."""
    return out, *(channel_file(out, name) for name in experiment.channels)


class MaskHistories:
    """The masks of all channels on the way, each in the file beside its result (`MaskHistory`).

    files: of the masks, in order of the channels;  fresh: whether the run begins anew.
    """

    def __init__(self, masks: Sequence[ChannelMask], files: Sequence[Path], *, fresh: bool) -> None:
        self.masks = tuple(masks)
        self.histories = [MaskHistory(DesignRun(path).history, fresh=fresh) for path in files]

    def append(self, step: int) -> None:
        """Keep all masks as they are now, after so many steps."""
        for history, each in zip(self.histories, self.masks, strict=True):
            history.append(step, each.mask)

    def stages(self) -> Iterator[tuple[int, dict[str, ExactPSF]]]:
        """After how many steps masks were kept, and the PSF of each channel then."""
        for number, step in enumerate(self.histories[0].steps):
            yield (
                step,
                {
                    each.name: each.psf_through(history.phases[number])
                    for history, each in zip(self.histories, self.masks, strict=True)
                },
            )


def draw_masks(masks: Sequence[ChannelMask], out: Path, *, title: str) -> None:
    """Draw the masks as they are now and their PSFs through depth, a channel below the other."""
    depths = [each.experiment.z_um for each in masks]
    if len(masks) == 1:
        save_figure(plot.mask_with_psf(masks[0].psf, depths[0], title=title), out)
        return
    save_figure(masks_with_psfs({each.name: each.psf for each in masks}, depths, title=title), out)


def draw_solids(masks: Sequence[ChannelMask], files: Sequence[Path]) -> None:
    """Draw the PSF of each channel as a body in space, beside its mask's file."""
    for path, each in zip(files, masks, strict=True):
        save_figure(plot.psf_surfaces(each.psf, each.experiment.z_um), DesignRun(path).solid)
