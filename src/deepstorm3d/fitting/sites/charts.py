"""Images around a state, computed again only where the state has moved.

Close to a state the likelihood is a quadratic function of the unknowns; its gradient and deviance follow
without computing the image. Most images need none when a few looks change, nor for the last steps of a fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..state import JointState
from .frames import FrameTerms
from .movie import Movie
from .state import Sites

__all__ = ["COARSE", "FINE", "ROUGH", "Charts"]

ROUGH = 3.0
"""Charts of a trial in a neighbourhood, which decides about ten and more in the deviance."""
COARSE = 1.0
"""Charts to decide about ties and looks."""
FINE = 0.2
"""Charts of a last fit: the error of a position by them is below 0.01 σ."""
# Changes up to which an image's likelihood is taken as quadratic: x, y, z (µm), blur (px), and share of the
# photons.
_NEAR_PLACE = (0.005, 0.005, 0.01, 0.03)
_NEAR_LIGHT = 0.1
# Mean decrease of an image's deviance at which a coarse fit ends; a fine one goes on further.
_SETTLED = 0.1


@dataclass(frozen=True)
class _Chart:
    """An image around a state: its terms, the unknowns (m,) in their order, and the largest change of each."""

    terms: FrameTerms
    unknowns: Tensor
    reach: Tensor


class Charts:
    """The likelihood of the images of a movie around the states that they were last computed at.

    near: how far a chart reaches, `COARSE` or `FINE`.
    """

    def __init__(self, movie: Movie, near: float) -> None:
        self.movie, self._near = movie, near
        self.settled = _SETTLED * near
        """Mean decrease of an image's deviance by a step at which a fit with these charts ends."""
        self._charts: list[_Chart | None] = [None] * len(movie)

    def terms(self, number: int, sites: Sites, rows: slice) -> FrameTerms:
        """An image around sites, to second order;  rows: its looks."""
        state, chart = sites.of_image(number, rows, self.movie.dtype), self._charts[number]
        unknowns = _unknowns(state)
        if chart is not None and _reaches(chart, unknowns):
            return _moved(chart, unknowns)
        terms = self.movie.terms(number, state)
        self._charts[number] = _Chart(terms, unknowns, self._near * _reach(state))
        return terms


def _unknowns(state: JointState) -> Tensor:
    """Unknowns of an image in the order of `FrameTerms`: (m,) float64."""
    blur = [] if state.blur_px is None else [state.blur_px[:, None]]
    return _in_order(torch.cat([state.xyz, *blur], 1), state.photons, state.coefficients)


def _in_order(places: Tensor, photons: Tensor, coefficients: Tensor) -> Tensor:
    """Places (n, q), photons (n,) and coefficients in the order of `FrameTerms`."""
    return torch.cat([places.flatten(), photons, coefficients.flatten()]).double()


def _reach(state: JointState) -> Tensor:
    """Largest change of each unknown, (m,) float64."""
    place = torch.tensor(_NEAR_PLACE[: 3 if state.blur_px is None else 4], dtype=torch.float64)
    light, level = _NEAR_LIGHT * state.photons, _NEAR_LIGHT * state.coefficients.abs()
    return _in_order(place.repeat(len(state), 1), light, level)


def _reaches(chart: _Chart, unknowns: Tensor) -> bool:
    if len(unknowns) != len(chart.unknowns):
        return False
    return bool(((unknowns - chart.unknowns).abs() <= chart.reach).all())


def _moved(chart: _Chart, unknowns: Tensor) -> FrameTerms:
    """The terms after a change of the unknowns, by the quadratic likelihood."""
    change, terms = unknowns - chart.unknowns, chart.terms
    stiff = terms.matrix @ change
    deviance = terms.deviance + float(change @ (stiff - 2 * terms.gradient))
    return replace(terms, deviance=deviance, gradient=terms.gradient - stiff, change=change)
