"""Changes of a fitted list that are tried near their place, with the rest of the frame unchanged."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .frame_model import FrameModel
from .likelihood import Likelihood
from .rivals import outdone
from .state import DIVISION, REMOVAL, JointState
from .windows import Windows

__all__ = ["APART_UM", "Changes", "Neighbourhoods"]

APART_UM = 3.5
"""Radius of a neighbourhood, and smallest distance of two that are tried at a time, laterally, µm: about
that of a spot. Molecules further away share little light with the one that is changed."""
# Side of a window in supports of a spline: of the 4 splines along each axis that are not 0 at its centre, all
# are inside.
_SUPPORTS = 7 / 4


@dataclass(frozen=True)
class Changes:
    """Changes of a list of molecules, each in its neighbourhood.

    frame: (M,) int64;  place: (M, 2) µm, their centre;  gain: (M,), how promising each is;
    gone: (M,) int64, row that each takes away, −1: none;
    xyz: (M, a, 3) µm, photons, blur_px: (M, a), of the molecules that each adds; blur_px None: the PSF's own.
    """

    frame: Tensor
    place: Tensor
    gain: Tensor
    gone: Tensor
    xyz: Tensor
    photons: Tensor
    blur_px: Tensor | None = None

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def more(self) -> int:
        """By how many molecules each lengthens the list."""
        return self.photons.shape[1] - int(len(self) > 0 and bool(self.gone[0] >= 0))

    @classmethod
    def removals(cls, state: JointState, rows: Tensor, gain: Tensor) -> Changes:
        """Take away rows (M,) of a state, each for itself."""
        place, nobody = state.xyz[rows, :2], state.xyz.new_zeros(len(rows), 0)
        blur = None if state.blur_px is None else nobody
        return cls(state.frame[rows], place, gain, rows, nobody[:, :, None].expand(-1, -1, 3), nobody, blur)

    def select(self, rows: Tensor) -> Changes:
        """Some of the changes, an index (K,) or a mask (M,)."""
        index = rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows
        return Changes(
            frame=self.frame[index],
            place=self.place[index],
            gain=self.gain[index],
            gone=self.gone[index],
            xyz=self.xyz[index],
            photons=self.photons[index],
            blur_px=None if self.blur_px is None else self.blur_px[index],
        )

    def strongest(self) -> Tensor:
        """Those that are more promising than all others nearer than `APART_UM`: (M,) bool."""
        return ~outdone(self.place, self.frame, self.gain, torch.full_like(self.gain, APART_UM))


class Neighbourhoods:
    """Windows in which changes are tried: the molecules and splines near them are free, all else is fixed.

    A trial costs as much as its neighbourhood, however large the frame is. All splines of the background that
    are free are 0 outside the window, and it holds the spots of the molecules that are free, so the deviance of
    the frame changes by as much as that of the window. (A spot may exceed it by some dim pixels of its edge.)

    model: of the frames;  state: their list (B frames);  image: (B, H, W), expected for it;
    changes: to be tried, those near one another together.
    """

    def __init__(
        self, model: FrameModel, state: JointState, image: Tensor, likelihood: Likelihood, changes: Changes
    ) -> None:
        first = changes.strongest().nonzero()[:, 0]
        self.frame = changes.frame[first]
        """Frame of each window, (M,)."""
        place, psf = changes.place[first], model.psf
        self.owner = _nearest(state.xyz[:, :2], state.frame, place, self.frame)
        """Window in which each molecule of the list is free, (N,) int64, −1: none."""
        window = _nearest(changes.place, changes.frame, place, self.frame)
        # A change between two neighbourhoods waits for the next round.
        self._changes, self._window, self._state = changes.select(window >= 0), window[window >= 0], state
        taken = self._changes.gone >= 0
        self.owner[self._changes.gone[taken]] = self._window[taken]
        rows = (self.owner >= 0).nonzero()[:, 0]
        self._rows = rows[torch.argsort(self.owner[rows], stable=True)]

        height, width = likelihood.frames.shape[1:]
        side = max(
            round(_SUPPORTS * model.surface.support_px), psf.patch_px + round(2 * APART_UM / psf.pixel_um)
        )
        size = (min(height, side), min(width, side))
        middle = (place / psf.pixel_um).round().long()
        last = middle.new_tensor([width - size[1], height - size[0]])
        corner = (middle - side // 2).clamp(min=0).minimum(last)
        surface, self._splines = model.surface.in_windows(corner, size)
        self.model = replace(model, surface=surface)
        """Of the windows."""
        self.before = self._windowed(corner)
        """The list in the windows, a state of M frames."""
        known = image if likelihood.known is None else image + likelihood.known
        windows = Windows.at(corner, self.frame, size, likelihood, known)
        free = self.model.image(self.before, windows.likelihood)
        self.likelihood = windows.without(free).likelihood
        """Of the windows; the light of all that is fixed is known."""
        self.deviance = self.likelihood.deviance(free)
        """Of the windows before the changes, (M,)."""

    def __len__(self) -> int:
        return len(self.frame)

    def changed(self) -> JointState:
        """The windows' list after the changes, as they were proposed."""
        changes, count = self._changes, self._changes.photons.shape[1]
        left = torch.ones_like(self.owner, dtype=torch.bool)
        left[changes.gone[changes.gone >= 0]] = False
        state = self.before.rows(left[self._rows])
        blur = None if changes.blur_px is None else changes.blur_px.flatten()
        frame = self._window.repeat_interleave(count)
        return state.with_rows(changes.xyz.flatten(0, 1), changes.photons.flatten(), frame, blur)

    def merged(self, fitted: JointState, accepted: Tensor, refused: Tensor) -> JointState:
        """The frames' list with the windows `accepted`, (M,) bool, as they were fitted.

        refused: (M,) bool, windows whose changes were tried in vain, which the list remembers.
        """
        state = self._state
        gone = self._changes.gone[refused[self._window] & (self._changes.gone >= 0)]
        if state.refused is not None:
            state = state.refusing(gone, DIVISION if self._changes.photons.shape[1] else REMOVAL)
        old = self.owner >= 0
        old[old.clone()] = accepted[self.owner[old]]
        chosen = accepted.nonzero()[:, 0]
        rows, columns = (index[chosen] for index in self._splines)
        change = (fitted.coefficients - self.before.coefficients)[chosen]
        place = (self.frame[chosen, None, None], rows[:, :, None], columns[:, None])
        coefficients = state.coefficients.index_put(place, change, accumulate=True)
        new = fitted.rows(accepted[fitted.frame])
        return replace(state.rows(~old).joined(new, self.frame[new.frame]), coefficients=coefficients)

    def _windowed(self, corner: Tensor) -> JointState:
        """The molecules that are free, with the coefficients of the splines that are."""
        down, across = self._splines
        coefficients = self._state.coefficients[self.frame[:, None, None], down[:, :, None], across[:, None]]
        part = self._state.rows(self._rows)
        return replace(part, frame=self.owner[self._rows], coefficients=coefficients, begin_px=corner)


def _nearest(place: Tensor, frame: Tensor, centre: Tensor, at: Tensor) -> Tensor:
    """The nearest of the centres (M, 2) in frames `at` (M,), nearer than `APART_UM`; −1: none. (N,) int64."""
    if not len(centre):
        return torch.full_like(frame, -1)
    far = torch.cdist(place, centre, compute_mode="donot_use_mm_for_euclid_dist")
    far = far.masked_fill(frame[:, None] != at, torch.inf)
    least, nearest = far.min(1)
    return torch.where(least <= APART_UM, nearest, -1)
