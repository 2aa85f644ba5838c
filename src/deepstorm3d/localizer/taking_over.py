"""Weights of a trained network as the first ones of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .localizer import NetworkLocalizer

__all__ = ["TakenOver", "take_over"]

_NETWORK = "network."  # the normalisation is no part of it: it belongs to the frames of an experiment


@dataclass(frozen=True)
class TakenOver:
    """What of a network's weights came from another.

    share: of the values that it learns, 0 to 1;  left: layers that kept their first values, with their shapes
    here and there (None: there is no such layer there).
    """

    share: float
    left: Mapping[str, tuple[tuple[int, ...], tuple[int, ...] | None]]

    def describe(self) -> str:
        """The layers that were left, in words: "head (40×64×3×3, 32×64×3×3 there)"."""
        return ", ".join(
            f"{name} ({_sides(here)}, {'not' if there is None else _sides(there)} there)"
            for name, (here, there) in self.left.items()
        )


@torch.no_grad()
def take_over(localizer: NetworkLocalizer, weights: Mapping[str, Tensor]) -> TakenOver:
    """Copy into a localizer's network all weights that have the name and shape of one there.

    weights: of another `NetworkLocalizer`, as its ``state_dict()`` or a model file has them. A layer is taken
    over whole or not at all: if its weight does not fit, its bias keeps its first values, too. So do offset and
    scale of the frames.
    """
    here = {name: value for name, value in localizer.state_dict().items() if name.startswith(_NETWORK)}
    unfit = {_layer(name) for name, value in here.items() if not _fits(value, weights.get(name))}
    for name, value in here.items():
        if _layer(name) not in unfit:
            value.copy_(weights[name])
    learned = {name: value.numel() for name, value in localizer.named_parameters()}
    taken = sum(number for name, number in learned.items() if _layer(name) not in unfit)
    left: dict[str, tuple[tuple[int, ...], tuple[int, ...] | None]] = {}
    for name, value in here.items():
        if _layer(name) in unfit and name in learned and not _fits(value, weights.get(name)):
            there = weights.get(name)
            shapes = tuple(value.shape), None if there is None else tuple(there.shape)
            left.setdefault(_layer(name), shapes)
    return TakenOver(taken / max(1, sum(learned.values())), left)


def _layer(name: str) -> str:
    """The layer that a tensor belongs to: "network.head.weight" → "head"."""
    return name.removeprefix(_NETWORK).rpartition(".")[0]


def _fits(here: Tensor, there: Tensor | None) -> bool:
    return there is not None and here.shape == there.shape


def _sides(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
