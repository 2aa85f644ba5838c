"""Rows whose depth is held by an end of the range of the fit: their number, and the warning for the user."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from ..emitters import Localizations
from ..experiment.experiment import Experiment
from ..fitting.refine import Bounds
from .pipeline import Pipeline

__all__ = ["DepthEnds"]

# Rows at an end from which on they are told, and their share of all: noise alone puts a few there.
_LEAST = 3
_LEAST_SHARE = 0.01
_KEPT = "sigma_z_nm < 500000"
_BEYOND = ("nearer to the coverslip than", "deeper than")
# How far beyond the depths of a model it is asked whether a scene may have molecules there, µm.
_STEP_UM = 1e-3


class DepthEnds:
    """Counts the rows of a list that lie at either end of the depths in which molecules are fitted.

    bounds: of the fit, None: there was none, and nothing is counted, as where they allow one depth alone;
    z_um: depths of the model;  more: whether a model can be trained for depths beyond its lower and upper end.
    """

    def __init__(
        self,
        bounds: Bounds | None = None,
        z_um: tuple[float, float] = (0.0, 0.0),
        more: tuple[bool, bool] = (True, True),
    ) -> None:
        self._bounds = None if bounds is None or bounds.one_depth else bounds
        self._z_um, self._more = z_um, more
        self._rows, self._held = 0, [0, 0]

    @classmethod
    def of_fit(cls, bounds: Bounds | None, experiment: Experiment) -> Self:
        """For the lists of a fit with these bounds, by the model of an experiment."""
        low, high = experiment.z_um
        wider = (low - _STEP_UM, high), (low, high + _STEP_UM)
        return cls(bounds, experiment.z_um, (_allowed(experiment, wider[0]), _allowed(experiment, wider[1])))

    @classmethod
    def of(cls, pipeline: Pipeline) -> Self:
        """For the lists of a pipeline."""
        return cls.of_fit(None if pipeline.fit is None else pipeline.fit.bounds, pipeline.experiment)

    def add(self, found: Localizations) -> None:
        """Add some more rows."""
        if self._bounds is None:
            return
        self._rows += len(found)
        for number, held in enumerate(self._bounds.at_ends(found.xyz[:, 2])):
            self._held[number] += int(held.sum())

    def count_anew(self, blocks: Iterable[Localizations]) -> None:
        """Count these rows alone: those of the whole list, where only some of them were added."""
        self._rows, self._held = 0, [0, 0]
        if self._bounds is not None:
            for rows in blocks:
                self.add(rows)

    def warnings(self) -> list[str]:
        """What a user of the list should know: a sentence for each end with more than a few rows."""
        if self._bounds is None:
            return []
        told = []
        for held, end, cause in zip(self._held, self._bounds.z_um, self._causes(), strict=True):
            if held < max(_LEAST, _LEAST_SHARE * self._rows):
                continue
            told.append(
                f"{held} of {self._rows} rows ({100 * held / self._rows:.3g} %) lie at the end of the depths "
                f"in which molecules are fitted, z = {end:.4g} µm: their depth is not known. {cause}; filter "
                f"'{_KEPT}' removes these rows"
            )
        return told

    def _causes(self) -> list[str]:
        """Why rows may lie at the lower and at the upper end, and what helps."""
        depths, other = (
            "{:g} to {:g} µm".format(*self._z_um),
            "a focus or a refractive index other than the model's",
        )
        return [
            f"Probable causes: molecules {beyond} the depths of the model ({depths}), {other}. Train a model "
            "for more depths, or for your focus"
            if more
            else f"Probable cause: {other} (no model with its PSF has molecules {beyond} its depths, {depths})"
            ". Train a model for your focus and refractive index"
            for beyond, more in zip(_BEYOND, self._more, strict=True)
        ]


def _allowed(experiment: Experiment, z_um: tuple[float, float]) -> bool:
    """Whether a scene of the experiment may have molecules at these depths."""
    try:
        experiment.psf.check_scenes(z_um, experiment.blur_px)
    except ValueError:
        return False
    return True
