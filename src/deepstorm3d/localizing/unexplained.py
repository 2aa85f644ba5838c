"""Frames of a run that the model does not explain: counted, and told in plain words."""

from __future__ import annotations

from statistics import median

from torch import Tensor

from ..fitting.unexplained import FAR
from ..watch import Watcher
from .streaming import Block

__all__ = ["Unexplained", "misfit_beyond_noise"]


def misfit_beyond_noise(misfit: Tensor) -> tuple[float, ...]:
    """Mean deviance of the frames that are not explained, out of that of all, (B,) (`Pipeline.explain`)."""
    return tuple(misfit[misfit > FAR].tolist())


class Unexplained:
    """Counts such frames, and tells the first of them at once: nobody should wait for the end of a lost run.

    watch: is told.
    """

    def __init__(self, watch: Watcher) -> None:
        self._watch = watch
        self._misfit: list[float] = []

    def add(self, block: Block, misfit: tuple[float, ...]) -> None:
        """Count one more block of frames; misfit: see `misfit_beyond_noise`."""
        if misfit and not self._misfit:
            self._watch.message(f"frames {block[0]} to {block[1] - 1}: {_words(misfit, block[1] - block[0])}")
        self._misfit += misfit

    def warnings(self, frames: int) -> list[str]:
        """What to say at the end of `frames` frames."""
        return [_words(self._misfit, frames)] if self._misfit else []


def _words(misfit: list[float] | tuple[float, ...], frames: int) -> str:
    return (
        f"{len(misfit)} of {frames} frames are not explained by the model: their mean deviance per pixel is "
        f"{median(misfit):.3g} (median; 1 where only noise is left). Only molecules that stand out of that "
        "were kept, and their σ are too small. Probable causes: the camera's gain or baseline (`camera`), "
        "saturated or defective pixels, a model for other optics; look at a few frames (`preview`)"
    )
