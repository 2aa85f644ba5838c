"""Pictures: each takes what was computed and a target (path or open file); nothing is computed anew here."""

from __future__ import annotations

from .overlay import overlay_figure
from .pixels import histogram_figure
from .rendering import rendering_figure
from .scatter import truth_figure

__all__ = ["histogram_figure", "overlay_figure", "rendering_figure", "truth_figure"]
