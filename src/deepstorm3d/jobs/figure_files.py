"""Files of a measurement: its figures as JSON, and their picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..io.parts import claim_name, refuse_same_names, write_text
from ..plot.panels import claim_picture, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FigureFiles"]


@dataclass(frozen=True)
class FigureFiles:
    """Where the figures of a measurement and their picture are written; None: they are not.

    json: file of the figures;  picture: .png, .pdf or .svg;  overwrite: replace files that exist.
    """

    json: Path | None = None
    picture: Path | None = None
    overwrite: bool = False

    def claim(self) -> None:
        """Check both before any work is done: raises InputError as `claim_name` and `claim_picture`."""
        refuse_same_names([self.json, self.picture])
        if self.json is not None:
            claim_name(self.json, overwrite=self.overwrite)
        if self.picture is not None:
            claim_picture(self.picture, overwrite=self.overwrite)

    def write(self, figures: Mapping[str, Any], draw: Callable[[], Figure]) -> None:
        """Write the figures (plain values), and the picture, which is drawn only if it has a file."""
        if self.json is not None:
            write_text(self.json, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
        if self.picture is not None:
            save_figure(draw(), self.picture)
