"""Candidates for molecules missing in a fitted list: at unexplained light, and where one spot may be two."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..optics.assembly import Assembly
from ..optics.psf import PSF
from ..watch import SILENT, Watcher
from . import compiled
from .blocks import pseudo_inverse
from .changes import Changes
from .likelihood import Likelihood
from .linear import LinearImage
from .refine import Bounds, Effort, Refined
from .rivals import outdone
from .search import MatchedFilter
from .state import DIVISION, JointState
from .unexplained import FAR, misfit_everywhere, misfit_of_frames
from .windows import WindowFit, Windows

__all__ = ["HALVES_UM", "Proposer"]

# Smallest distance between two candidates, px: of closer ones only the strongest is tried, because the side
# lobes of a missing molecule's spot are that far from it.
_APART_PX = 12
_AT_ONCE = 8  # largest number of candidates at a time, the best ones, …
_AT_ONCE_PX = 121**2  # … in a frame of so many pixels; in a larger one more
_APART_UM = 1.5  # smallest distance between two spots that are divided in the same trial, µm
HALVES_UM = (
    *((0.1, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.0, 0.2)),
    *((0.07, 0.07, 0.0), (0.07, -0.07, 0.0), (0.07, 0.0, 0.14), (0.07, 0.0, -0.14)),
    *((0.0, 0.07, 0.14), (0.0, 0.07, -0.14)),
)
"""Divisions that are tried: offset of each of the two molecules from their centre, µm, along axes and
diagonals."""
# Gain that a candidate needs in its window, as a fraction of the penalty. It is below 1 because the gain
# increases when the neighbours are fitted too.
_SHARE = 0.5
_DIVIDED_AT_ONCE = 256  # molecules whose divisions are tried at a time: 18 patches each
# A candidate is only the initial guess of the joint fit, so its own fit may stop early.
_ITERATIONS = 10  # largest number of steps of a candidate's fit
_SETTLED = 0.5  # a candidate's fit stops when a step lowers the deviance by less than this


@dataclass(frozen=True)
class Proposer:
    """Proposes molecules: each is fitted in a window with all others fixed, and kept if the likelihood gains.

    psf: its patch is the window;  bounds: allowed range of the unknowns;  search: matched filter;
    watch: see `Effort`.
    """

    psf: PSF
    bounds: Bounds
    search: MatchedFilter
    watch: Watcher = SILENT

    @property
    def at_once(self) -> int:
        """Largest number of molecules that are added to a frame at a time."""
        height, width = self.search.shape
        return max(_AT_ONCE, round(_AT_ONCE * height * width / _AT_ONCE_PX))

    @property
    def _window_fit(self) -> WindowFit:
        return WindowFit(self.psf, self.bounds, Effort(_ITERATIONS, _SETTLED, watch=self.watch))

    def missing(self, state: JointState, image: Tensor, likelihood: Likelihood, price: float) -> Changes:
        """Molecules to add where the residual shows light, those that are likely to bring their price.

        image: (B, H, W), expected for the state;  price: penalty for one molecule, the decrease of the deviance
        that it must bring.
        """
        found = self.search.search(
            likelihood.score(image),
            likelihood.information(image),
            price * misfit_everywhere(likelihood, image),
            apart_px=_APART_PX,
            most=self.at_once,
        )
        if not len(found.frame):
            return _nothing(state)
        windows = Windows.around(found.xyz, found.frame, likelihood, self.psf, image)
        blur = None if state.blur_px is None else self._blur(state, len(found.frame))[:, None]
        fitted = self._window_fit(windows, found.xyz[:, None], found.photons[:, None], blur_px=blur)
        gain = windows.likelihood.deviance(torch.zeros_like(windows.likelihood.frames)) - fitted.deviance
        keep = gain > _SHARE * price * _scatter(likelihood, image, windows, fitted, found.frame)
        return Changes.fitted(fitted.state, found.frame, gain).select(keep)

    def divided(self, state: JointState, linear: LinearImage, likelihood: Likelihood, price: float) -> Changes:
        """Molecules to divide that may be two.

        Two close molecules fitted as one leave a residual with equal positive and negative parts, in which
        the matched filter finds little.
        linear: the image linearized around the state;  the others as in `missing`.
        """
        gain, half = self._division_gains(state, linear, likelihood)
        promising = gain > _SHARE * price
        if state.refused is not None:
            promising &= (state.refused & DIVISION) == 0
        rows = _strongest(state.xyz, state.frame, gain, promising).nonzero()[:, 0]
        if not len(rows):
            return _nothing(state)
        windows = Windows.around(state.xyz[rows], state.frame[rows], likelihood, self.psf, linear.image)
        fitted = self._twins(state, linear, windows, rows, half[rows])
        gain = windows.likelihood.deviance(torch.zeros_like(windows.likelihood.frames)) - fitted.deviance
        scatter = _scatter(likelihood, linear.image, windows, fitted, state.frame[rows])
        changes = Changes.fitted(fitted.state, state.frame[rows], gain, rows)
        return changes.select(gain > _SHARE * price * scatter)

    def _division_gains(
        self, state: JointState, linear: LinearImage, likelihood: Likelihood
    ) -> tuple[Tensor, Tensor]:
        """Estimated gain from dividing each molecule, (N,), and the best offset from its centre, (N, 3) µm.

        This is a score test (Rao 1948): division changes the image along t = PSF(+) + PSF(−) − 2·PSF, made
        orthogonal to the derivatives of the molecule's own unknowns; the deviance falls by (t·score)²/(t·F·t).
        """
        gains, halves = state.photons.new_zeros(len(state)), torch.zeros_like(state.xyz)
        if not len(state):
            return gains, halves
        ways = state.xyz.new_tensor(HALVES_UM)
        score, information = likelihood.score(linear.image), likelihood.information(linear.image)
        if linear.is_compiled:
            terms = compiled.division_terms(self.psf, state, linear, score, information, ways).to(gains)
        else:
            terms = self._division_terms(state, linear, score, information, ways)
        own = linear.pull(score).molecules
        inverse = pseudo_inverse(linear.blocks(information))
        crossing = terms[:, :, :-2]
        mixed = crossing @ inverse
        pull = terms[:, :, -2] - (mixed @ own[:, :, None])[..., 0]
        stiffness = terms[:, :, -1] - (mixed * crossing).sum(2)
        gain, best = (pull.clamp(min=0).square() / stiffness.clamp(min=1e-9)).max(1)
        better = gain > 0
        return torch.where(better, gain, gains), torch.where(better[:, None], ways[best], halves)

    def _division_terms(
        self, state: JointState, linear: LinearImage, score: Tensor, information: Tensor, ways: Tensor
    ) -> Tensor:
        """Products of each patch's change t, (N, D, p + 2): with the derivatives, the score, and itself."""
        assembly = linear.assembly
        information, score = (assembly.inside(assembly.cut(each)).flatten(1) for each in (information, score))
        rows = []
        for part in torch.arange(len(state), device=state.frame.device).split(_DIVIDED_AT_ONCE):
            change = self._changes_of_patches(state, linear, part, ways)
            weighted = change * information[part, None]
            along = change @ score[part, :, None]
            square = (change * weighted).sum(2, keepdim=True)
            rows.append(torch.cat([weighted @ linear.jacobian[part].mT, along, square], 2))
        return torch.cat(rows)

    def _changes_of_patches(self, state: JointState, linear: LinearImage, rows: Tensor, ways: Tensor) -> Tensor:
        """Change of the patches of `rows` (n,) if a molecule is divided in two at ± each way: (n, D, h·w)."""
        size, number = linear.assembly.patch, len(rows) * len(ways)
        xyz = state.xyz[rows, None, None] + torch.stack([ways, -ways], 1)  # (n, D, 2, 3)
        blur = None if state.blur_px is None else state.blur_px[rows].repeat_interleave(2 * len(ways))
        patches = self.psf(xyz.flatten(0, 2), blur)
        # A molecule moved to the next pixel has a shifted patch: it is placed relative to the original one.
        begin = 0 if state.begin_px is None else state.begin_px[state.frame[rows]]
        before = (linear.assembly.corner[rows] + begin).repeat_interleave(2 * len(ways), 0)
        here = torch.arange(number, device=rows.device).repeat_interleave(2)
        moved = Assembly(patches.corner - before, here, size, (number, *size))
        both = moved.add(moved.inside(patches.values)).view(len(rows), len(ways), -1)
        return (both - 2 * linear.jacobian[rows, 3][:, None]) * (state.photons[rows] / 2)[:, None, None]

    def _twins(
        self, state: JointState, linear: LinearImage, windows: Windows, rows: Tensor, half: Tensor
    ) -> Refined:
        """Replace each of `rows` by two molecules at ± `half` (K, 3) µm, fitted in a window."""
        own = linear.jacobian[rows, 3] * state.photons[rows, None]
        rest = windows.without(own.view_as(windows.likelihood.frames))
        middle = state.xyz[rows]
        xyz = torch.stack([middle - half, middle + half], 1)
        photons = (state.photons[rows] / 2)[:, None].expand(-1, 2)
        blur = None if state.blur_px is None else state.blur_px[rows, None].expand(-1, 2)
        return self._window_fit(rest, xyz, photons, blur_px=blur)

    def _blur(self, state: JointState, count: int) -> Tensor:
        """Initial guess of the blur: the mean of the fitted molecules, (count,) px."""
        assert state.blur_px is not None
        middle = state.blur_px.mean() if len(state) else sum(self.bounds.blur_px) / 2
        return state.xyz.new_ones(count) * middle


def _nothing(state: JointState) -> Changes:
    return Changes.removals(state, state.frame[:0], state.photons[:0])


def _strongest(xyz: Tensor, frame: Tensor, gain: Tensor, keep: Tensor) -> Tensor:
    """Among the rows `keep`, those with the largest gain in their neighbourhood: (N,) bool."""
    rows = keep.nonzero()[:, 0]
    strongest = torch.zeros_like(keep)
    apart = torch.full_like(gain[rows], _APART_UM)
    strongest[rows] = ~outdone(xyz[rows, :2], frame[rows], gain[rows], apart)
    return strongest


def _scatter(likelihood: Likelihood, image: Tensor, windows: Windows, fitted: Refined, frame: Tensor) -> Tensor:
    """Factor by which the remaining deviance of each fitted window exceeds that of noise, (M,).

    Chance gains are larger by the same factor. It is 1 in frames and windows that the model mostly explains.
    image: (B, H, W), expected for the frames' lists;  frame: (M,) frame of each window.
    """
    far = misfit_of_frames(likelihood, likelihood.deviance(image)) > FAR
    left = misfit_of_frames(windows.likelihood, fitted.deviance)
    return torch.where(far[frame] & (left > FAR), left, 1.0)
