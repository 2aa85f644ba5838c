"""Rows whose depth is held by an end of the range of the fit: their number, and the warning for the user."""

from __future__ import annotations

from typing import Self

from ..emitters import Localizations
from ..fitting.refine import Bounds
from .pipeline import Pipeline

__all__ = ["DepthEnds"]

# Rows at an end from which on they are told, and their share of all: noise alone puts a few there.
_LEAST = 3
_LEAST_SHARE = 0.01
_KEPT = "sigma_z_nm < 500000"
_BEYOND = ("nearer to the coverslip than", "deeper than")


class DepthEnds:
    """Counts the rows of a list that lie at either end of the depths in which molecules are fitted.

    bounds: of the fit, None: there was none, and nothing is counted;  z_um: depths of the model.
    """

    def __init__(self, bounds: Bounds | None = None, z_um: tuple[float, float] = (0.0, 0.0)) -> None:
        self._bounds, self._z_um = bounds, z_um
        self._rows, self._held = 0, [0, 0]

    @classmethod
    def of(cls, pipeline: Pipeline) -> Self:
        """For the lists of a pipeline."""
        return cls(None if pipeline.fit is None else pipeline.fit.bounds, pipeline.experiment.z_um)

    def add(self, found: Localizations) -> None:
        """Add some more rows."""
        if self._bounds is None:
            return
        self._rows += len(found)
        for number, held in enumerate(self._bounds.at_ends(found.xyz[:, 2])):
            self._held[number] += int(held.sum())

    def warnings(self) -> list[str]:
        """What a user of the list should know: a sentence for each end with more than a few rows."""
        if self._bounds is None:
            return []
        told, model = [], "{:g} to {:g} µm".format(*self._z_um)
        for held, end, beyond in zip(self._held, self._bounds.z_um, _BEYOND, strict=True):
            if held < max(_LEAST, _LEAST_SHARE * self._rows):
                continue
            told.append(
                f"{held} of {self._rows} rows ({100 * held / self._rows:.3g} %) lie at the end of the depths "
                f"in which molecules are fitted, z = {end:.4g} µm: their depth is not known. Probable "
                f"causes: molecules {beyond} the depths of the model ({model}), a focus or a refractive index "
                f"other than the model's. Train a model for more depths, or for your focus; filter '{_KEPT}' "
                "removes these rows"
            )
        return told
