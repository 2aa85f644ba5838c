"""Commands that make a better list of a list: filter, link."""

from __future__ import annotations

from typing import Annotated

import typer

from .console import result, say_warning
from .options import CameraPixel, ListFile, ListOut, Overwrite

__all__ = ["filter_list", "link_list"]


def filter_list(
    locs: ListFile,
    expression: Annotated[
        str,
        typer.Argument(
            metavar="EXPR",
            help="Condition on columns, e.g. 'sigma_z_nm < 40 & photons > 2000': < <= > >= == != (also "
            "10 < z_nm < 500), & | ~, + - * / **, abs sqrt log10 min max. Columns: x_nm y_nm z_nm frame (from "
            "0) photons background probability sigma_x_nm sigma_y_nm sigma_z_nm sigma_xy_nm sigma_photons "
            "sigma_background fit_quality detections track molecule share sigma_share dye dye_probability; "
            "ThunderSTORM's names too.",
        ),
    ],
    out: ListOut,
    pixel_nm: CameraPixel = None,
    overwrite: Overwrite = False,
) -> None:
    """Keep the rows that meet a condition on photons, σ, depth, frame or any other column."""
    from ..jobs.filter import filter_table

    summary = filter_table(locs, expression, out, pixel_nm=pixel_nm, overwrite=overwrite)
    for warning in summary.warnings:
        say_warning(warning)
    result(
        f"{out}: {summary.after} of {summary.before} localizations kept"
        + (f", {100 * summary.share:.1f} %" if summary.before else "")
    )


def link_list(
    locs: ListFile,
    out: ListOut,
    radius_nm: Annotated[
        float | None,
        typer.Option(
            "--radius-nm",
            metavar="R",
            help="Largest lateral distance between rows of one molecule, nm. (default: 3 σ of the difference)",
        ),
    ] = None,
    axial_nm: Annotated[
        float | None,
        typer.Option(
            "--axial-nm", metavar="Z", help="Largest distance in depth, nm. (default: as --radius-nm)"
        ),
    ] = None,
    dark: Annotated[
        int,
        typer.Option(
            "--dark", metavar="FRAMES", help="Number of successive frames in which a molecule may be missing."
        ),
    ] = 1,
    pixel_nm: CameraPixel = None,
    overwrite: Overwrite = False,
) -> None:
    """Merge the rows of a molecule that is seen in several frames into one, more precise row.

    Where the fit has found molecules over several frames, the list says which rows these are (column
    molecule): their position and σ stay, the photons are summed, and the options have no part in it.
    """
    from ..analysis.linking import LinkRule
    from ..errors import InputError
    from ..jobs.link import link_table

    if radius_nm is None and axial_nm is not None:
        raise InputError("--axial-nm goes with --radius-nm; give both, or neither to join by σ")
    axial_nm = radius_nm if axial_nm is None else axial_nm
    rule = LinkRule(
        radius_um=None if radius_nm is None else radius_nm / 1000,
        axial_um=None if axial_nm is None else axial_nm / 1000,
        dark=dark,
    )
    summary = link_table(locs, out, rule, pixel_nm=pixel_nm, overwrite=overwrite)
    for warning in summary.warnings:
        say_warning(warning)
    result(
        f"{out}: {summary.molecules} molecules of {summary.rows} localizations, {summary.seen_once} seen once"
    )
    if summary.spread_over_sigma is not None:
        x, y, z = summary.spread_over_sigma
        result(f"scatter within molecules over σ: {x:.2f} in x, {y:.2f} in y, {z:.2f} in z (1: the σ are true)")
