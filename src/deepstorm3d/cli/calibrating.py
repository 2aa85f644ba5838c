"""The commands that look at beads: retrieve-mask, measure-psf."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .bead_options import (
    BeadNm,
    Beads,
    BeadsAt,
    BeadZUm,
    ChipPx,
    FirstUm,
    FramesPerSlice,
    Places,
    Positions,
    SidePx,
    Stack,
    StepUm,
)
from .console import result, say, say_warning
from .making import Config
from .movie_options import Defects
from .options import Assignments, MoviePixel, Overwrite, defect_choice, micrometres
from .progress import ScreenWatcher

__all__ = ["measure_psf", "retrieve_mask"]


def retrieve_mask(
    beads: Beads,
    config: Config,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Mask to write, rad: .npy, .mat or .tif.")],
    stack: Stack = "objective",
    step_um: StepUm = None,
    first_um: FirstUm = None,
    positions: Positions = None,
    bead_nm: BeadNm = 100.0,
    bead_z_um: BeadZUm = None,
    frames_per_slice: FramesPerSlice = 1,
    side_px: SidePx = None,
    beads_at: BeadsAt = None,
    places: Places = None,
    chip_px: ChipPx = None,
    pixel_nm: MoviePixel = None,
    defects: Defects = "auto",
    defocus: Annotated[
        Literal["mask", "focus"],
        typer.Option(
            "--defocus",
            help="Beads cannot distinguish a defocus of the mask from a wrong zero of the positions. mask: "
            "the positions are right and count like microscope.focus. focus: the mask has the defocus "
            "of the design, and microscope.focus of --experiment-out changes instead.",
        ),
    ] = "mask",
    amplitude: Annotated[
        bool,
        typer.Option(
            "--amplitude",
            help="Also fit the distribution of light over the pupil (psf.transmission of "
            "--experiment-out): for "
            "bright beads that the phase alone does not explain.",
        ),
    ] = False,
    fit_positions: Annotated[
        bool,
        typer.Option(
            "--fit-positions",
            help="Also fit the position of each slice, starting from the given ones: for a stage whose steps "
            "are uneven or uncertain. The zero of the positions stays.",
        ),
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="IMAGE",
            help="Picture of beads, fit and mask, to judge the result. (default: OUT.png)",
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write all numbers to this file, slice by slice."),
    ] = None,
    field: Annotated[
        Path | None,
        typer.Option(
            "--field",
            metavar="IMAGE",
            help="Picture of how aberrations differ across the field; needs 4 beads or more that span it.",
        ),
    ] = None,
    experiment_out: Annotated[
        Path | None,
        typer.Option(
            "--experiment-out",
            metavar="FILE",
            help="Experiment file to write: CONFIG with all that was found (mask, blur, focus, light, "
            "aberrations across the field).",
        ),
    ] = None,
    assignments: Assignments = None,
    overwrite: Overwrite = False,
) -> None:
    """Find the phase mask of your microscope, aberrations included, from z-stacks of beads."""
    from ..calibration.beads.settings import BeadSettings
    from ..calibration.phase_retrieval.field_aberrations import FEWEST_BEADS
    from ..calibration.phase_retrieval.retrieval import Unknowns
    from ..calibration.phase_retrieval.summary import summary_lines
    from ..experiment.configure import find_experiment
    from ..jobs.retrieve_mask import RetrievalFiles
    from ..jobs.retrieve_mask import retrieve_mask as retrieve

    experiment = find_experiment(config, assignments or ())
    files = RetrievalFiles(out, picture, json, field, experiment_out, overwrite)
    settings = BeadSettings(
        moves=stack,
        step_um=step_um,
        first_um=first_um,
        positions=positions,
        bead_um=bead_nm / 1000,
        bead_z_um=bead_z_um,
        frames_per_slice=frames_per_slice,
        side_px=side_px,
        beads_at=beads_at,
        places=places,
        chip_px=chip_px,
        pixel_um=micrometres(pixel_nm),
        defects=defect_choice(defects),
    )
    with ScreenWatcher("rounds") as watch:
        unknowns = Unknowns(defocus, amplitude, fit_positions)
        retrieval = retrieve(experiment, beads, settings, files, unknowns, watch=watch)
    for sentence in retrieval.warnings:
        say_warning(sentence)
    for line in summary_lines(retrieval):
        result(line)
    if retrieval.field is None and field is not None:
        say_warning(f"{field} is not written: it needs {FEWEST_BEADS} beads or more that span the field")
        field = None
    for path in (out, files.shown, json, field, experiment_out):
        if path is not None:
            say(f"wrote {path}")


def measure_psf(
    beads: Beads,
    config: Config,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="PSF to write: a stack (.tif), or for Picasso (.hdf5), smappy (.h5) or SMAP (.mat).",
        ),
    ],
    stack: Stack = "objective",
    step_um: StepUm = None,
    first_um: FirstUm = None,
    positions: Positions = None,
    bead_nm: BeadNm = 100.0,
    bead_z_um: BeadZUm = None,
    frames_per_slice: FramesPerSlice = 1,
    side_px: SidePx = None,
    beads_at: BeadsAt = None,
    pixel_nm: MoviePixel = None,
    defects: Defects = "auto",
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="IMAGE", help="Picture of the PSF. (default: OUT.png)")
    ] = None,
    experiment_out: Annotated[
        Path | None,
        typer.Option(
            "--experiment-out",
            metavar="FILE",
            help="Experiment file to write: CONFIG with this PSF, for simulate, limit, train and localize.",
        ),
    ] = None,
    assignments: Assignments = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure the PSF from stacks of beads directly, without a model of the optics."""
    from ..calibration.beads.settings import BeadSettings
    from ..experiment.configure import find_experiment
    from ..jobs.measure_psf import measure_psf as measure

    experiment = find_experiment(config, assignments or ())
    settings = BeadSettings(
        moves=stack,
        step_um=step_um,
        first_um=first_um,
        positions=positions,
        bead_um=bead_nm / 1000,
        bead_z_um=bead_z_um,
        frames_per_slice=frames_per_slice,
        side_px=side_px,
        beads_at=beads_at,
        pixel_um=micrometres(pixel_nm),
        defects=defect_choice(defects),
    )
    measured = measure(
        experiment,
        beads,
        settings,
        out,
        picture=picture,
        experiment_out=experiment_out,
        overwrite=overwrite,
    )
    for sentence in measured.warnings:
        say_warning(sentence)
    volume, used = measured.volume, measured.averaged.used
    (planes, side, _), (low, high) = volume.values.shape, volume.range_um
    unlike = 100 * float(measured.averaged.misfit[used].median())
    alike = f"; beyond noise they differ by {unlike:.1f} % of the signal" if int(used.sum()) > 1 else ""
    result(
        f"{out}: {int(used.sum())} of {len(used)} beads, {planes} planes of {side} × {side} px for depths of "
        f"{low:z.2f} to {high:z.2f} µm{alike}"
    )
    for sentence in measured.notes:
        say(sentence)
    if experiment_out is not None:
        say(f"wrote {experiment_out}; next: deepstorm3d limit {experiment_out} --out limit.png, or train")
    else:
        say("to simulate, train and localize with it: --experiment-out FILE writes the experiment that does")
