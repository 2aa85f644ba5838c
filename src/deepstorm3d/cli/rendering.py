"""The command that draws a list: pictures, sections, stacks, and a standard microscope beside them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import InputError
from .console import result
from .options import ListFile, Overwrite
from .progress import REMARKS

if TYPE_CHECKING:
    from ..jobs.render import Drawing
    from ..jobs.render_beside import Beside
    from ..rendering.canvas import Method
    from ..rendering.sections import Axis, Interval
    from ..rendering.views import DepthRendering, Section

__all__ = ["render"]


def _clip(axis: str) -> typer.models.OptionInfo:
    return typer.Option(
        f"--{axis}", metavar="A:B", help=f"Draw only {axis} from A to B, µm; either end may be left out."
    )


def render(
    locs: ListFile,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="IMAGE",
            help="Picture to write (.png, .pdf, .svg), or the densities as data (.tif, float32).",
        ),
    ],
    method: Annotated[
        Literal["histogram", "gaussian"] | None,
        typer.Option(
            "--method",
            help="Average shifted histogram, or a Gaussian as wide as each localization is uncertain. "
            "(default: histogram; gaussian with --blur)",
        ),
    ] = None,
    blur: Annotated[
        float | None,
        typer.Option("--blur", metavar="NM", help="Gaussians of this σ for all localizations, nm."),
    ] = None,
    colour: Annotated[
        Literal["depth", "dye", "molecule", "none"],
        typer.Option(
            "--colour",
            help="depth: colour shows the depth; dye: the dye; molecule: each molecule of several frames has a "
            "colour of its own; none: brightness only.",
        ),
    ] = "depth",
    pixel_nm: Annotated[
        float | None,
        typer.Option(
            "--pixel-nm",
            metavar="NM",
            help="Pixel of the picture (not of the camera), nm. (default: 10, more for a wide field)",
        ),
    ] = None,
    x: Annotated[str | None, _clip("x")] = None,
    y: Annotated[str | None, _clip("y")] = None,
    z: Annotated[str | None, _clip("z")] = None,
    section: Annotated[
        str | None,
        typer.Option(
            "--section",
            metavar="AXIS=UM",
            help="One section instead of three views: z=1.2 draws x–y at that depth, y=… x–z, x=… y–z.",
        ),
    ] = None,
    stack: Annotated[
        bool,
        typer.Option(
            "--stack", help="Write a stack (z, y, x) of localizations per voxel, .tif with its voxel size."
        ),
    ] = False,
    thickness_nm: Annotated[
        float,
        typer.Option(
            "--thickness-nm", metavar="NM", help="Thickness of the section, or of each plane of the stack, nm."
        ),
    ] = 100.0,
    beside: Annotated[
        str | None,
        typer.Option(
            "--beside",
            metavar="standard|FILE",
            help="Draw a diffraction-limited image beside the view from above: the list through a standard "
            "PSF, a Gaussian of σ = 0.21 λ/NA, all depths in focus; or a TIFF of that field, registered to it.",
        ),
    ] = None,
    na: Annotated[
        float | None,
        typer.Option(
            "--na",
            metavar="NA",
            help="Numerical aperture of the standard PSF. (default: that of the list's own microscope)",
        ),
    ] = None,
    wavelength_nm: Annotated[
        float | None,
        typer.Option(
            "--wavelength-nm",
            metavar="NM",
            help="Wavelength of the standard PSF, nm. (default: that of the list's own microscope)",
        ),
    ] = None,
    beside_pixel_nm: Annotated[
        float | None,
        typer.Option(
            "--beside-pixel-nm",
            metavar="NM",
            help="Pixel of the --beside FILE in the sample, nm, in place of the file's.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw the super-resolved image: coloured by depth, from three sides, as a section or as a stack."""
    from ..jobs.render import Drawing, render_section_table, render_table
    from ..jobs.render_beside import MeasuredImage, StandardPSF, render_beside
    from ..rendering.sections import Box
    from ..rendering.view import Look

    _refuse_together(section, stack, beside)
    box = Box(_interval("x", x), _interval("y", y), _interval("z", z))
    drawing = Drawing(_method(method, blur), pixel_nm, box, Look(colour=colour))
    if stack:
        _stack(locs, out, thickness_nm, drawing, overwrite=overwrite)
    elif section is not None:
        axis, at_um = _plane(section)
        half_um = thickness_nm / 2000
        between_um = (at_um - half_um, at_um + half_um)
        cut = render_section_table(locs, out, axis, between_um, drawing, overwrite=overwrite, watch=REMARKS)
        _say(out, cut)
    elif beside is not None:
        pair = render_beside(
            locs,
            out,
            None if beside == "standard" else MeasuredImage(Path(beside), beside_pixel_nm),
            drawing,
            standard=StandardPSF(na, wavelength_nm),
            overwrite=overwrite,
            watch=REMARKS,
        )
        _say(out, pair.rendering)
        _say_beside(pair)
    else:
        _say(out, render_table(locs, out, drawing, overwrite=overwrite, watch=REMARKS))


def _refuse_together(section: str | None, stack: bool, beside: str | None) -> None:
    if sum((section is not None, stack, beside is not None)) > 1:
        raise InputError(
            "--section, --stack and --beside write three different pictures: give one of them (--x, --y and "
            "--z limit what any of them shows)"
        )


def _method(name: str | None, blur_nm: float | None) -> Method:
    from ..rendering.gaussians import Gaussians
    from ..rendering.histograms import ShiftedHistogram

    if name == "histogram" and blur_nm is not None:
        raise InputError("--blur draws Gaussians; leave out --method histogram")
    if (name is None and blur_nm is None) or name == "histogram":
        return ShiftedHistogram()
    return Gaussians(None if blur_nm is None else blur_nm / 1000)


def _interval(axis: str, text: str | None) -> Interval:
    """``A:B`` in µm; either may be left out."""
    low, colon, high = (text or ":").partition(":")
    try:
        if not colon:
            raise ValueError
        return float(low) if low.strip() else -math.inf, float(high) if high.strip() else math.inf
    except ValueError:
        raise InputError(f"--{axis} {text}: write A:B in µm, e.g. 1.5:2 or 1.5:") from None


def _plane(text: str) -> tuple[Axis, float]:
    """``z=1.2``: the axis that the section lies across, and where, µm."""
    name, _, value = text.partition("=")
    axes: dict[str, Axis] = {"x": "x", "y": "y", "z": "z"}
    try:
        return axes[name.strip().lower()], float(value)
    except (KeyError, ValueError):
        raise InputError(f"--section {text}: write z=, y= or x= and a position in µm, e.g. z=1.2") from None


def _stack(locs: Path, out: Path, plane_nm: float, drawing: Drawing, *, overwrite: bool) -> None:
    from ..jobs.render import render_stack_table

    stack = render_stack_table(locs, out, drawing, plane_nm=plane_nm, overwrite=overwrite, watch=REMARKS)
    (planes, height, width), pixel_nm = stack.shape, 1000 * stack.canvas.pixel_um
    result(
        f"{out}: {len(stack.cloud)} localizations, {planes} planes of {width} × {height} pixels, voxels of "
        f"{pixel_nm:g} × {pixel_nm:g} × {plane_nm:g} nm"
    )


def _say(out: Path, drawn: DepthRendering | Section) -> None:
    shallow, deep = drawn.z_range_um
    result(
        f"{out}: {drawn.localizations} localizations, depth {shallow:z.2f} to {deep:z.2f} µm, "
        f"{1000 * drawn.pixel_um:g} nm pixels"
    )


def _say_beside(pair: Beside) -> None:
    if pair.registration is None:
        result(
            "beside it: the list through a standard PSF, simulated, not measured: a Gaussian of "
            f"σ = 0.21 λ/NA = {1000 * pair.sigma_um:.0f} nm, every depth in focus"
        )
        return
    down, right = (1000 * pair.pixel_um * shift for shift in pair.registration.shift_px)
    result(
        f"beside it: the measured image, moved by {right:.0f} nm in x and {down:.0f} nm in y; correlation with "
        f"the list at σ = {1000 * pair.sigma_um:.0f} nm: {pair.registration.correlation:.2f} (at any other "
        f"shift at most {pair.registration.rival:.2f})"
    )
