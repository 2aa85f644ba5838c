"""Options of the commands that look at real frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "CameraValues",
    "Cluster",
    "Defects",
    "Flip",
    "Follow",
    "Frames",
    "MovieFile",
    "NewList",
    "OverFrames",
    "Partial",
    "Preview",
    "Proposer",
    "Refine",
    "Region",
    "Subtract",
    "Threshold",
    "Transpose",
    "Window",
]

MovieFile = Annotated[
    Path,
    typer.Argument(metavar="MOVIE", help="TIFF, ND2, raw or .npy file; folder of TIFFs, Zarr or NDTiff."),
]
NewList = Annotated[
    Path,
    typer.Option(
        "--out", metavar="FILE", help="List to write: .hdf5 (read by Picasso) or .csv (ThunderSTORM)."
    ),
]
CameraValues = Annotated[
    list[str] | None,
    typer.Option(
        "--camera",
        metavar="KEY=VALUE",
        help="Values of your camera that differ from the experiment's: baseline=100 (ADU), gain=0.45 "
        "(ADU/e-), read_noise=1.6 (e-), region=\\[x0,y0,x1,y1] (of the camera's maps, as stored); "
        "repeatable. For an ideal camera, values that are not given stay ideal: baseline 0, gain 1, "
        "no read noise.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        metavar="P",
        min=0.0,
        max=1.0,
        help="Smallest probability of a proposed molecule. (default: the model's; half of that if a fit "
        "follows)",
    ),
]
Proposer = Annotated[
    Literal["network", "pursuit", "mle"],
    typer.Option(
        "--method",
        help="What finds the molecules. network: the trained network; pursuit: fit the brightest, "
        "subtract, repeat (slow); mle: fit isolated spots one by one (beads).",
    ),
]
Refine = Annotated[
    bool,
    typer.Option(
        "--refine/--no-refine",
        help="Fit all molecules of a frame jointly by maximum likelihood, or write the network's list "
        "unchanged.",
    ),
]
OverFrames = Annotated[
    bool | None,
    typer.Option(
        "--over-frames/--separate",
        show_default=False,
        help="Then fit the list again, each molecule with one position from all the frames in which it shines, "
        "or leave every row as its frame alone gives it. (default: over frames where the list shows that "
        "molecules last and do not move)",
    ),
]
Frames = Annotated[
    str | None,
    typer.Option(
        "--frames", metavar="A:B", help="Frames from A to B, counted from 0, B excluded. (default: all)"
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        "--roi",
        metavar="X0,Y0,X1,Y1",
        help="Part of the frame in camera pixels, X1 and Y1 excluded. (default: all)",
    ),
]
Preview = Annotated[
    int | None,
    typer.Option(
        "--preview",
        metavar="N",
        min=1,
        help="Only a preview: draw N frames with what was found into FILE.preview/, and say whether the "
        "model fits the data.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS|local:N",
        help="Spread the frames over dask workers: N processes on this machine, or those of a scheduler "
        "(tcp://host:8786). The list is the same. Needs the extra deepstorm3d\\[cluster].",
    ),
]
Flip = Annotated[
    Literal["none", "horizontal", "vertical", "both"],
    typer.Option(
        "--flip",
        help="Mirror the frames (left-right, up-down or both), so that they are oriented as the model expects.",
    ),
]
Transpose = Annotated[
    bool, typer.Option("--transpose", help="Exchange rows and columns of the frames, before --flip.")
]
Subtract = Annotated[
    Literal["none", "minimum", "median"],
    typer.Option(
        "--subtract",
        help="Subtract each pixel's minimum or median over --window frames, if the model was trained on "
        "such frames.",
    ),
]
Window = Annotated[
    int,
    typer.Option(
        "--window", metavar="FRAMES", min=2, help="Number of frames for the minimum or median of --subtract."
    ),
]
Defects = Annotated[
    str,
    typer.Option(
        "--defects",
        metavar="auto|none|FILE.npy",
        help="Which pixels are defective; they are ignored. auto: those that stand out more sharply than "
        "the optics allow; none: no pixel; FILE.npy: an array (height, width), nonzero at defective "
        "pixels.",
    ),
]
Partial = Annotated[
    bool, typer.Option("--partial", help="If the movie file was cut off, use the frames that are complete.")
]
Follow = Annotated[
    float | None,
    typer.Option(
        "--follow",
        metavar="SECONDS",
        min=0.0,
        help="The movie is still being recorded: wait for new frames, and end after this time without one. "
        "With --partial, go on behind a gap then.",
    ),
]
