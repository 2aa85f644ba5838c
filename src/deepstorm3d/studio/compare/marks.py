"""Marks of a comparison on a frame, in the colours of the program's pictures."""

from __future__ import annotations

from ...plot.style import GREY, ORANGE, SKY_BLUE, VERMILION
from ..marks import Marks, Shape
from .outcome import FATES, Fate, Outcome, Places

__all__ = ["COLOURS", "LABELS", "frame_marks"]

COLOURS: dict[Fate, str] = {"matched": SKY_BLUE, "missed": VERMILION, "false": ORANGE, "ignored": GREY}
"""Colour of each fate; on black, matched rows are a lighter blue than on paper."""

LABELS: dict[Fate, str] = {
    "matched": "matched",
    "missed": "missed",
    "false": "false",
    "ignored": "not counted",
}
"""Words for each fate."""

_SHAPES: dict[Fate, Shape] = {"matched": "circle", "missed": "square", "false": "cross", "ignored": "plus"}


def frame_marks(outcome: Outcome, frame: int) -> list[Marks]:
    """The marks of one frame.

    Circles: true molecules that were found, with a small plus where the localization is; squares: those that
    were missed; crosses: false localizations.
    """
    made = []
    for fate in FATES:
        places = outcome.places[fate].at(frame)
        if not len(places):
            continue
        x, y = (places.xyz_um[:, :2] / outcome.pixel_um).round(3).T.tolist()
        tips = [_tip(fate, places, row) for row in range(len(places))]
        made.append(Marks(_SHAPES[fate], x, y, COLOURS[fate], tips=tips))
        if fate == "matched":
            moved = places.xyz_um + places.offset_nm / 1000
            x, y = (moved[:, :2] / outcome.pixel_um).round(3).T.tolist()
            made.append(Marks("plus", x, y, COLOURS[fate], size=3))
    return made


def _tip(fate: Fate, places: Places, row: int) -> str:
    words = f"{LABELS[fate]}, z {places.xyz_um[row, 2]:.3f} µm, {places.photons[row]:,.0f} photons"
    if fate == "matched":
        dx, dy, dz = places.offset_nm[row]
        words += f", off by {dx:+.0f}, {dy:+.0f}, {dz:+.0f} nm in x, y, z"
    return words
