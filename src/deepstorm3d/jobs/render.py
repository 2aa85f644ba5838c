"""Render: a list of localizations becomes a super-resolved picture coloured by depth, with side views."""

from __future__ import annotations

from pathlib import Path

from ..analysis.figures import rendering_figure
from ..analysis.rendering import DepthRendering, render_depth
from ..errors import InputError
from ..io.parts import claim_name
from ..io.tables import read_table

__all__ = ["render_table"]


# Rendered pixels along the longer side of the field: a picture that a screen shows whole.
_PICTURE_PX = 800
_FINEST_NM = 10.0


def render_table(
    source: Path, out: Path, *, pixel_nm: float | None = None, overwrite: bool = False
) -> DepthRendering:
    """Draw the average shifted histogram of a list and write the picture; its ending names the format.

    pixel_nm: rendered pixel; None: 10 nm, or larger where single molecules of a wide field would be too
    small to be seen.  A table in nm that does not name the camera's pixel is drawn from its own origin
    (ThunderSTORM's is half a pixel from ours).
    Raises InputError for an empty list, an image too large, or a picture that cannot be written.
    """
    claim_name(out, overwrite=overwrite)
    # 0 takes positions in nm as they stand, unless the file names its pixel.
    table = read_table(source, pixel_um=0.0)
    if len(table) == 0:
        raise InputError(f"{source} holds no localization; there is nothing to render")
    if pixel_nm is None:
        extent_um = float((table.xyz[:, :2].amax(0) - table.xyz[:, :2].amin(0)).max())
        pixel_nm = max(_FINEST_NM, round(1000 * extent_um / _PICTURE_PX))
    rendering = render_depth(table, pixel_nm=pixel_nm)
    rendering_figure(rendering, out, title=source.name)
    return rendering
