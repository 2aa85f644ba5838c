"""How well a frame is explained, as a traffic light and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .explained import Explained

__all__ = ["Verdict", "verdict_of"]

_LIGHTS = {"fits": "good", "doubtful": "doubt", "too quiet": "bad", "misfit": "bad", "unknown": ""}


@dataclass(frozen=True)
class Verdict:
    """light: good, doubt, bad or "" where nothing can be said;  text: the likely reason."""

    light: Literal["good", "doubt", "bad", ""]
    text: str


def verdict_of(shown: Explained) -> Verdict:
    """The judgement of a frame's residuals (`RegenerateReport.assessment`)."""
    report = shown.report
    judged = report.assessment
    light = _LIGHTS[judged.kind]
    figures = f"deviance {report.deviance_per_pixel:.2f} per pixel (1: nothing left but noise), correlation "
    text = judged.text or ("The molecules explain the frame down to its noise." if light == "good" else "")
    return Verdict(light, f"{figures}{report.correlation:.3f}. {text}".strip())  # pyright: ignore[reportArgumentType]
