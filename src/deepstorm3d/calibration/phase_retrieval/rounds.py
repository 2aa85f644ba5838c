"""Rounds of a retrieval: counting, updating all unknowns but the phase, and extending results to all images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...watch import Watcher, advance
from ..beads.images import BeadImages, BeadState, weights_of_zero
from .phase_fit import PhaseFit
from .position_fit import Unknowns, fit_positions

__all__ = ["Steps", "continued", "settled"]


class Steps:
    """Counts the rounds of a retrieval and reports them to the watcher."""

    def __init__(self, watch: Watcher, total: int) -> None:
        self.watch, self.count, self.total = watch, 0, total

    def tell(self, text: str) -> None:
        advance(self.watch, self.count, self.total, text)

    def done(self, text: str) -> None:
        self.count += 1
        self.tell(text)


@torch.no_grad()
def settled(fit: PhaseFit, unknowns: Unknowns, before: float) -> float:
    """Two steps in everything but the free phase, undone if the fit gets worse. Returns half the deviance."""
    state, places = fit.state, replace(unknowns, polynomials=())
    kept = [each.clone() for each in unknowns.polynomials]
    fit.state = fit_positions(fit.psf, fit.images, state, places)
    fit.state = fit_positions(fit.psf, fit.images, fit.state, unknowns)
    loss = fit.loss()
    if loss > before and kept:
        for each, value in zip(unknowns.polynomials, kept, strict=True):
            each.copy_(value)
        fit.state = fit_positions(fit.psf, fit.images, state, places)
        loss = fit.loss()
    return loss


def continued(state: BeadState, part: BeadState, images: BeadImages, rows: Tensor) -> BeadState:
    """The state of all images from a fit of some: depths and blur, the mean shift, and errors of the slices."""
    shift = (part.xy - state.xy[rows]).mean(0)
    seen = images.plane[rows].unique()
    said = images.nominal_um()
    order = seen[torch.argsort(said[seen], stable=True)]
    between = np.interp(said.numpy(), said[order].numpy(), part.offset_um[order].numpy())
    offset = torch.from_numpy(between).to(said)
    part = replace(part, offset_um=offset - weights_of_zero(said) @ offset)
    return replace(state, xy=state.xy + shift).with_part(part, rows)
