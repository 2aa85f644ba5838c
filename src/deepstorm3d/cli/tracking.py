"""The command for moving molecules: track."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .console import result, say, say_warning, show_table, table
from .options import CameraPixel, ListFile, ListOut, Overwrite
from .progress import ScreenWatcher

if TYPE_CHECKING:
    from ..analysis.trajectories import Trajectories

__all__ = ["track"]


def track(
    locs: ListFile,
    out: ListOut,
    range_nm: Annotated[
        float | None,
        typer.Option(
            "--range",
            metavar="NM",
            help="How far a molecule may move from frame to frame in x and y, nm. (default: 4 to 6 σ of the "
            "steps that the list shows, axis by axis)",
        ),
    ] = None,
    axial_nm: Annotated[
        float | None,
        typer.Option("--axial-range", metavar="NM", help="How far it may move in z, nm. (default: as --range)"),
    ] = None,
    gap: Annotated[
        int,
        typer.Option(
            "--gap", metavar="FRAMES", help="Number of successive frames in which a molecule may be missing."
        ),
    ] = 1,
    least: Annotated[
        int,
        typer.Option("--least", metavar="FRAMES", help="Remove trajectories with fewer rows than this."),
    ] = 3,
    interval: Annotated[
        float | None,
        typer.Option(
            "--interval",
            metavar="SECONDS",
            help="Time from frame to frame. (default: the diffusion coefficient is given per frame)",
        ),
    ] = None,
    exposure: Annotated[
        float,
        typer.Option(
            "--exposure", metavar="SECONDS", help="How long the shutter is open in each frame (motion blur)."
        ),
    ] = 0.0,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="IMAGE",
            help="Draw trajectories and mean squared displacement (.png, .pdf, .svg).",
        ),
    ] = None,
    pixel_nm: CameraPixel = None,
    overwrite: Overwrite = False,
) -> None:
    """Follow moving molecules from frame to frame: number their trajectories and measure diffusion."""
    from ..analysis.tracking import SearchRange
    from ..analysis.trajectories import FrameTiming, TrackRule
    from ..jobs.track import track_table

    if range_nm is None and axial_nm is not None:
        raise InputError("--axial-range goes with --range; give both, or neither to take it from the list")
    axial_nm = range_nm if axial_nm is None else axial_nm
    reach = None if range_nm is None or axial_nm is None else SearchRange(range_nm / 1000, axial_nm / 1000)
    rule = TrackRule(reach, gap=gap, least=least, timing=FrameTiming(interval, exposure))
    with ScreenWatcher("frames") as watch:
        done = track_table(
            locs,
            out,
            rule,
            picture=picture,
            pixel_nm=pixel_nm,
            overwrite=overwrite,
            watch=watch,
        )
    _print_tracks(out, done, "s" if interval else "frame")
    for path in (out, picture):
        if path is not None:
            say(f"wrote {path}")
    for warning in done.warnings:
        say_warning(warning)


def _print_tracks(out: Path, done: Trajectories, per: str) -> None:
    if done.reach is not None:
        reach = done.reach
        wrong = "" if reach.wrong is None else f"; about {100 * reach.wrong:.2g} % of links wrong"
        result(
            f"search range {1000 * reach.lateral_um:.0f} nm in x and y, {1000 * reach.axial_um:.0f} nm in z: "
            f"{reach.reason}{wrong}"
        )
    result(
        f"{out}: {done.tracks} trajectories of {done.kept} of {done.rows} localizations; median length "
        f"{done.median_length:g} rows, longest {done.longest}; median step {1000 * done.step_um:.0f} nm in 3D"
    )
    if done.diffusion is None:
        return
    shown = table("axis", f"D (µm²/{per})", "localization error (nm)", "σ of the list (nm)")
    for name, axis, stated in zip("xyz", done.diffusion.axes, done.stated_sigma_um, strict=True):
        shown.add_row(
            name,
            f"{axis.coefficient:.4g} ± {axis.coefficient_error:.2g}",
            f"{1000 * axis.sigma_um:.1f} ± {1000 * axis.sigma_error_um:.1f}",
            f"{1000 * stated:.1f}" if stated > 0 else "–",
        )
    show_table(shown)
    found = done.diffusion
    result(
        f"D = {found.coefficient:.4g} ± {found.coefficient_error:.2g} µm²/{per} of {found.steps} steps of "
        f"{found.tracks} molecules (covariance estimator)"
    )
