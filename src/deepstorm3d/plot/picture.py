"""The figure class of every picture: matplotlib's own, which also displays itself in a notebook.

This module imports matplotlib, and is imported only when a picture is drawn (`panels.new_figure`).
"""

from __future__ import annotations

from matplotlib.figure import Figure

from .panels import figure_png

__all__ = ["Picture"]


class Picture(Figure):
    """A matplotlib figure without pyplot: no window, no list of open figures, freed like any other object.

    A notebook displays a plain `Figure` only after pyplot has been imported; this one displays itself.
    """

    def _repr_png_(self) -> bytes:
        """A PNG file; Jupyter calls this to display the picture."""
        return figure_png(self)
