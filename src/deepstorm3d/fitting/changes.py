"""Changes of a fitted list: molecules that go, and molecules that come in their place."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .rivals import outdone
from .state import DIVISION, REMOVAL, JointState

__all__ = ["APART_UM", "Changes"]

APART_UM = 3.5
"""Radius of a neighbourhood, and smallest distance of two that are tried at a time, laterally, µm: about
that of a spot. Molecules further away share little light with the one that is changed."""


@dataclass(frozen=True)
class Changes:
    """M changes of a list of molecules, each in its neighbourhood; each takes some away and adds some.

    frame: (M,) int64;  place: (M, 2) µm, their centre;  gain: (M,), how promising each is;
    gone: (G,) int64, rows of the list that go;  gone_of: (G,) int64, the change that takes each away;
    new: molecules that come, a state of M frames: the frame of each is the number of the change that adds it
    (its coefficients are not used);
    kind: what a list remembers of the rows that go if the change is tried in vain: `REMOVAL`, `DIVISION`, or
    0 for nothing.
    """

    frame: Tensor
    place: Tensor
    gain: Tensor
    gone: Tensor
    gone_of: Tensor
    new: JointState
    kind: int = 0

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def more(self) -> Tensor:
        """By how many molecules each lengthens the list, (M,) int64."""
        return self.new.counts - torch.bincount(self.gone_of, minlength=len(self))

    @classmethod
    def removals(cls, state: JointState, rows: Tensor, gain: Tensor) -> Changes:
        """Take away rows (M,) of a state, each for itself."""
        each = torch.arange(len(rows), device=rows.device)
        new = replace(state.rows(rows[:0]), coefficients=_no_background(gain), begin_px=None)
        return cls(state.frame[rows], state.xyz[rows, :2], gain, rows, each, new, REMOVAL)

    @classmethod
    def fitted(cls, new: JointState, frame: Tensor, gain: Tensor, gone: Tensor | None = None) -> Changes:
        """Add the molecules fitted in M windows, a state of M frames, to frames (M,) of a list.

        gone: (M,) row that each takes away, a molecule that is divided; None: nothing goes.
        """
        count = new.counts
        place = torch.zeros_like(new.xyz[:1, :2].expand(len(frame), 2)) if len(new) else new.xyz.new_zeros(0, 2)
        place = place.index_add(0, new.frame, new.xyz[:, :2]) / count[:, None]
        each = torch.arange(len(frame), device=frame.device)
        new = replace(
            new, coefficients=_no_background(gain), begin_px=None, origin=None, refused=None, rank=None
        )
        if gone is None:
            return cls(frame, place, gain, frame[:0], frame[:0], new)
        return cls(frame, place, gain, gone, each, new, DIVISION)

    def select(self, rows: Tensor) -> Changes:
        """Some of the changes, an index (K,) or a mask (M,)."""
        index = rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows
        now = torch.full_like(self.frame, -1)
        now[index] = torch.arange(len(index), device=index.device)
        of, by = now[self.gone_of], now[self.new.frame]
        new = replace(self.new, frame=by, coefficients=_no_background(index)).rows((by >= 0).nonzero()[:, 0])
        new = new.rows(torch.argsort(new.frame, stable=True))
        kept = of >= 0
        return Changes(
            self.frame[index], self.place[index], self.gain[index], self.gone[kept], of[kept], new, self.kind
        )

    def strongest(self) -> Tensor:
        """Those that are more promising than all others nearer than `APART_UM`: (M,) bool."""
        return ~outdone(self.place, self.frame, self.gain, torch.full_like(self.gain, APART_UM))


def _no_background(changes: Tensor) -> Tensor:
    """Coefficients of a state with one frame for each change."""
    return torch.zeros(len(changes), 1, 1, device=changes.device)
