"""What is known of a movie before its set-up is estimated, and what is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...io.movies import Movie
from ...localizing.pipeline import Pipeline

__all__ = ["EstimateSettings"]


@dataclass(frozen=True)
class EstimateSettings:
    """What is known beforehand, and what is asked for.

    dark: a movie without light;  baseline: ADU, where it is known;  scene: which one changes, the first else;
    seed: of the simulations, the experiment's where left out;  pipeline: a trained model at work (`model_for`):
    density, photons and background are those of the molecules that it finds (`found_light`).
    """

    dark: Path | Movie | None = None
    baseline: float | None = None
    scene: str | None = None
    seed: int | None = None
    pipeline: Pipeline | None = None
