"""The command that finds the mask of a microscope from its beads: retrieve-mask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import InputError
from .console import result, say, say_warning
from .making import Config
from .options import Assignments, Overwrite
from .progress import ProgressLine

if TYPE_CHECKING:
    from ..jobs.retrieve_mask import Retrieval

__all__ = ["retrieve_mask"]


def retrieve_mask(
    beads: Annotated[
        list[Path],
        typer.Argument(
            metavar="BEADS...",
            help="Stacks of beads, raw counts of the camera: TIFF, ND2, raw or .npy files, folders of TIFFs, "
            "Zarr or NDTiff. One slice after the other, one bead or many in each.",
        ),
    ],
    config: Config,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Mask to write, rad: .npy, .mat or .tif.")],
    stack: Annotated[
        Literal["objective", "depth"],
        typer.Option(
            "--stack",
            help="What moved from slice to slice. objective: the focus (objective, piezo or stage), beads stay "
            "on the coverslip; positions count the objective's travel towards the sample from the focus on the "
            "coverslip. depth: the beads themselves, the focus stayed; positions are depths in the sample.",
        ),
    ] = "objective",
    step_um: Annotated[
        float | None,
        typer.Option(
            "--step-um",
            metavar="S",
            help="Distance from slice to slice, µm. Negative where the objective moves away from the sample "
            "(or the beads towards the coverslip). (default: the slices span the experiment's z range)",
        ),
    ] = None,
    first_um: Annotated[
        float | None,
        typer.Option(
            "--first-um",
            metavar="P",
            help="Position of the first slice, µm. (default: objective, the middle slice is in focus on the "
            "coverslip; depth, the end of the experiment's z range)",
        ),
    ] = None,
    positions: Annotated[
        Path | None,
        typer.Option(
            "--positions",
            metavar="FILE",
            help="Text file with the position of each slice, µm, one a line (of several columns the last).",
        ),
    ] = None,
    bead_nm: Annotated[
        float, typer.Option("--bead-nm", metavar="D", min=0.0, max=2000.0, help="Diameter of the beads, nm.")
    ] = 100.0,
    bead_z_um: Annotated[
        float | None,
        typer.Option(
            "--bead-z-um",
            metavar="Z",
            help="objective: height of the beads' middle over the coverslip, µm. (default: half a diameter)",
        ),
    ] = None,
    frames_per_slice: Annotated[
        int,
        typer.Option("--frames-per-slice", metavar="N", min=1, help="Exposures of each slice, added up."),
    ] = 1,
    side_px: Annotated[
        int | None,
        typer.Option(
            "--side-px",
            metavar="W",
            min=11,
            help="Side of the square around a bead, camera pixels, odd. (default: by the light it holds)",
        ),
    ] = None,
    defocus: Annotated[
        Literal["mask", "focus"],
        typer.Option(
            "--defocus",
            help="Beads cannot tell defocus in the mask from a wrong zero of the positions. mask: positions "
            "are right, on the scale of microscope.focus. focus: the mask has the defocus of the design, and "
            "microscope.focus of --experiment-out changes instead.",
        ),
    ] = "mask",
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", metavar="IMAGE", help="Picture that shows whether it worked. (default: OUT.png)"
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all figures there, slice by slice.")
    ] = None,
    experiment_out: Annotated[
        Path | None,
        typer.Option(
            "--experiment-out",
            metavar="FILE",
            help="Write CONFIG there with the mask, the focus and the blur that were found.",
        ),
    ] = None,
    assignments: Assignments = None,
    overwrite: Overwrite = False,
) -> None:
    """Find the phase mask of your microscope, aberrations included, from z-stacks of beads."""
    from ..jobs import retrieve_mask as job
    from ..jobs.configure import find_experiment
    from ..jobs.retrieval_report import claim_outputs, write_retrieval

    experiment = find_experiment(config, assignments or ())
    if positions is not None and (step_um is not None or first_um is not None):
        raise InputError("give --positions, or --step-um and --first-um, not both")
    if step_um == 0:
        raise InputError("--step-um 0: the slices must differ in position")
    shown = out.with_suffix(".png") if picture is None else picture
    claim_outputs([out, shown, json, experiment_out], overwrite=overwrite)
    settings = job.BeadSettings(
        moves=stack,
        step_um=step_um,
        first_um=first_um,
        positions=positions,
        bead_um=bead_nm / 1000,
        bead_z_um=bead_z_um,
        frames_per_slice=frames_per_slice,
        side_px=side_px,
        defocus=defocus,
    )
    with ProgressLine("rounds") as line:
        retrieval = job.retrieve_mask(experiment, beads, settings, on_progress=line.update)
    write_retrieval(retrieval, out, picture=shown, json_out=json, experiment_out=experiment_out)
    for sentence in retrieval.warnings:
        say_warning(sentence)
    _print(retrieval)
    for path in (out, shown, json, experiment_out):
        if path is not None:
            say(f"wrote {path}")


def _print(retrieval: Retrieval) -> None:
    f = retrieval.figures
    result(
        f"{f['beads']} beads, {f['images_used']} of {f['images']} images: correlation {f['correlation']:.4f} "
        f"(design alone {f['correlation_of_design']:.2f}), deviance {f['deviance_over_noise']:.3f} of what "
        f"noise gives, {100 * f['unexplained_share']:.2f} % of the signal unexplained"
    )
    result(
        f"phase over the design: {f['phase_over_design_rad_rms']:.2f} rad rms "
        f"({f['phase_over_design_nm_rms']:.0f} nm) without defocus; defocus as a change of focus: "
        f"{f['defocus_over_design_um']:+.3f} µm"
    )
    result(
        f"each slice localized: z {f['z_bias_nm']:.1f} nm off on average, scatter "
        f"{f['z_scatter_over_bound']:.2f} × the bound of {f['z_bound_nm']:.1f} nm; "
        f"blur of a bead {f['bead_blur_px']:.2f} px, "
        f"of a point {f['point_blur_px']:.2f} px; {f['seconds']:.0f} s"
    )
