"""What an estimate or the measurement of a camera found, in lines for the page."""

from __future__ import annotations

from typing import Any

from ...calibration.movie_statistics.channels import ChannelsEstimate
from ...calibration.movie_statistics.estimate import Estimate
from ...frames.similarity import Similarity
from ...jobs.camera_maps import CameraMaps

__all__ = ["found_lines"]


def found_lines(found: Any) -> list[tuple[str, str]]:
    """Class of the page's style, and text, of each line; none where nothing was found."""
    if isinstance(found, CameraMaps):
        return [("ds-number", line) for line in found.lines()] + [("ds-doubt", line) for line in found.warnings]
    if isinstance(found, ChannelsEstimate):
        names = found.experiment.channel_names
        alike = [
            f"{name}: {light:.1%} of the light, {level:.1%} of the background; {_alike(alone.similarity)}"
            for name, alone, light, level in zip(names, found.alone, found.light, found.levels, strict=True)
        ]
    elif isinstance(found, Estimate):
        alike = [_alike(found.similarity)]
    else:
        return []
    return [
        *(("ds-number", f"{key}: {_value(old)} → {_value(new)}") for key, old, new in found.changes),
        *(("ds-number", line) for line in alike),
        *(("ds-words", note) for note in found.notes),
        *(("ds-doubt", warning) for warning in found.warnings),
    ]


def _alike(likeness: Similarity) -> str:
    return (
        f"simulated against real frames (0: alike): pixel values {likeness.values:.2f}, local contrasts "
        f"{likeness.contrasts:.2f}, power spectra {likeness.spectra:.2f}"
    )


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(each)}" for key, each in value.items())
    if isinstance(value, list):
        return " to ".join(_value(each) for each in value)
    return "–" if value is None else f"{value:,.5g}" if isinstance(value, float) else str(value)
