"""The fields that say how stacks were recorded: names, units and help as on the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, get_args

from ...calibration.beads.settings import BeadSettings
from ...cli import bead_options, options
from ...errors import InputError

__all__ = ["RECORDING", "RecordingField", "parsed_number"]


@dataclass(frozen=True)
class RecordingField:
    """One number of `BeadSettings` as it is entered.

    name: of the setting;  label: with its unit;  help: what it is;  factor: from the setting's unit to the
    page's;  whole: whether it is a whole number;  optional: whether it may be left empty.
    """

    name: str
    label: str
    help: str
    factor: float = 1.0
    whole: bool = False
    optional: bool = True

    def shown(self, settings: BeadSettings) -> str:
        """The value as a text in the unit of the page."""
        value = getattr(settings, self.name)
        return "" if value is None else f"{value * self.factor:.10g}"

    def read(self, text: str) -> Any:
        """The setting's value from a text; raises InputError where it is none."""
        value = parsed_number(text, self.label)
        if value is None:
            if not self.optional:
                raise InputError(f"{self.label}: give a number")
            return None
        if self.whole:
            if not value.is_integer():
                raise InputError(f"{self.label}: {text} is no whole number")
            return int(value)
        return value / self.factor


def parsed_number(text: str, label: str) -> float | None:
    """The number that a text is, None for an empty one; raises InputError for another text."""
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise InputError(f"{label}: '{text}' is no number") from None


def _help(option: Any) -> str:
    """What the command line says of an option, with names of settings in place of its flags."""
    said = next(each.help for each in get_args(option) if hasattr(each, "help"))
    return re.sub(r"With --stack objective: (\w)", lambda found: found[1].upper(), said)


RECORDING = (
    RecordingField("step_um", "Step (µm)", _help(bead_options.StepUm)),
    RecordingField("first_um", "First slice at (µm)", _help(bead_options.FirstUm)),
    RecordingField("bead_um", "Bead diameter (nm)", _help(bead_options.BeadNm), 1000.0, optional=False),
    RecordingField("bead_z_um", "Height above coverslip (µm)", _help(bead_options.BeadZUm)),
    RecordingField(
        "frames_per_slice", "Frames per slice", _help(bead_options.FramesPerSlice), whole=True, optional=False
    ),
    RecordingField("side_px", "Image of a bead (px)", _help(bead_options.SidePx), whole=True),
    RecordingField("pixel_um", "Camera pixel (nm)", _help(options.MoviePixel), 1000.0),
)
"""The numbers in the order of the page."""
