"""Molecules with a stronger neighbour in the same frame."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["outdone"]

_ROWS = 1024  # molecules whose distances are computed at a time; it bounds the memory


def outdone(place: Tensor, frame: Tensor, value: Tensor, reach: Tensor) -> Tensor:
    """Whether another molecule of the same frame within `reach` has a greater value: (N,) bool.

    place: (N, d) positions, µm;  frame: (N,) int64;  value: (N,);  reach: (N,) radius around each molecule, µm.
    Distances are computed only within frames: time grows with the square of the molecules of a frame.
    """
    order = torch.argsort(frame, stable=True)
    place, frame, value, reach = place[order], frame[order], value[order], reach[order]
    beaten = [torch.zeros_like(frame, dtype=torch.bool)[:0]]
    for first, last in _groups(torch.unique_consecutive(frame, return_counts=True)[1].tolist()):
        others = slice(first, last)
        for rows in torch.arange(first, last, device=frame.device).split(_ROWS):
            far = torch.cdist(place[rows], place[others], compute_mode="donot_use_mm_for_euclid_dist")
            rival = (far < reach[rows, None]) & (frame[rows, None] == frame[others])
            beaten.append((rival & (value[others] > value[rows, None])).any(1))
    found = torch.empty_like(frame, dtype=torch.bool)
    found[order] = torch.cat(beaten)
    return found


def _groups(counts: list[int]) -> Iterator[tuple[int, int]]:
    """Ranges of rows (first, last): whole frames with at most `_ROWS` rows together, or a single one."""
    first = last = 0
    for count in counts:
        if last > first and last + count - first > _ROWS:
            yield first, last
            first = last
        last += count
    if last > first:
        yield first, last
