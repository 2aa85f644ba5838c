"""From a list of proposals to the most likely list: joint fit, selection, uncertainties."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..emitters import Localizations
from ..optics.moved import part_of
from ..optics.psf import PSF
from .background import SplineBackground
from .information import joint_bounds
from .likelihood import Likelihood
from .linear import LinearImage, expected_image
from .photometry import at_positions, fit_photometry
from .proposals import Proposer
from .refine import Bounds, Refined, refine
from .search import MatchedFilter
from .selection import Selector
from .state import JointState

__all__ = ["JointFit"]

# Molecules fitted at a time on a processor: their patches and slopes stay in its cache (120 take two thirds of
# the time of 500), and on a GPU, where many small steps would cost more.
_MOLECULES_AT_ONCE = {"cpu": 120, "cuda": 4000}
# A trial is decided by a price of tens: its fit may stop where a step brings less than one.
_TRIAL_SETTLED, _TRIAL_ITERATIONS, _TRIAL_TOLERANCE = 1.0, 15, 0.2


@dataclass(frozen=True)
class JointFit:
    """Takes proposals to the maximum of the likelihood, all molecules of a frame together.

    core: PSF on a small patch, for the search;  whole: PSF with its tails, for the last fit;
    bounds: where molecules may go;  z_um: depths to search;  fit_blur: a blur for each molecule (the PSFs must
    be tabulated over a range of blurs);  spacing_px: between the knots of the background in the end;
    search_spacing_px: and during the search, where a pliant background would swallow molecules;
    false_alarms, dim_photons: see `Selector`;  rounds: of adding (0: positions only, the list stays);
    likely: proposals below this probability are left out at first, and tried in the frames whose list then
    does not explain them.
    """

    core: PSF
    whole: PSF
    bounds: Bounds
    z_um: tuple[float, float]
    fit_blur: bool = False
    spacing_px: float = 15.0
    search_spacing_px: float = 20.0
    false_alarms: float = 1e-3
    dim_photons: float = 0.0
    rounds: int = 8
    likely: float = 0.0

    def in_part(self, begin_px: tuple[int, int]) -> JointFit:
        """The same for frames that begin at a column and row of the PSF's field."""
        return replace(self, core=part_of(self.core, begin_px), whole=part_of(self.whole, begin_px))

    @torch.no_grad()
    def __call__(self, found: Localizations, likelihood: Likelihood) -> Localizations:
        """The refined list of B frames.

        found: proposals, rows of frames 0 … B−1;  returns localizations with photons, background, σ from the
        joint Fisher information (``sigma_source = fit``) and the mean deviance under each molecule's spot as
        fit quality. A molecule keeps its probability; an added one has 1 − the rate of false alarms.
        """
        found = found.sort()
        counts = torch.bincount(found.frame, minlength=len(likelihood))
        parts = []
        for first, last in _groups(counts.tolist(), _MOLECULES_AT_ONCE.get(found.frame.device.type, 500)):
            rows = (found.frame >= first) & (found.frame < last)
            light = likelihood.select(torch.arange(first, last, device=found.frame.device))
            parts.append(self._fit(found.select(rows).shift(frames=-first), light).shift(frames=first))
        return Localizations.concat(parts) if parts else found

    def _fit(self, found: Localizations, likelihood: Likelihood) -> Localizations:
        surface = self._surface(likelihood, self.search_spacing_px)
        selector = self._selector(surface, likelihood)
        origin = torch.arange(len(found), device=found.frame.device)
        likely = found.probability >= self.likely
        best = self._searched(
            self._start(found.select(likely), likelihood, origin[likely]), likelihood, selector
        )
        doubtful = self._unexplained(best, likelihood, surface)
        more = torch.isin(found.frame, doubtful) & ~likely
        frames = found.frame[more].unique()
        if len(frames) and self.rounds:
            # A second start with every proposal; the likelihood decides frame by frame which list is better.
            place = torch.full((len(likelihood),), -1, device=frames.device)
            place[frames] = torch.arange(len(frames), device=frames.device)
            rows = (place[found.frame] >= 0).nonzero()[:, 0]
            part = found.select(rows)
            part = replace(part, frame=place[part.frame])
            light = likelihood.select(frames)
            other = self._searched(self._start(part, light, origin[rows]), light, selector)
            best = best.better(other, frames, selector.cost)
        surface, best = self._with_finer_background(best, likelihood, surface)
        final = refine(self.whole, best.state, likelihood, surface, self.bounds)
        return self._localizations(final, found, likelihood, surface)

    def _with_finer_background(
        self, best: Refined, likelihood: Likelihood, coarse: SplineBackground
    ) -> tuple[SplineBackground, Refined]:
        """The background on its final knots, without the molecules that stood for its hills."""
        fine = self._surface(likelihood, self.spacing_px)
        same = fine.gram_solve(fine.adjoint(coarse.surface(best.state.coefficients)))
        fitted = self._trial(replace(best.state, coefficients=same), likelihood, fine)
        if self.rounds:
            fitted = self._selector(fine, likelihood).pruned(fitted, likelihood)
        return fine, fitted

    def _selector(self, surface: SplineBackground, likelihood: Likelihood) -> Selector:
        return Selector(
            lambda state, light: self._trial(state, light, surface),
            lambda state, light: LinearImage(self.core, state, surface, tuple(light.frames.shape)),
            Proposer(
                self.core, self.bounds, MatchedFilter(self.core, self.z_um, surface.size, likelihood.frames)
            ),
            self.false_alarms,
            self.dim_photons,
        )

    def _trial(self, state: JointState, light: Likelihood, surface: SplineBackground) -> Refined:
        return refine(
            self.core,
            state,
            light,
            surface,
            self.bounds,
            iterations=_TRIAL_ITERATIONS,
            settled=_TRIAL_SETTLED,
            tolerance=_TRIAL_TOLERANCE,
        )

    def _searched(self, start: JointState, likelihood: Likelihood, selector: Selector) -> Refined:
        """Fitted and completed, at first with the blur of all, then with a blur for each molecule."""
        best = selector.fit(start, likelihood)
        if self.rounds:
            best = selector.improve(best, likelihood, rounds=self.rounds)
        if not self.fit_blur:
            return best
        # Only now: while molecules are missing, the blurs of the others would make up for them.
        blur = torch.full_like(best.state.photons, sum(self.bounds.blur_px) / 2)
        best = selector.fit(replace(best.state, blur_px=blur), likelihood)
        return selector.improve(best, likelihood, rounds=self.rounds) if self.rounds else best

    def _unexplained(self, fitted: Refined, likelihood: Likelihood, surface: SplineBackground) -> Tensor:
        """Frames whose deviance is above what noise leaves, by two standard deviations: index (K,)."""
        state = fitted.state
        image = expected_image(self.core, state, surface, tuple(likelihood.frames.shape))
        unknowns = (4 + self.fit_blur) * state.counts + surface.shape[0] * surface.shape[1]
        left = likelihood.expected_deviance(image) - unknowns
        return (fitted.deviance > left + 2 * (2 * likelihood.pixels).sqrt()).nonzero()[:, 0]

    def _surface(self, likelihood: Likelihood, spacing_px: float) -> SplineBackground:
        height, width = likelihood.frames.shape[1:]
        return SplineBackground((height, width), spacing_px, likelihood.frames)

    def _start(self, found: Localizations, likelihood: Likelihood, origin: Tensor) -> JointState:
        """Photons and background by least squares at the proposed positions; origin: their rows, kept."""
        light = fit_photometry(
            self.core,
            found.xyz,
            found.frame,
            likelihood.frames,
            weight=likelihood.weight,
            excess=likelihood.excess,
            read_variance=likelihood.read_variance,
            spacing_px=self.search_spacing_px,
        )
        xyz = torch.cat([found.xyz[:, :2], found.xyz[:, 2:].clamp(*self.bounds.z_um)], 1)
        photons = light.photons.clamp(min=self.bounds.photons)
        start = JointState(xyz, photons, found.frame, light.coefficients, origin=origin)
        # Where least squares finds no light there is nothing to fit; the search brings back what is missed.
        return start.rows(light.photons > max(0.1 * self.dim_photons, self.bounds.photons))

    def _localizations(
        self, final: Refined, found: Localizations, likelihood: Likelihood, surface: SplineBackground
    ) -> Localizations:
        """The fitted state as a table, with its bounds."""
        state = final.state
        image = LinearImage(self.whole, state, surface, tuple(likelihood.frames.shape))
        sigma, sigma_background = joint_bounds(image, likelihood.information(image.image))
        spots = image.jacobian[:, 3]
        misfit = image.assembly.cut(likelihood.deviance_image(image.image)).flatten(1)
        quality = (spots * misfit).sum(1) / spots.sum(1).clamp(min=1e-9)
        origin = torch.full_like(state.frame, -1) if state.origin is None else state.origin
        probability = torch.full_like(state.photons, 1 - self.false_alarms)
        probability[origin >= 0] = found.probability[origin[origin >= 0]].to(probability)
        return Localizations(
            xyz=state.xyz,
            frame=state.frame,
            photons=state.photons,
            background=at_positions(
                surface.surface(state.coefficients), state.xyz, state.frame, self.whole.pixel_um
            ),
            probability=probability,
            sigma_xyz=sigma[:, :3],
            sigma_photons=sigma[:, 3],
            sigma_background=sigma_background,
            fit_quality=quality,
            sigma_source="fit",
        )


def _groups(counts: list[int], most: int) -> Iterator[tuple[int, int]]:
    """Ranges of frames (first, last) with at most so many molecules each, or one frame."""
    first, total = 0, 0
    for frame, count in enumerate(counts):
        if frame > first and (total + count > most or frame - first >= 64):
            yield first, frame
            first, total = frame, 0
        total += count
    if first < len(counts):
        yield first, len(counts)
