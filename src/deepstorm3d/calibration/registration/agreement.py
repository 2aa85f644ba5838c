"""Whether a given transform fits the lists of both channels, and if not, what is wrong with it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from ...analysis.linking import LinkRule, link_rows
from ...channels import ChannelPair
from ...emitters import Localizations
from ...errors import InputError
from .registration import ChannelList, Registration, register_lists

__all__ = ["Agreement", "agreement", "doubts_of_transform"]

# Error of a transform that is not held against it, lateral and axial, µm.
_TRANSFORM_UM = (0.015, 0.015, 0.05)
# Shifts of one list by which rows that lie together by chance are counted, µm.
_SHIFTS_UM = (-2.5, -1.5, 1.5, 2.5)
_MOST_ROWS = 20_000  # of each list, from the first frames
_FEW = 10  # rows of a list below which a transform is not judged
# Share of the rows of the shorter list that lie together by a transform which is not doubted.
_ENOUGH = 0.3
# A transform is wrong if another one brings together more than this many times as many rows …
_BETTER = 2.0
_MORE = 8  # … and so many more


@dataclass(frozen=True)
class Agreement:
    """Rows of both channels in common frames, how many lie together (3 σ), and how many do by chance."""

    rows: tuple[int, int]
    pairs: int
    by_chance: float

    @property
    def is_chance(self) -> bool:
        """Whether so many lie together by chance."""
        return self.pairs <= self.by_chance + 3 * math.sqrt(self.by_chance + 1)

    def in_words(self) -> str:
        """What the numbers say."""
        return (
            f"of {self.rows[0]} rows of the first channel and {self.rows[1]} of the second in the same frames "
            f"{self.pairs} lie together within 3 σ ({self.by_chance:.0f} by chance)"
        )


def agreement(first: Localizations, second: Localizations, pair: ChannelPair) -> Agreement:
    """How many rows of two lists lie together by a transform;  positions in each channel's own µm."""
    last = min(_frame_of_row(table) for table in (first, second))
    first, second = (table.select(table.frame <= last) for table in (first, second))
    try:
        placed = pair.undo(second)
    except InputError:
        # Some rows have no place in the first channel: no partners either.
        return Agreement((len(first), len(second)), 0, 0.0)
    chance = [_together(first, placed.shift(xyz=(by, 0.0, 0.0))) for by in _SHIFTS_UM]
    return Agreement((len(first), len(second)), _together(first, placed), sum(chance) / len(chance))


def doubts_of_transform(first: ChannelList, second: ChannelList, pair: ChannelPair, name: str) -> list[str]:
    """What a user should know of a transform (a file `name`) that was given for these lists.

    Raises InputError where the lists say that it is another one, or that the channels are swapped.
    """
    found = agreement(first.table, second.table, pair)
    if min(found.rows) < _FEW:
        return [
            f"the transform {name} could not be checked: {found.rows[0]} rows of the first channel and "
            f"{found.rows[1]} of the second are in the same frames"
        ]
    if found.pairs >= _ENOUGH * min(found.rows) and not found.is_chance:
        return []
    swapped = agreement(second.table, first.table, pair)
    other = _registered(first, second)
    by_other = None if other is None else agreement(first.table, second.table, other.channels)
    # The other order can help a little where the transform is only shifted: a better one is looked for first.
    if other is not None and by_other is not None and by_other.pairs > swapped.pairs + _MORE:
        if _better(by_other, found):
            raise InputError(
                f"by {name} {found.in_words()}; by a transform found from these lists {by_other.pairs} do: "
                f"{_difference(pair, other)}",
                "leave the transform out, or register anew with lists of this recording",
            )
    elif _better(swapped, found):
        raise InputError(
            f"by {name} {found.in_words()}; with the channels in the other order {swapped.pairs} do",
            "give the movies in the order in which they were registered, or register them in this order",
        )
    if found.is_chance:
        return [
            f"by {name} {found.in_words()}: the transform is wrong, or no molecule is seen in both channels; "
            "then the fit over both channels gains nothing"
        ]
    return []


def _better(one: Agreement, other: Agreement) -> bool:
    return not one.is_chance and one.pairs > _BETTER * other.pairs and one.pairs > other.pairs + _MORE


def _difference(pair: ChannelPair, other: Registration) -> str:
    """How a transform differs from one that was found, in words."""
    told = []
    if pair.transform.mirrored != other.transform.mirrored:
        told.append("one of the two is mirrored")
    else:
        turned = (other.transform.rotation_degrees - pair.transform.rotation_degrees + 180) % 360 - 180
        told.append(f"it is turned by {turned:.2f}° against the given one")
    field = pair.fields[0]
    middle = torch.tensor([[field.width / 2, field.height / 2]]) * field.pixel_um
    away = float((pair.transform.apply(middle) - other.transform.apply(middle)).norm())
    told.append(f"in the middle of the field they are {1000 * away:.0f} nm apart")
    return ", ".join(told)


def _registered(first: ChannelList, second: ChannelList) -> Registration | None:
    try:
        return register_lists(first, second)
    except InputError:
        return None


def _frame_of_row(table: Localizations) -> int:
    """The last frame that is looked at."""
    frame = table.frame.sort().values
    return int(frame[min(len(frame), _MOST_ROWS) - 1]) if len(frame) else -1


def _together(first: Localizations, second: Localizations) -> int:
    """How many rows of the same frame lie within 3 σ of each other, one with one."""
    floor = first.sigma_xyz.new_tensor(_TRANSFORM_UM)
    xyz = torch.cat([first.xyz, second.xyz.to(first.xyz)])
    sigma = torch.cat([first.sigma_xyz, second.sigma_xyz.to(first.xyz)])
    # Frames 3f and 3f + 1: partners follow one another in time, rows of other frames do not.
    frame = torch.cat([3 * first.frame, 3 * second.frame + 1])
    table = Localizations.proposals(xyz, frame, torch.ones_like(xyz[:, 0]))
    table = replace(table, sigma_xyz=(sigma.square() + floor.square()).sqrt())
    order = torch.argsort(frame, stable=True)
    return len(xyz) - int(link_rows(table[order], LinkRule(dark=0)).unique().numel())
