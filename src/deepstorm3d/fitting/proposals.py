"""Molecules that a fitted list may lack: where light is unexplained, and where one spot may be two."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..optics.assembly import Assembly
from ..optics.psf import PSF
from ..watch import SILENT, Watcher
from .blocks import pseudo_inverse
from .likelihood import Likelihood
from .linear import LinearImage
from .refine import Bounds, Effort, Refined
from .rivals import outdone
from .search import MatchedFilter
from .state import JointState
from .unexplained import FAR, misfit_everywhere, misfit_of_frames
from .windows import WindowFit, Windows

__all__ = ["Proposer"]

# Of candidates nearer than this to a stronger one only the stronger is tried: px. Side lobes of a missing
# molecule's spot lie that far from it.
_APART_PX = 12
# Of spots nearer than this only one is divided at a time: µm.
_APART_UM = 1.5
# Divisions to try, µm from the middle to either one: along the axes and between them.
_HALVES_UM = (
    *((0.1, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.0, 0.2)),
    *((0.07, 0.07, 0.0), (0.07, -0.07, 0.0), (0.07, 0.0, 0.14), (0.07, 0.0, -0.14)),
    *((0.0, 0.07, 0.14), (0.0, 0.07, -0.14)),
)
# What a proposal must bring in its window, of its price: with its neighbours free to move it brings more.
_SHARE = 0.5
# A proposal is a start for the joint fit: no need to fit it further than this.
_ITERATIONS, _SETTLED = 10, 0.5


@dataclass(frozen=True)
class Proposer:
    """Proposes molecules; each is fitted in a window with all others fixed, and kept if it helps there.

    psf: its patch is the window;  bounds: where molecules may go;  search: matched filter;
    at_once: candidates in a frame;  watch: see `Effort`.
    """

    psf: PSF
    bounds: Bounds
    search: MatchedFilter
    at_once: int = 8
    watch: Watcher = SILENT

    @property
    def _window_fit(self) -> WindowFit:
        return WindowFit(self.psf, self.bounds, Effort(_ITERATIONS, _SETTLED, watch=self.watch))

    def missing(
        self, state: JointState, linear: LinearImage, likelihood: Likelihood, price: float
    ) -> tuple[JointState, Tensor]:
        """The state with molecules where the residual shows light, and the frames (increasing) that have any.

        linear: the image around the state;  price: fall of the deviance that a molecule must bring.
        """
        found = self.search.search(
            likelihood.score(linear.image),
            likelihood.information(linear.image),
            price * misfit_everywhere(likelihood, linear.image),
            apart_px=_APART_PX,
            most=self.at_once,
        )
        if not len(found.frame):
            return state, found.frame
        windows = Windows.around(found.xyz, found.frame, likelihood, self.psf, linear.image)
        blur = None if state.blur_px is None else self._blur(state, len(found.frame))[:, None]
        fitted = self._window_fit(windows, found.xyz[:, None], found.photons[:, None], blur_px=blur)
        gain = windows.likelihood.deviance(torch.zeros_like(windows.likelihood.frames)) - fitted.deviance
        keep = gain > _SHARE * price * _scatter(likelihood, linear, windows, fitted, found.frame)
        added = replace(fitted.state, frame=found.frame).rows(keep)
        return state.with_rows(added.xyz, added.photons, added.frame, added.blur_px), added.frame.unique()

    def divided(
        self, state: JointState, linear: LinearImage, likelihood: Likelihood, price: float
    ) -> tuple[JointState, Tensor]:
        """The state with molecules that may stand for two divided, and the frames that have any.

        Two close molecules fitted as one leave a residual with as much light above as below zero, in which
        the matched filter sees little.
        """
        gain, half = self._division_gains(state, linear, likelihood)
        rows = _strongest(state.xyz, state.frame, gain, gain > _SHARE * price).nonzero()[:, 0]
        if not len(rows):
            return state, rows
        windows = Windows.around(state.xyz[rows], state.frame[rows], likelihood, self.psf, linear.image)
        fitted = self._twins(state, linear, windows, rows, half[rows])
        gain = windows.likelihood.deviance(torch.zeros_like(windows.likelihood.frames)) - fitted.deviance
        scatter = _scatter(likelihood, linear, windows, fitted, state.frame[rows])
        chosen = (gain > _SHARE * price * scatter).nonzero()[:, 0]
        twins, gone = fitted.state.select(chosen), torch.zeros_like(state.frame, dtype=torch.bool)
        gone[rows[chosen]] = True
        frame = state.frame[rows[chosen]].repeat_interleave(2)
        return state.rows(~gone).with_rows(twins.xyz, twins.photons, frame, twins.blur_px), frame.unique()

    def _division_gains(
        self, state: JointState, linear: LinearImage, likelihood: Likelihood
    ) -> tuple[Tensor, Tensor]:
        """What dividing each molecule would bring, (N,), and the way to do it: (N, 3) µm from the middle.

        A score test (Rao 1948): division changes the image along t = PSF(+) + PSF(−) − 2·PSF, here made
        orthogonal to what the molecule's own unknowns can do; the deviance falls by (t·score)²/(t·F·t).
        """
        gains, halves = state.photons.new_zeros(len(state)), torch.zeros_like(state.xyz)
        if not len(state):
            return gains, halves
        information = linear.assembly.cut(likelihood.information(linear.image)).flatten(1)
        score = linear.assembly.cut(likelihood.score(linear.image)).flatten(1)
        weighted = linear.jacobian * information[:, None]
        inverse = pseudo_inverse(torch.bmm(weighted, linear.jacobian.mT))
        own = torch.bmm(linear.jacobian, score[:, :, None])
        for way in state.xyz.new_tensor(_HALVES_UM):
            change = self._change(state, linear, way)
            crossing = torch.bmm(weighted, change[:, :, None])
            mixed = torch.bmm(inverse, crossing)
            pull = (change * score).sum(1) - (mixed * own).sum((1, 2))
            stiffness = (change.square() * information).sum(1) - (mixed * crossing).sum((1, 2))
            gain = pull.clamp(min=0).square() / stiffness.clamp(min=1e-9)
            better = gain > gains
            gains = torch.where(better, gain, gains)
            halves = torch.where(better[:, None], way, halves)
        return gains, halves

    def _change(self, state: JointState, linear: LinearImage, half: Tensor) -> Tensor:
        """Change of each patch if its molecule is divided in two, `half` (3,) µm either way: (N, h·w)."""
        size = linear.assembly.patch
        frames = torch.zeros(len(state), *size, dtype=state.xyz.dtype, device=state.xyz.device)
        here = torch.arange(len(state), device=state.frame.device)
        for sign in (1, -1):
            patches = self.psf(state.xyz + sign * half, state.blur_px)
            # A molecule that moves to the next pixel takes its patch along: it is put back in place.
            corner = state.in_frames(patches.corner) - linear.assembly.corner
            moved = Assembly(corner, here, size, tuple(frames.shape))
            moved.add(moved.inside(patches.values), into=frames)
        frames = linear.assembly.inside(frames).flatten(1)
        return (frames - 2 * linear.jacobian[:, 3]) * state.photons[:, None] / 2

    def _twins(
        self, state: JointState, linear: LinearImage, windows: Windows, rows: Tensor, half: Tensor
    ) -> Refined:
        """Each of `rows` as two of half its light, `half` (K, 3) µm either way, fitted in its window."""
        own = linear.jacobian[rows, 3] * state.photons[rows, None]
        rest = windows.without(own.view_as(windows.likelihood.frames))
        middle = state.xyz[rows]
        xyz = torch.stack([middle - half, middle + half], 1)
        photons = (state.photons[rows] / 2)[:, None].expand(-1, 2)
        blur = None if state.blur_px is None else state.blur_px[rows, None].expand(-1, 2)
        return self._window_fit(rest, xyz, photons, blur_px=blur)

    def _blur(self, state: JointState, count: int) -> Tensor:
        """Blur to begin with: the mean of the others."""
        assert state.blur_px is not None
        middle = state.blur_px.mean() if len(state) else sum(self.bounds.blur_px) / 2
        return state.xyz.new_ones(count) * middle


def _strongest(xyz: Tensor, frame: Tensor, gain: Tensor, keep: Tensor) -> Tensor:
    """Of those to keep only the one that gains most in its neighbourhood: (K,) bool."""
    rows = keep.nonzero()[:, 0]
    strongest = torch.zeros_like(keep)
    apart = torch.full_like(gain[rows], _APART_UM)
    strongest[rows] = ~outdone(xyz[rows, :2], frame[rows], gain[rows], apart)
    return strongest


def _scatter(
    likelihood: Likelihood, linear: LinearImage, windows: Windows, fitted: Refined, frame: Tensor
) -> Tensor:
    """How many times the deviance of noise is left in each fitted window, (M,): what chance reaches there.

    1 in frames and windows that the model explains by and large.  frame: (M,), of each window.
    """
    far = misfit_of_frames(likelihood, likelihood.deviance(linear.image)) > FAR
    left = misfit_of_frames(windows.likelihood, fitted.deviance)
    return torch.where(far[frame] & (left > FAR), left, 1.0)
