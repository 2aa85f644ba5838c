"""The figure that every picture is: matplotlib's own, which besides shows itself in a notebook.

This module imports matplotlib, and is itself imported only where a picture is drawn (`panels.new_figure`).
"""

from __future__ import annotations

from matplotlib.figure import Figure

from .panels import figure_png

__all__ = ["Picture"]


class Picture(Figure):
    """A matplotlib figure without pyplot: no window, no list of open figures, freed like any other object.

    A notebook shows a plain `Figure` only once pyplot has been imported; this one shows itself.
    """

    def _repr_png_(self) -> bytes:
        """What Jupyter calls to show the picture: a PNG file."""
        return figure_png(self)
