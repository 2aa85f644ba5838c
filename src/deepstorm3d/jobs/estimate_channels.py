"""Estimate of several channels: one experiment from a movie of each, and pictures of simulated frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..calibration.movie_statistics.channels import ChannelsEstimate, estimate_channels
from ..calibration.movie_statistics.figure import estimate as draw_estimate
from ..calibration.movie_statistics.settings import EstimateSettings
from ..errors import InputError
from ..experiment.channel import Channel
from ..experiment.experiment import Experiment
from ..experiment.files import write_experiment
from ..io.parts import beside, claim_name, refuse_same_names
from ..localizing.excerpt import Excerpt
from ..plot.panels import claim_picture, save_figure
from ..watch import SILENT, Watcher

__all__ = ["estimate_channel_movies", "pictures_of", "with_transform"]

SECOND = "second"
"""Name of the channel that an experiment without channels gets."""


def with_transform(experiment: Experiment, transform: Path | None) -> Experiment:
    """The experiment with two channels, the second one seen through this transform.

    An experiment without channels gets one like the first; transform: a file as `register` writes it, None: as
    the experiment has it.
    Raises InputError for more than two channels.
    """
    if len(experiment.channels) > 1:
        raise InputError(
            f"the experiment '{experiment.name}' has {len(experiment.channel_names)} channels, there are two "
            "movies",
            "take an experiment with two channels",
        )
    name, channel = next(iter(experiment.channels.items()), (SECOND, Channel()))
    if transform is not None:
        channel = channel.with_(transform=str(transform), coefficients=None)
        channel.read_transform(name)
    return experiment.with_(channels={name: channel})


def estimate_channel_movies(
    excerpts: Sequence[Excerpt],
    experiment: Experiment,
    out: Path,
    settings: Sequence[EstimateSettings],
    *,
    picture: Path | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> ChannelsEstimate:
    """Estimate an experiment with channels, write it, and draw simulated beside real frames of each channel.

    excerpts, experiment, settings: as of `estimate_channels`;  picture: of the first channel, those of the
    others beside it (`pictures_of`); beside `out` where left out.
    Raises InputError as `estimate_channels`, and where an output cannot be written.
    """
    pictures = pictures_of(beside(out, ".png") if picture is None else picture, experiment)
    refuse_same_names([out, *pictures])
    claim_name(out, overwrite=overwrite)
    for path in pictures:
        claim_picture(path, overwrite=overwrite)
    found = estimate_channels(excerpts, experiment, settings, watch=watch)
    write_experiment(found.experiment, out)
    for excerpt, name, alone, path in zip(
        excerpts, experiment.channel_names, found.alone, pictures, strict=True
    ):
        title = f"{excerpt.name} beside frames of the channel {name} simulated with {out.name}"
        save_figure(draw_estimate(alone, title=title), path)
    return found


def pictures_of(picture: Path, experiment: Experiment) -> list[Path]:
    """Names of the pictures of all channels: as given, and with the channel's name before the ending."""
    others = [beside(picture, f".{name}{picture.suffix}") for name in experiment.channels]
    return [picture, *others]
