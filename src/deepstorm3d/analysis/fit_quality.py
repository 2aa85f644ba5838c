"""Judges the deviance per pixel of a fit: 1 means that only noise is left; above and below are explained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..emitters import Localizations

__all__ = ["DevianceAssessment", "QualitySample", "judge_deviance", "judge_list"]

Kind = Literal["too quiet", "fits", "doubtful", "misfit", "unknown"]

# Deviance per pixel below which the frames have less noise than the camera model predicts.
_QUIET = 0.75
# Deviance per pixel up to which the model fits.
_FITS = 1.25
# Deviance per pixel up to which the fit is doubtful; above it the model does not fit.
_DOUBTFUL = 2.0
# A deviance counts as beyond a limit if it exceeds it by this many of its standard errors.
_SURE = 3.0
# Fewest rows to judge a list by: fewer are dominated by sampling noise.
_FEWEST_ROWS = 20
# Least background, photons per pixel: below it the deviance of a good fit is not 1.
_LEAST_BACKGROUND = 1.0
# Number of rows of a long run that are enough to judge by.
_SAMPLE_ROWS = 20_000


@dataclass(frozen=True)
class DevianceAssessment:
    """The kind of fit, and what it means in words; text is empty where the model fits or nothing can be
    said."""

    kind: Kind
    text: str

    @property
    def fits(self) -> bool:
        """Whether the residuals are noise alone."""
        return self.kind == "fits"


def judge_deviance(deviance: float, pixels: float = math.inf) -> DevianceAssessment:
    """Judge the mean deviance per pixel (or squared residual over the expected variance) of this many pixels.

    Over n independent pixels it is 1 ± √(2/n) where model and camera are right. A value below 1 means that the
    frames have less noise than the camera model predicts. That is not a better fit: σ and photons are wrong
    too.
    """
    if not math.isfinite(deviance) or pixels < 1:
        return DevianceAssessment("unknown", "")
    margin = _SURE * math.sqrt(2 / pixels)
    if deviance < _QUIET - margin:
        return DevianceAssessment(
            "too quiet",
            f"the residuals are only {deviance:.2f} times what noise gives (1 is right): the camera's gain is "
            "too large or its baseline is missing (`camera`), or the frames were averaged, smoothed or had "
            "their background subtracted; photons and σ are wrong as well",
        )
    if deviance <= _FITS + margin:
        return DevianceAssessment("fits", "")
    kind = "doubtful" if deviance <= _DOUBTFUL else "misfit"
    return DevianceAssessment(
        kind,
        f"the residuals are {deviance:.2f} times what noise gives (1 is right): if they show structure, the "
        "PSF, the density or the background is wrong; if they do not, the gain is too small",
    )


def judge_list(table: Localizations) -> DevianceAssessment:
    """Judge a list by the median of its rows' fit quality; unknown for fewer than 20 rows that have one.

    Rows over less than one photon of background are not used: there the deviance of a good fit is not 1.
    """
    sample = QualitySample()
    sample.add(table)
    return sample.assessment


class QualitySample:
    """Fit quality of the first rows of a run, collected block by block."""

    def __init__(self) -> None:
        self._values: list[Tensor] = []

    def add(self, table: Localizations) -> None:
        """Add the rows of one more block."""
        if sum(map(len, self._values)) < _SAMPLE_ROWS:
            quality = table.fit_quality[(table.fit_quality > 0) & (table.background >= _LEAST_BACKGROUND)]
            self._values.append(quality[torch.isfinite(quality)].detach().cpu().double())

    @property
    def assessment(self) -> DevianceAssessment:
        """As `judge_list` of all rows that were added."""
        values = torch.cat(self._values) if self._values else torch.zeros(0)
        if len(values) < _FEWEST_ROWS:
            return DevianceAssessment("unknown", "")
        return judge_deviance(float(values.median()))
