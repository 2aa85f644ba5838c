"""Frames of a run that the model does not explain: their number, and the warning for the user."""

from __future__ import annotations

from statistics import median

from torch import Tensor

from ..fitting.unexplained import FAR
from ..watch import Watcher
from .streaming import Block

__all__ = ["Unexplained", "misfit_beyond_noise"]


def misfit_beyond_noise(misfit: Tensor) -> tuple[float, ...]:
    """Mean deviance of those frames that are not explained; misfit: (B,) of all frames (`Pipeline.explain`)."""
    return tuple(misfit[misfit > FAR].tolist())


class Unexplained:
    """Counts frames that are not explained, and reports the first ones at once: the user may stop the run.

    watch: receives the report.
    """

    def __init__(self, watch: Watcher) -> None:
        self._watch = watch
        self._misfit: list[float] = []

    def add(self, block: Block, misfit: tuple[float, ...]) -> None:
        """Add one block of frames; misfit: see `misfit_beyond_noise`."""
        if misfit and not self._misfit:
            self._watch.message(f"frames {block[0]} to {block[1] - 1}: {_words(misfit, block[1] - block[0])}")
        self._misfit += misfit

    def warnings(self, frames: int) -> list[str]:
        """Warnings at the end of a run of `frames` frames."""
        return [_words(self._misfit, frames)] if self._misfit else []


def _words(misfit: list[float] | tuple[float, ...], frames: int) -> str:
    return (
        f"{len(misfit)} of {frames} frames are not explained by the model: their mean deviance per pixel is "
        f"{median(misfit):.3g} (median; 1 where only noise is left). Only molecules that stand out of that "
        "were kept, and their σ are too small. Probable causes: the camera's gain or baseline (`camera`), "
        "saturated or defective pixels, a model for other optics; look at a few frames (`preview`)"
    )
