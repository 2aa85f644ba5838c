"""Levenberg-Marquardt with Fisher scoring on all sites, photons and backgrounds of consecutive frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..parallel import one_thread
from ..state import LONGEST_BLUR_PX, LONGEST_UM
from .charts import FINE, Charts
from .frames import Eliminated, FrameTerms, unknowns_of_looks
from .movie import Movie
from .state import Sites

__all__ = ["FittedSites", "climb_sites"]

_ITERATIONS = 40
_TOO_LONG = 1.0  # ratio of a site's step to the longest one from which on the site is damped
_RESTRAINTS = 2  # largest number of times that a step is computed again for it


@dataclass(frozen=True)
class FittedSites:
    """Result of a fit.

    sites: of B frames in C channels;  deviance: of each image, (B·C,) float64;  settled: whether the fit
    converged, or no step helped any more, however short.
    """

    sites: Sites
    deviance: Tensor
    settled: bool

    @property
    def cost(self) -> float:
        """Deviance of all images, and what the places cost by what is known of them."""
        return float(self.deviance.sum() + self.sites.penalty())


@torch.no_grad()
def climb_sites(
    movie: Movie, start: Sites, charts: Charts | None = None, steps: int = _ITERATIONS
) -> FittedSites:
    """The most likely places, photons and backgrounds, beginning with these.

    All unknowns move together: each image is reduced to its places (`FrameTerms.eliminated`), the places of all
    images are solved for, and photons and backgrounds follow (block-arrow normal equations; the same step as
    that of Gauss and Newton on all unknowns at once). The deviance of all images together never increases. An
    image whose own deviance rises is damped more, with its sites.

    charts: of the images, from an earlier fit; default: new ones;  steps: largest number of steps.
    """
    sites, slices = start, start.slices()
    charts = Charts(movie, FINE) if charts is None else charts
    terms = _terms(charts, sites, slices)
    deviance = _total(terms)
    damping = torch.full((sites.images,), 1e-3, dtype=torch.float64)
    now = float(deviance.sum() + sites.penalty())
    for _ in range(steps):
        step = _step(movie, sites, slices, terms, damping)
        trial = _moved(movie, sites, step)
        # Most steps are taken, so that their derivatives are computed with their images.
        there = _terms(charts, trial, slices)
        tried = _total(there)
        after = float(tried.sum() + trial.penalty())
        worse, gain = tried > deviance + charts.settled, now - after
        if gain > 0:
            sites, terms, deviance, now = trial, there, tried, after
            damping = torch.where(worse, damping * 10, damping / 6).clamp(1e-5, 1e6)
            if gain < charts.settled * sites.images:
                return FittedSites(sites, deviance, True)
        else:
            if step.promised < charts.settled * sites.images or float(damping.max()) > 1e3:
                return FittedSites(sites, deviance, True)
            damping = torch.where(worse | ~worse.any(), damping * 10, damping)
    return FittedSites(sites, deviance, False)


@dataclass(frozen=True)
class _Step:
    """Change of places (S, q), photons (N,) and coefficients, (k, l) of each image; promised: gain by the
    quadratic model."""

    place: Tensor
    photons: Tensor
    coefficients: tuple[Tensor, ...]
    promised: float


def _terms(charts: Charts, sites: Sites, slices: list[slice]) -> list[FrameTerms]:
    return charts.movie.each(lambda f: charts.terms(f, sites, slices[f]))


def _total(terms: list[FrameTerms]) -> Tensor:
    return torch.tensor([part.deviance for part in terms], dtype=torch.float64)


def _step(movie: Movie, sites: Sites, slices: list[slice], terms: list[FrameTerms], damping: Tensor) -> _Step:
    """The damped step of all unknowns."""
    parts = movie.each(lambda f: terms[f].eliminated(float(damping[f])))
    with one_thread():
        matrix, pull, ridge = _assembled(sites, slices, terms, parts, damping)
        place = _solved_places(movie, sites, matrix, pull, ridge)
    flat = place.flatten()
    light = movie.each(lambda f: parts[f].light_step(flat[unknowns_of_looks(sites, slices[f])]))
    counts = [rows.stop - rows.start for rows in slices]
    photons = torch.cat([step[:count] for step, count in zip(light, counts, strict=True)])
    smooth = tuple(
        step[count:].view_as(old) for step, count, old in zip(light, counts, sites.coefficients, strict=True)
    )
    promised = float((pull * flat).sum())
    promised += sum(float((part.rest**2).sum()) for part in parts)
    return _Step(place, photons, smooth, promised)


def _assembled(
    sites: Sites, slices: list[slice], terms: list[FrameTerms], parts: list[Eliminated], damping: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Information (S·q, S·q) about the places and its gradient, and the λ of each site, (S,)."""
    size = sites.place.numel()
    matrix, pull = sites.place.new_zeros(size, size), sites.place.new_zeros(size)
    ridge = sites.place.new_full((len(sites),), 1e-5)
    for number, (rows, part) in enumerate(zip(slices, parts, strict=True)):
        index = unknowns_of_looks(sites, rows)
        own = part.schur.clone()
        own.diagonal().add_(damping[number] * terms[number].matrix.diagonal()[: len(own)])
        matrix[index[:, None], index] += own
        pull[index] += part.pull
        ridge[sites.site[rows]] = ridge[sites.site[rows]].maximum(damping[number])
    if sites.before is not None and sites.knowledge is not None:
        pull += sites.knowledge @ (sites.before - sites.place).flatten()
        matrix += sites.knowledge
    return matrix, pull, ridge


def _solved_places(movie: Movie, sites: Sites, matrix: Tensor, pull: Tensor, ridge: Tensor) -> Tensor:
    """The step of the places (S, q): sites that would move too far are damped, those at a bound are held."""
    low, high, longest = _limits(movie, sites)
    flat = sites.place.flatten()
    held = ((flat <= low.repeat(len(sites))) & (pull < 0)) | ((flat >= high.repeat(len(sites))) & (pull > 0))
    scale = torch.where(held | (matrix.diagonal() <= 1e-20), 0.0, matrix.diagonal().clamp(min=1e-20).rsqrt())
    unit = matrix * scale[:, None] * scale
    more, step = torch.zeros_like(ridge), torch.zeros_like(sites.place)
    for _ in range(1 + _RESTRAINTS):
        unit.diagonal().copy_(1 + 1e-6 + more.repeat_interleave(sites.each))
        factor = torch.linalg.cholesky_ex(unit).L
        step = torch.cholesky_solve((pull * scale)[:, None], factor)[:, 0] * scale
        step = step.view_as(sites.place)
        ratio = (step.abs() / longest).amax(1)
        far = ratio > _TOO_LONG
        if not bool(far.any()):
            break
        more = torch.where(far, more.maximum(ridge).clamp(min=1e-2) * ratio.clamp(max=10.0), more)
    return torch.nan_to_num(step)


def _limits(movie: Movie, sites: Sites) -> tuple[Tensor, Tensor, Tensor]:
    """Lowest and highest value and longest step of the unknowns of a site, (q,) each."""
    free = (-torch.inf, torch.inf)
    ranges, longest = [free, free, movie.bounds.z_um], [*LONGEST_UM]
    if sites.blurs:
        ranges, longest = [*ranges, movie.bounds.blur_px], [*longest, LONGEST_BLUR_PX]
    low, high = torch.tensor(ranges, dtype=torch.float64).to(sites.place).unbind(1)
    return low, high, torch.tensor(longest, dtype=torch.float64).to(sites.place)


def _moved(movie: Movie, sites: Sites, step: _Step) -> Sites:
    """The sites after a step that is limited in length and kept within the bounds."""
    low, high, longest = _limits(movie, sites)
    place = (sites.place + step.place.clamp(-longest, longest)).clamp(low, high)
    coefficients = tuple(old + more for old, more in zip(sites.coefficients, step.coefficients, strict=True))
    # A look loses at most two thirds of its photons in one step, so that a bad step cannot remove it.
    photons = (sites.photons + step.photons).maximum(sites.photons / 3).clamp(min=movie.bounds.photons)
    return replace(sites, place=place, photons=photons, coefficients=coefficients)
