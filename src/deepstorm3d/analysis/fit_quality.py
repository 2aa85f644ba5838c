"""What a deviance per pixel means: 1 where noise alone is left; judged on both sides, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..emitters import Localizations

__all__ = ["DevianceVerdict", "QualitySample", "judge_deviance", "judge_list"]

Kind = Literal["too quiet", "fits", "doubtful", "misfit", "unknown"]

# Deviance from which noise is missing, up to which a model may be called fitting, and doubtful.
_QUIET, _FITS, _DOUBTFUL = 0.75, 1.25, 2.0
# So many σ of its own scatter a deviance must lie beyond a limit.
_SURE = 3.0
# Fewer rows than this show the accident of a few molecules; below one photon the deviance is no 1.
_FEWEST_ROWS, _LEAST_BACKGROUND = 20, 1.0
# Rows of a long run that are enough to judge by.
_SAMPLE_ROWS = 20_000


@dataclass(frozen=True)
class DevianceVerdict:
    """The kind of fit, and what it means in words; text is empty where the model fits or nothing can be
    said."""

    kind: Kind
    text: str

    @property
    def fits(self) -> bool:
        """Whether noise alone is left."""
        return self.kind == "fits"


def judge_deviance(deviance: float, pixels: float = math.inf) -> DevianceVerdict:
    """Judge a mean deviance per pixel (or squared residual over the expected variance) of so many pixels.

    Of n independent pixels it is 1 ± √(2/n) where model and camera are right. Below 1 the frames have less
    noise than the camera says: that is no better fit, for σ and photons are wrong alike.
    """
    if not math.isfinite(deviance) or pixels < 1:
        return DevianceVerdict("unknown", "")
    margin = _SURE * math.sqrt(2 / pixels)
    if deviance < _QUIET - margin:
        return DevianceVerdict(
            "too quiet",
            f"the residuals are only {deviance:.2f} times what noise gives (1 is right): the camera's gain is "
            "too large or its baseline is missing (`camera`), or the frames were "
            "averaged, smoothed or had their background taken off; photons and σ are wrong with it",
        )
    if deviance <= _FITS + margin:
        return DevianceVerdict("fits", "")
    kind = "doubtful" if deviance <= _DOUBTFUL else "misfit"
    return DevianceVerdict(
        kind,
        f"the residuals are {deviance:.2f} times what noise gives (1 is right): structure in them means "
        "another PSF, density or background, no structure a gain that is too small",
    )


def judge_list(table: Localizations) -> DevianceVerdict:
    """Judge the rows' fit quality by its median; unknown for fewer than 20 rows that have one.

    Rows over less than a photon of background do not count: there the deviance of good fits is not 1.
    """
    sample = QualitySample()
    sample.add(table)
    return sample.verdict


class QualitySample:
    """Fit quality of the first rows of a run, gathered block by block."""

    def __init__(self) -> None:
        self._values: list[Tensor] = []

    def add(self, table: Localizations) -> None:
        """Take in the rows of one more block."""
        if sum(map(len, self._values)) < _SAMPLE_ROWS:
            quality = table.fit_quality[(table.fit_quality > 0) & (table.background >= _LEAST_BACKGROUND)]
            self._values.append(quality[torch.isfinite(quality)].detach().cpu().double())

    @property
    def verdict(self) -> DevianceVerdict:
        """As `judge_list` of all that was taken in."""
        values = torch.cat(self._values) if self._values else torch.zeros(0)
        if len(values) < _FEWEST_ROWS:
            return DevianceVerdict("unknown", "")
        return judge_deviance(float(values.median()))
