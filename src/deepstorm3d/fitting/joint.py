"""From a list of proposals to the most likely list: joint fit, selection, uncertainties."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..emitters import Localizations
from ..optics.moved import part_of
from ..optics.psf import PSF
from ..watch import SILENT, Part, Watcher, advance
from .background import SplineBackground
from .crowd import crowded_frames, most_molecules
from .information import joint_bounds
from .likelihood import Likelihood
from .linear import LinearImage, expected_image
from .photometry import at_positions, fit_photometry
from .proposals import Proposer
from .refine import Bounds, Effort, Refined, refine
from .search import MatchedFilter
from .selection import Selector
from .state import JointState
from .unexplained import FAR, misfit_of_frames

__all__ = ["Explained", "JointFit"]

# Molecules fitted at a time on a processor: their patches and slopes stay in its cache (120 take two thirds of
# the time of 500), and on a GPU, where many small steps would cost more.
_MOLECULES_AT_ONCE = {"cpu": 120, "cuda": 4000}
# A trial is decided by a price of tens: its fit may stop where a step brings less than one.
_TRIAL_SETTLED, _TRIAL_ITERATIONS, _TRIAL_TOLERANCE = 1.0, 15, 0.2


@dataclass(frozen=True)
class Explained:
    """A refined list, and how well it explains its frames.

    localizations: rows of frames 0 … B−1;  misfit: (B,) mean deviance of each frame's pixels, 1 where nothing
    but noise is left, NaN where it was not measured.
    """

    localizations: Localizations
    misfit: Tensor


@dataclass(frozen=True)
class JointFit:
    """Takes proposals to the maximum of the likelihood, all molecules of a frame together.

    core: PSF on a small patch, for the search;  whole: PSF with its tails, for the last fit;
    bounds: where molecules may go;  z_um: depths to search;  fit_blur: a blur for each molecule (the PSFs must
    be tabulated over a range of blurs);  spacing_px: between the knots of the background in the end;
    search_spacing_px: and during the search, where a pliant background would swallow molecules;
    false_alarms, dim_photons: see `Selector`;  rounds: of adding (0: positions only, the list stays);
    likely: proposals below this probability are left out at first, and tried in the frames whose list then
    does not explain them;
    most_per_um2: a frame with more proposals than this starts from none, and nothing is added beyond it;
    watch: told the frames done, again and again during the work; ends it where it says so (Interrupted).
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
    most_per_um2: float = 5.0
    watch: Watcher = SILENT

    def in_part(self, begin_px: tuple[int, int]) -> JointFit:
        """The same for frames that begin at a column and row of the PSF's field."""
        return replace(self, core=part_of(self.core, begin_px), whole=part_of(self.whole, begin_px))

    def most(self, shape: tuple[int, ...]) -> int:
        """Molecules at most in a frame (…, H, W), those a little beyond its edge included."""
        size = (shape[-2], shape[-1])
        return most_molecules(self.most_per_um2, size, self.core.pixel_um, self.core.patch_px)

    def __call__(self, found: Localizations, likelihood: Likelihood) -> Localizations:
        """The refined list of B frames: see `explain`."""
        return self.explain(found, likelihood).localizations

    @torch.no_grad()
    def explain(self, found: Localizations, likelihood: Likelihood) -> Explained:
        """The refined list of B frames, and what it leaves unexplained.

        found: proposals, rows of frames 0 … B−1;  returns localizations with photons, background, σ from the
        joint Fisher information (``sigma_source = fit``) and the mean deviance under each molecule's spot as
        fit quality. A molecule keeps its probability; an added one has 1 − the rate of false alarms.
        Whatever the frames hold, the work is bounded: by `most` molecules, `rounds` and the steps of each fit.
        """
        found = found.sort()
        crowded = crowded_frames(found, len(likelihood), self.most(tuple(likelihood.frames.shape)))
        if bool(crowded.any()):
            # No list of molecules: the network does not know what it sees. The search may.
            found = found.select(~crowded[found.frame])
        counts = torch.bincount(found.frame, minlength=len(likelihood))
        parts: list[Explained] = []
        for first, last in _groups(counts.tolist(), _MOLECULES_AT_ONCE.get(found.frame.device.type, 500)):
            rows = (found.frame >= first) & (found.frame < last)
            light = likelihood.select(torch.arange(first, last, device=found.frame.device))
            fit = replace(self, watch=Part(self.watch, first, last - first, len(likelihood)))
            part = fit._fit(found.select(rows).shift(frames=-first), light)
            parts.append(Explained(part.localizations.shift(frames=first), part.misfit))
            advance(self.watch, last, len(likelihood))
        if not parts:
            return Explained(found, likelihood.frames.new_zeros(0))
        table = Localizations.concat([part.localizations for part in parts])
        return Explained(table, torch.cat([part.misfit for part in parts]))

    def _fit(self, found: Localizations, likelihood: Likelihood) -> Explained:
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
        final = refine(self.whole, best.state, likelihood, surface, self.bounds, Effort(watch=self.watch))
        table = self._localizations(final, found, likelihood, surface)
        return Explained(table, misfit_of_frames(likelihood, final.deviance))

    def _with_finer_background(
        self, best: Refined, likelihood: Likelihood, coarse: SplineBackground
    ) -> tuple[SplineBackground, Refined]:
        """The background on its final knots, without the molecules that stood for its hills."""
        fine = self._surface(likelihood, self.spacing_px)
        same = fine.gram_solve(fine.adjoint(coarse.surface(best.state.coefficients)))
        fitted = self._trial(replace(best.state, coefficients=same), likelihood, fine)
        if self.rounds:
            selector = self._selector(fine, likelihood)
            fitted = selector.pruned(fitted, likelihood)
            far = misfit_of_frames(likelihood, fitted.deviance) > FAR
            fitted = selector.sure(fitted, likelihood, far)
        return fine, fitted

    def _selector(self, surface: SplineBackground, likelihood: Likelihood) -> Selector:
        search = MatchedFilter(self.core, self.z_um, surface.size, likelihood.frames)
        return Selector(
            lambda state, light: self._trial(state, light, surface),
            lambda state, light: LinearImage(self.core, state, surface, tuple(light.frames.shape)),
            Proposer(self.core, self.bounds, search, watch=self.watch),
            self.false_alarms,
            self.dim_photons,
            self.most(surface.size),
        )

    def _trial(self, state: JointState, light: Likelihood, surface: SplineBackground) -> Refined:
        effort = Effort(_TRIAL_ITERATIONS, _TRIAL_SETTLED, _TRIAL_TOLERANCE, self.watch)
        return refine(self.core, state, light, surface, self.bounds, effort)

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
            noise=likelihood.noise,
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
        quality = image.under_spots(likelihood.deviance_image(image.image), likelihood.weight)
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
