"""What each channel of an experiment sees of its molecules, and what each channel's PSF is made from."""

from __future__ import annotations

from typing import Any

from ..channels import ChannelView, Transform
from ..errors import InputError
from ..field import Field
from ..io.masks import mask_sha256
from ..optics.masks import FileMask
from .channel import ChannelTransform
from .experiment import Experiment
from .optics import psf_source

__all__ = ["channel_views", "named_by_hash"]

# Relative difference of pixel sizes that is taken for rounding.
_ROUNDING = 1e-3


def channel_views(experiment: Experiment) -> tuple[ChannelView, ...]:
    """Where each channel sees a molecule of the first one, and with which share of its light, in order.

    Reads the transforms' files, where the experiment names any.
    Raises InputError where one is missing or is no transform, was found with other pixels, and where a channel
    shows nothing of the first one's frame.
    """
    shares, first = experiment.shares, _field(experiment)
    views = [ChannelView(experiment.channel_names[0], Transform.identity(), 0.0, shares[0], first)]
    for number, (name, channel) in enumerate(experiment.channels.items(), 1):
        found = channel.read_transform(name)
        view = ChannelView(
            name, found.transform, found.depth_offset_um, shares[number], _field(experiment.of_channel(number))
        )
        _check(view, found, first)
        views.append(view)
    return tuple(views)


def _field(experiment: Experiment) -> Field:
    return Field(*experiment.frame_px, experiment.microscope.pixel_um)


def _check(view: ChannelView, found: ChannelTransform, first: Field) -> None:
    for own, known, which in zip((first, view.field), found.fields or (), ("first", "this"), strict=False):
        if abs(own.pixel_um - known.pixel_um) > _ROUNDING * known.pixel_um:
            raise InputError(
                f"channels.{view.name}: its transform was found with pixels of {1000 * known.pixel_um:g} nm in "
                f"{which} channel, the experiment has {1000 * own.pixel_um:g} nm there",
                "correct microscope.camera_pitch, or register lists that have this pixel size",
            )
    if view.coverage(first) == 0:
        raise InputError(
            f"channels.{view.name}: its transform takes the first channel's frame of {first.width} x "
            f"{first.height} px to places outside of this channel's frame of {view.field.width} x "
            f"{view.field.height} px",
            "check frame_px of both channels, and that the transform is of these two, in this order (mirrored "
            "or the inverse one is another)",
        )


def named_by_hash(experiment: Experiment) -> tuple[Experiment, tuple[Any, ...]]:
    """The experiment without paths, and what the PSF of each channel is made from (`psf_source`).

    Masks and measured PSFs are named by their hash, transforms are held as coefficients: a model needs no file
    of this computer then.
    Raises InputError where a file is missing or does not fit.
    """
    sources = [psf_source(experiment)]
    channels = {}
    for number, (name, channel) in enumerate(experiment.channels.items(), 1):
        alone = experiment.of_channel(number)
        source = psf_source(alone)
        sources.append(source)
        by_hash = _optics_by_hash(alone, source)
        channels[name] = channel.without_file(name).with_(
            mask=None if channel.mask is None else by_hash.mask,
            psf=None if channel.psf is None else by_hash.psf,
        )
    return _optics_by_hash(experiment, sources[0]).with_(channels=channels), tuple(sources)


def _optics_by_hash(experiment: Experiment, source: Any) -> Experiment:
    """The experiment naming the files of its mask or PSF by their hash; source: what its PSF is made from."""
    mask = experiment.mask
    if isinstance(mask, FileMask):
        digest = mask.sha256
        if experiment.psf.needs_mask:
            digest = mask_sha256(source().detach().cpu().float().numpy())
        experiment = experiment.with_(mask=FileMask(path="", sha256=digest))
    return experiment.with_(psf=experiment.psf.renamed(lambda path: "", source))
