"""A model whose fit takes shares of the light as known, or leaves them free, whatever its experiment says."""

from __future__ import annotations

from dataclasses import replace

from ..errors import InputError
from ..localizer.modelfile import ModelFile
from .pipeline import experiment_of

__all__ = ["with_light_known"]


def with_light_known(model: ModelFile, known: bool) -> ModelFile:
    """The model with or without `Channel.light_known` in all of its channels.

    Raises InputError for a model of one channel.
    """
    experiment = experiment_of(model)
    if not experiment.channels:
        raise InputError(
            f"the model '{experiment.name}' is of one channel, and knows no shares of the light",
            "give a model that was trained for both channels",
        )
    channels = {name: each.with_(light_known=known) for name, each in experiment.channels.items()}
    return replace(model, experiment=experiment.with_(channels=channels).to_mapping())
