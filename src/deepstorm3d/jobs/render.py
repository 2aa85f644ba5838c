"""Render: a list of localizations becomes a super-resolved picture, a section, or a stack."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from ..emitters import Localizations
from ..errors import InputError, MissingPixelSize
from ..io.movies import MovieWriter
from ..io.parts import claim_name
from ..io.tables import read_list
from ..plot.panels import claim_picture, save_figure
from ..plot.rendered_views import section_figure, views_figure
from ..rendering.canvas import Method
from ..rendering.drawable import drawable, picture_pixel_nm
from ..rendering.sections import AXES, Axis, Box, Interval
from ..rendering.view import Look, View
from ..rendering.views import DepthRendering, Section, Stack, render_depth, render_section, render_stack
from ..watch import SILENT, Watcher, warn

__all__ = [
    "AS_USUAL",
    "Drawing",
    "is_data",
    "list_in_box",
    "render_section_table",
    "render_stack_table",
    "render_table",
]


@dataclass(frozen=True)
class Drawing:
    """How a list is drawn.

    method: `Gaussians`, or a histogram (None);  pixel_nm: rendered pixel; None: 10 nm, or larger where single
    molecules of a wide field would be too small to be seen;  box: the part that is drawn;  look: colours.
    """

    method: Method | None = None
    pixel_nm: float | None = None
    box: Box = field(default_factory=Box)
    look: Look = field(default_factory=Look)

    def pixel_of(self, table: Localizations) -> float:
        """The rendered pixel that was asked for, or one that suits the field, nm."""
        return picture_pixel_nm(table) if self.pixel_nm is None else self.pixel_nm

    def views_of(self, table: Localizations) -> DepthRendering:
        """The list from above and from two sides; raises InputError as `render_depth` does."""
        return render_depth(
            table, method=self.method, pixel_nm=self.pixel_of(table), box=self.box, look=self.look
        )


AS_USUAL = Drawing()


def render_table(
    source: Path,
    out: Path,
    drawing: Drawing = AS_USUAL,
    *,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> DepthRendering:
    """Draw a list from above and from the sides; the ending names the format.

    .tif: the densities seen from above, as data (float32, with pixel size and origin), without colours.
    A list in nm that does not name the camera's pixel is drawn from its own origin (ThunderSTORM's is half a
    pixel from ours). Rows far beyond all others, and rows without the σ that the method needs, are not drawn;
    watch: told so (`drawable`).
    Raises InputError for a list without rows in the box or without the σ that the method needs, an image too
    large, or a picture that cannot be written.
    """
    _claim(out, overwrite=overwrite)
    rendering = drawing.views_of(list_in_box(source, drawing, watch=watch))
    if is_data(out):
        _write_density(out, rendering.xy, rendering.pixel_um, overwrite=overwrite)
    else:
        save_figure(views_figure(rendering, title=source.name), out)
    return rendering


def _claim(out: Path, *, overwrite: bool) -> None:
    """Raise InputError where neither data nor a picture can be written there."""
    (claim_name if is_data(out) else claim_picture)(out, overwrite=overwrite)


def render_section_table(
    source: Path,
    out: Path,
    across: Axis,
    between_um: Interval,
    drawing: Drawing = AS_USUAL,
    *,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> Section:
    """Draw what lies between two planes: across z it is x–y, across y x–z, across x y–z.

    Errors as in `render_table`.
    """
    _claim(out, overwrite=overwrite)
    box = drawing.box.section(across, between_um)
    table = list_in_box(source, replace(drawing, box=box), watch=watch)
    section = render_section(
        table, across, method=drawing.method, pixel_nm=drawing.pixel_of(table), box=box, look=drawing.look
    )
    if is_data(out):
        _write_density(out, section.view, section.pixel_um, overwrite=overwrite)
    else:
        save_figure(section_figure(section, title=source.name), out)
    return section


def render_stack_table(
    source: Path,
    out: Path,
    drawing: Drawing = AS_USUAL,
    *,
    plane_nm: float = 100.0,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> Stack:
    """Write the list as localizations per voxel (z, y, x): float32 TIFF that ImageJ opens with its voxels.

    plane_nm: from plane to plane. Planes are written one by one: the stack may be larger than the memory.
    Errors as in `render_table`.
    """
    if not is_data(out):
        raise InputError(f"{out}: a stack is written as .tif, not '{out.suffix}'")
    claim_name(out, overwrite=overwrite)
    table = list_in_box(source, drawing, watch=watch)
    stack = render_stack(
        table, method=drawing.method, pixel_nm=drawing.pixel_of(table), plane_nm=plane_nm, box=drawing.box
    )
    planes, *shape = stack.shape
    canvas = stack.canvas
    with MovieWriter(
        out,
        frames=planes,
        shape=(shape[0], shape[1]),
        pixel_um=canvas.pixel_um,
        spacing_um=plane_nm / 1000,
        dtype="float32",
        overwrite=overwrite,
    ).begins_at(canvas.left, canvas.top, float(stack.z_um[0])) as writer:
        for plane in stack.planes():
            writer.append(plane[None])
    return stack


def is_data(out: Path) -> bool:
    """Whether a file of this ending holds the densities themselves, not a picture of them."""
    return out.suffix.lower() in (".tif", ".tiff")


def list_in_box(source: Path, drawing: Drawing, *, watch: Watcher = SILENT) -> Localizations:
    """The rows to be drawn (`drawable`); raises InputError where none of them lies in the box."""
    box = drawing.box
    try:
        # 0 takes positions in nm as they stand, unless the file names its pixel.
        table, header = read_list(source, pixel_um=0.0)
    except MissingPixelSize as error:
        raise MissingPixelSize(
            error.what, f"give it to {source.name} first (`convert`), and draw what is written"
        ) from error
    if len(table) == 0:
        raise InputError(f"{source} holds no localization; there is nothing to render")
    box.refuse_wide(table.xyz.double().numpy())
    if not box.inside(table.xyz.double().numpy()).any():
        low, high = (ends.tolist() for ends in (table.xyz.amin(0), table.xyz.amax(0)))
        extent = ", ".join(f"{axis} {a:z.2f} to {b:z.2f}" for axis, a, b in zip(AXES, low, high, strict=True))
        in_nm = box.perhaps_in_nm(table.xyz.double().numpy())
        raise InputError(
            f"{source} holds no localization in what is to be drawn; the list spans {extent} µm",
            "clipping planes are in µm, not nm" if in_nm else "",
        )
    table, notes = drawable(table, box, by_sigma=drawing.method is not None and drawing.method.needs_sigma)
    for note in (*header.notes, *notes):
        warn(watch, note)
    return table


def _write_density(out: Path, view: View, pixel_um: float, *, overwrite: bool) -> None:
    height, width = view.density.shape
    left, top, *_ = view.edges_um
    with MovieWriter(
        out, frames=1, shape=(height, width), pixel_um=pixel_um, dtype="float32", overwrite=overwrite
    ).begins_at(left, top) as writer:
        writer.append(view.density[None])
