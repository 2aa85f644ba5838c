"""Options of the commands that look at stacks of beads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "BeadNm",
    "BeadZUm",
    "Beads",
    "BeadsAt",
    "ChipPx",
    "FirstUm",
    "FramesPerSlice",
    "Places",
    "Positions",
    "SidePx",
    "Stack",
    "StepUm",
]

Beads = Annotated[
    list[Path],
    typer.Argument(
        metavar="BEADS...",
        help="Stacks of beads, raw counts of the camera: TIFF, ND2, raw or .npy files, folders of TIFFs, "
        "Zarr or NDTiff. One slice after the other, one bead or many in each.",
    ),
]
Stack = Annotated[
    Literal["objective", "depth"],
    typer.Option(
        "--stack",
        help="What moved from slice to slice. objective: the focus (objective, piezo or stage), beads stay "
        "on the coverslip; positions are the objective's movement towards the sample from the focus on the "
        "coverslip. depth: the beads themselves, the focus stayed; positions are depths in the sample.",
    ),
]
StepUm = Annotated[
    float | None,
    typer.Option(
        "--step-um",
        metavar="S",
        help="Distance from slice to slice, µm. Negative where the objective moves away from the sample "
        "(or the beads towards the coverslip). (default: the slices span the experiment's z range)",
    ),
]
FirstUm = Annotated[
    float | None,
    typer.Option(
        "--first-um",
        metavar="P",
        help="Position of the first slice, µm. (default: objective, the middle slice is in focus on the "
        "coverslip; depth, the end of the experiment's z range)",
    ),
]
Positions = Annotated[
    Path | None,
    typer.Option(
        "--positions",
        metavar="FILE",
        help="Text file with the position of each slice, µm, one on each line (if there are several "
        "columns, the last).",
    ),
]
BeadNm = Annotated[
    float, typer.Option("--bead-nm", metavar="D", min=0.0, max=2000.0, help="Diameter of the beads, nm.")
]
BeadZUm = Annotated[
    float | None,
    typer.Option(
        "--bead-z-um",
        metavar="Z",
        help="With --stack objective: height of the beads' centres above the coverslip, µm. (default: "
        "half the diameter)",
    ),
]
FramesPerSlice = Annotated[
    int,
    typer.Option(
        "--frames-per-slice", metavar="N", min=1, help="Number of exposures of each slice; they are summed."
    ),
]
SidePx = Annotated[
    int | None,
    typer.Option(
        "--side-px",
        metavar="W",
        min=11,
        help="Side of the square that is cut out around a bead, camera pixels, odd. (default: from the "
        "encircled energy)",
    ),
]
Places = Annotated[
    Path | None,
    typer.Option(
        "--places",
        metavar="FILE",
        help="If the stacks are crops of one field: text file that says where. One line for each stack "
        "with the column and row of its first (upper left) pixel on the chip, counted from 0; in "
        "the order of the stacks, or after the file name.",
    ),
]
BeadsAt = Annotated[
    Path | None,
    typer.Option(
        "--beads-at",
        metavar="FILE",
        help="Text file with the beads to use: column and row of the middle of each on a line, px from 0; "
        "with several stacks after the file name. (default: all that are found alone in their square)",
    ),
]
ChipPx = Annotated[
    tuple[int, int] | None,
    typer.Option(
        "--chip-px",
        metavar="W H",
        help="Width and height of the whole field, px, with --places. (default: psf.field.size_px)",
    ),
]
