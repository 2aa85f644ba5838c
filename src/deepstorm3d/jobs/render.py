"""Render: a list of localizations becomes a super-resolved picture coloured by depth, with side views."""

from __future__ import annotations

from pathlib import Path

from ..analysis.figures import rendering_figure
from ..analysis.rendering import DepthRendering, render_depth
from ..errors import InputError
from ..io.parts import claim_name
from ..io.tables import read_table

__all__ = ["render_table"]


def render_table(source: Path, out: Path, *, pixel_nm: float = 10.0, overwrite: bool = False) -> DepthRendering:
    """Draw the average shifted histogram of a list and write the picture; its ending names the format.

    pixel_nm: rendered pixel.  A CSV that does not name the camera's pixel is drawn from the corner of the
    first pixel, half a pixel from ours.
    Raises InputError for an empty list, an image too large, or a picture that cannot be written.
    """
    claim_name(out, overwrite=overwrite)
    # 0 takes a ThunderSTORM table's positions as they stand, unless it names its pixel.
    table = read_table(source, pixel_um=0.0 if source.suffix.lower() == ".csv" else None)
    if len(table) == 0:
        raise InputError(f"{source} holds no localization; there is nothing to render")
    rendering = render_depth(table, pixel_nm=pixel_nm)
    rendering_figure(rendering, out, title=source.name)
    return rendering
