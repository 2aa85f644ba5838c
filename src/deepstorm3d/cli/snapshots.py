"""The command for one snapshot's approximate truth: axial-scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import result, say, say_warning, show_table, table
from .making import Config
from .movie_options import Defects, Flip, Frames, Region, Transpose
from .options import Assignments, MoviePixel, Overwrite, defect_choice, frame_range, micrometres, region
from .progress import ScreenWatcher

__all__ = ["axial_scan"]


def axial_scan(
    stack: Annotated[
        Path,
        typer.Argument(metavar="STACK", help="z-stack without the mask, one plane in each frame, in order."),
    ],
    config: Config,
    step_um: Annotated[
        float,
        typer.Option(
            "--step-um",
            metavar="UM",
            help="Movement of the objective from plane to plane, µm; positive towards the sample.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="List to write: ThunderSTORM CSV, one frame.")
    ],
    first_focus_um: Annotated[
        float | None,
        typer.Option(
            "--first-focus-um",
            metavar="UM",
            help="Position of the objective in the first plane, µm from the focus on the coverslip. "
            "(default: the middle plane is at microscope.focus)",
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="IMAGE",
            help="Picture of the projection and of the profiles through the planes. (default: next to the "
            "list, .png)",
        ),
    ] = None,
    frames: Frames = None,
    roi: Region = None,
    flip: Flip = "none",
    transpose: Transpose = False,
    pixel_nm: MoviePixel = None,
    defects: Defects = "auto",
    assignments: Assignments = None,
    overwrite: Overwrite = False,
) -> None:
    """Find 3D positions in a z-stack of the standard PSF: an approximate truth for a snapshot with a mask."""
    from ..experiment.configure import find_experiment
    from ..io.movies.preparation import Prepared
    from ..io.parts import beside
    from ..jobs.axial_scan import FocalPlanes, scan_stack
    from ..localizing.excerpt import Excerpt

    picture = beside(out, ".png") if picture is None else picture
    prepared, said = Prepared(flip=flip, transpose=transpose), micrometres(pixel_nm)
    choice = defect_choice(defects)
    excerpt = Excerpt(stack, frame_range(frames), region(roi), prepared, pixel_um=said, defects=choice)
    with ScreenWatcher("rounds") as watch:
        found = scan_stack(
            excerpt,
            find_experiment(config, assignments or ()),
            out,
            FocalPlanes(step_um, first_focus_um),
            picture=picture,
            overwrite=overwrite,
            watch=watch,
        )
    shown = table("spot", "x (nm)", "y (nm)", "z (nm)", "σ x · y · z (nm)", "photons", "quality")
    for number, spot in enumerate(found.spots, 1):
        places = [f"{1000 * value:,.0f}" for value in spot.xyz]
        sigma = " · ".join(f"{1000 * value:.1f}" for value in spot.sigma)
        shown.add_row(str(number), *places, sigma, f"{spot.photons:,.0f}", f"{spot.quality:.3f}")
    show_table(shown)
    first, last = found.scan.focus[[0, -1]].tolist()
    planes = len(found.scan.focus)
    result(f"{out}: {len(found.spots)} spots in {planes} planes, travel {first:g} to {last:g} µm")
    for warning in found.warnings:
        say_warning(warning)
    for path in (out, picture):
        say(f"wrote {path}")
