"""The colours of all pictures: eight that people with red–green colour blindness can tell apart.

Okabe and Ito, Color Universal Design (2008).
"""

from __future__ import annotations

__all__ = [
    "AXIS_COLOURS",
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "SERIES",
    "SKY_BLUE",
    "VERMILION",
    "YELLOW",
    "series_colour",
]

BLACK = "#000000"
ORANGE = "#e69f00"
SKY_BLUE = "#56b4e9"
GREEN = "#009e73"
YELLOW = "#f0e442"
BLUE = "#0072b2"
VERMILION = "#d55e00"
PURPLE = "#cc79a7"

GREY = "#7f7f7f"
"""Lines that only guide the eye: zero, a threshold, rows that do not count."""

AXIS_COLOURS = {"x": BLUE, "y": VERMILION, "z": GREEN}
"""Colour of each axis of space, the same in every picture."""

SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK)
"""Colours of several curves, in this order; yellow is left out, because it is too pale for a line on white."""


def series_colour(number: int) -> str:
    """The colour of a curve by its number, from 0; after seven curves the colours repeat."""
    return SERIES[number % len(SERIES)]
