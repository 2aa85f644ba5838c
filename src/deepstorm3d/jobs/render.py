"""Render: a list of localizations becomes a super-resolved picture coloured by depth, with side views."""

from __future__ import annotations

from pathlib import Path

from ..analysis.figures import rendering_figure
from ..analysis.matching import field_edges
from ..analysis.rendering import DepthRendering, render_depth
from ..errors import InputError
from ..io.parts import claim_name
from .reading import read_localizations

__all__ = ["render_table"]


def render_table(
    source: Path,
    out: Path,
    *,
    pixel_nm: float = 10.0,
    whole_frame: bool = False,
    overwrite: bool = False,
) -> DepthRendering:
    """Draw the average shifted histogram of a list and write the picture.

    pixel_nm: rendered pixel;  whole_frame: draw the camera's whole field, not only where there are
    localizations (a list that does not say the size of its frames keeps the smallest that holds it).
    Raises InputError for an empty list, an image too large, or a picture that cannot be written.
    """
    claim_name(out, overwrite=overwrite)
    # Where a list counts from matters little to a picture: half a pixel off if its file does not say.
    table, header = read_localizations(source)
    if len(table) == 0:
        raise InputError(f"{source} holds no localization; there is nothing to render")
    field = field_edges(header.shape, header.pixel_um) if whole_frame else None
    rendering = render_depth(table, pixel_nm=pixel_nm, field_um=field)
    rendering_figure(rendering, out, title=source.name)
    return rendering
