"""How well a frame is explained, as a traffic light and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...jobs.regenerate import RegenerateReport
from .explained import Explained

__all__ = ["Verdict", "verdict_of"]

Light = Literal["good", "doubt", "bad", ""]

# From the best to the worst.
_ORDER: tuple[Light, ...] = ("", "good", "doubt", "bad")
_LIGHTS: dict[str, Light] = {
    "fits": "good",
    "doubtful": "doubt",
    "too quiet": "bad",
    "misfit": "bad",
    "unknown": "",
}


@dataclass(frozen=True)
class Verdict:
    """light: good, doubt, bad or "" where nothing can be said;  text: the likely reason."""

    light: Light
    text: str


def verdict_of(shown: Explained) -> Verdict:
    """The judgement of a frame's residuals (`RegenerateReport.assessment`); of two channels the worse light."""
    first = _of_report(shown, shown.report)
    if not shown.further:
        return first
    second = _of_report(shown, shown.further[0].report)
    worse = max(first, second, key=lambda each: _ORDER.index(each.light))
    return Verdict(worse.light, f"First channel: {first.text} Second channel: {second.text}")


def _of_report(shown: Explained, report: RegenerateReport) -> Verdict:
    judged = report.assessment
    light = _LIGHTS[judged.kind]
    if shown.doubts and light != "bad":
        # Molecules in the wrong places can also explain a frame.
        light = "doubt"
    figures = f"deviance {report.deviance_per_pixel:.2f} per pixel (1: nothing left but noise), correlation "
    what = "The molecules explain" if report.localizations else "No molecule, and the background explains"
    text = judged.text or (f"{what} the frame down to its noise." if light == "good" else "")
    told = " ".join((*(f"{doubt[0].upper()}{doubt[1:].rstrip('.')}." for doubt in shown.doubts), text))
    return Verdict(light, f"{figures}{report.correlation:.3f}. {told}".strip())
