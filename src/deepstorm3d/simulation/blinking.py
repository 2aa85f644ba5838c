"""Blinking: molecules that switch on at random times and stay on for parts of several frames."""

from __future__ import annotations

import torch
from torch import Tensor

from ..emitters import Emitters

__all__ = ["blink", "frames_lit"]


def blink(
    xyz: Tensor,
    photons: Tensor,
    frames: int,
    generator: torch.Generator,
    *,
    on_time: float = 2.0,
    off_time: float = 1000.0,
    blinks: float = 1.0,
) -> Emitters:
    """Emitters of a movie, in order of frame, one row for each molecule and frame in which it is on.

    xyz: (N, 3) µm;  photons: (N,) detected from each molecule if it is on during a whole frame;
    frames: length of the movie;  on_time, off_time: mean lengths of a blink and of the dark time
    before it, frames, both exponentially distributed;  blinks: mean number of blinks before the
    molecule bleaches, geometrically distributed.
    The first dark time starts with frame 0. A row's photons are proportional to the time on within
    its frame; its id is the molecule's row in `xyz`.
    """
    if frames < 0 or on_time <= 0 or off_time < 0 or blinks < 1:
        raise ValueError(
            "frames and off_time must not be negative, on_time above 0 and blinks at least 1; "
            f"got {frames}, {off_time}, {on_time} and {blinks}"
        )
    molecule, start, end = _periods(len(xyz), generator, on_time, off_time, blinks)
    molecule, start, end = molecule.to(xyz.device), start.to(xyz.device), end.to(xyz.device)
    period, frame, lit = frames_lit(start, end, frames)
    # Two blinks of a molecule in one frame are one row; the unique keys are sorted by frame.
    key, row = torch.unique(frame * max(len(xyz), 1) + molecule[period], return_inverse=True)
    time_on = torch.zeros(len(key), dtype=torch.float64, device=xyz.device).index_add(0, row, lit)
    who = key % max(len(xyz), 1)
    return Emitters(
        xyz=xyz[who], frame=key // max(len(xyz), 1), photons=photons[who] * time_on.to(photons), id=who
    )


def frames_lit(start: Tensor, end: Tensor, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """The frames in which molecules shine: period, frame, and the part of the frame that is lit; (K,) each.

    start, end: of the periods, (P,) float64, in frames from the beginning of frame 0; before it, and from
    frame `frames` on, nothing is seen.
    """
    first = start.floor().long().clamp(0, frames)
    touched = (end.ceil().long().clamp(max=frames) - first).clamp(min=0)
    period = torch.repeat_interleave(torch.arange(len(first), device=start.device), touched)
    begins = torch.cumsum(touched, 0) - touched
    frame = first[period] + torch.arange(len(period), device=start.device) - begins[period]
    lit = torch.minimum(end[period], frame + 1.0) - torch.maximum(start[period], frame.double())
    return period, frame, lit


def _periods(
    molecules: int, generator: torch.Generator, on_time: float, off_time: float, blinks: float
) -> tuple[Tensor, Tensor, Tensor]:
    """All blinks of all molecules: molecule (K,), start and end (K,) in frames, float64 (movies are long)."""
    device = generator.device
    number = torch.ones(molecules, dtype=torch.int64, device=device)
    if blinks > 1:
        number = number.double().geometric_(1 / blinks, generator=generator).long()
    most = int(number.max()) if molecules else 0
    dark, lit = torch.empty(2, molecules, most, dtype=torch.float64, device=device).exponential_(
        generator=generator
    )
    end = torch.cumsum(off_time * dark + on_time * lit, dim=1)
    happens = torch.arange(most, device=device) < number[:, None]
    molecule = torch.arange(molecules, device=device)[:, None].expand(-1, most)
    return molecule[happens], (end - on_time * lit)[happens], end[happens]
