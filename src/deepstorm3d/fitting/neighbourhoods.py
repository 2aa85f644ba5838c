"""Changes of a fitted list that are tried near their place, with the rest of the frame unchanged."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .changes import APART_UM, Changes
from .frame_model import FrameModel
from .likelihood import Likelihood
from .state import JointState
from .windows import Windows

__all__ = ["Neighbourhoods"]

# Side of a window in supports of a spline: of the 4 splines along each axis that are not 0 at its centre, all
# are inside.
_SUPPORTS = 7 / 4


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
        self.owner[self._changes.gone] = self._window[self._changes.gone_of]
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
        self.model = model.with_surface(surface)
        """Of the windows."""
        self.before = self._windowed(corner)
        """The list in the windows, a state of M frames."""
        known = image if likelihood.known is None else image + likelihood.known
        windows = Windows.at(corner, self.frame, size, likelihood, known)
        free = self.model.image(self.before, windows.likelihood)
        self.likelihood = windows.without(free).likelihood
        """Of the windows; the light of all that is fixed is known."""
        self.deviance = self.model.deviance(free, self.likelihood)
        """Of the windows before the changes, (M,)."""

    def __len__(self) -> int:
        return len(self.frame)

    def changed(self) -> JointState:
        """The windows' list after the changes, as they were proposed."""
        changes = self._changes
        left = torch.ones_like(self.owner, dtype=torch.bool)
        left[changes.gone] = False
        state, new = self.before.rows(left[self._rows]), changes.new
        if state.refused is not None:
            new = new.anew()
        if state.origin is not None and new.origin is None:
            new = replace(new, origin=torch.full_like(new.frame, -1))
        return state.joined(new, self._window[new.frame])

    def merged(self, fitted: JointState, accepted: Tensor, refused: Tensor) -> JointState:
        """The frames' list with the windows `accepted`, (M,) bool, as they were fitted.

        refused: (M,) bool, windows whose changes were tried in vain, which the list remembers.
        """
        state = self._state
        gone = self._changes.gone[refused[self._window[self._changes.gone_of]]]
        if state.refused is not None:
            state = state.refusing(gone, self._changes.kind)
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
