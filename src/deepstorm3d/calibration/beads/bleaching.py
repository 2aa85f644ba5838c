"""Bleaching of beads: the fraction of its light that each loses over a stack."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["median_fall"]


def median_fall(light: Sequence[Tensor]) -> float:
    """Median fraction of their light that beads lose from their first image to their last, 0 to 1.

    light: of each bead (S,), photons in order of acquisition.  An exponential is fitted by least squares of the
    logarithm, each image weighted by its light; an increase counts as 0.
    """
    falls = [_fall(each) for each in light if int((each > 0).sum()) > 2]
    return float(torch.tensor(falls).median()) if falls else 0.0


def _fall(light: Tensor) -> float:
    light = light.double().clamp(min=0)
    at = torch.linspace(0, 1, len(light), dtype=torch.float64)
    # The logarithm of Poisson counts has the variance 1/light.
    weight = light / light.sum()
    logarithm = light.clamp(min=1e-6 * float(light.max())).log()
    middle, level = (weight * at).sum(), (weight * logarithm).sum()
    slope = (weight * (at - middle) * (logarithm - level)).sum() / (weight * (at - middle).square()).sum()
    return float(1 - slope.clamp(max=0).exp())
