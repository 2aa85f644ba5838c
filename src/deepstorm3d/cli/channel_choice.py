"""The option that says which channel of an experiment is meant, where a command takes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .console import say

if TYPE_CHECKING:
    from ..experiment.experiment import Experiment

__all__ = ["ChannelName", "one_channel"]

ChannelName = Annotated[
    str | None,
    typer.Option(
        "--channel",
        metavar="NAME",
        help="Which channel of an experiment that has several, alone: first, or its name. (default: first)",
    ),
]


def one_channel(experiment: Experiment, name: str | None) -> Experiment:
    """The experiment of one channel alone, with the light of all; says so where there are others.

    Raises InputError for a name that the experiment does not have.
    """
    chosen = next(iter(experiment.channel_names)) if name is None else name
    alone = experiment.of_channel(chosen)
    others = ", ".join(each for each in experiment.channel_names if each != chosen)
    if others:
        say(f"of the channel '{chosen}' alone, as if it had all of the light; others: {others} (--channel)")
    return alone
