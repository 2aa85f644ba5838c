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
        help="Your camera where it is not the experiment's: baseline=100 (ADU), gain=0.45 (ADU/e-), "
        "read_noise=1.6 (e-), region=[x0,y0,x1,y1] (of its maps, as stored); repeatable. Of an ideal camera "
        "what is not named stays ideal: baseline 0, gain 1, no read noise.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        metavar="P",
        min=0.0,
        max=1.0,
        help="Least probability of a proposal. (default: the model's, half of it if a fit follows)",
    ),
]
Proposer = Annotated[
    Literal["network", "pursuit", "mle"],
    typer.Option(
        "--method",
        help="Who proposes molecules: network; pursuit (fit and subtract, slow); mle (one by one: beads).",
    ),
]
Refine = Annotated[
    bool,
    typer.Option(
        "--refine/--no-refine",
        help="Fit all molecules of a frame jointly to the likelihood, or give the network's list alone.",
    ),
]
Frames = Annotated[
    str | None,
    typer.Option(
        "--frames", metavar="A:B", help="From frame A to before frame B, counted from 0. (default: all)"
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
        help="Preview only: overlays of N frames, and whether the model fits the data, in FILE.preview/.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS|local:N",
        help="Spread the frames over dask workers: N processes on this machine, or those of a scheduler "
        "(tcp://host:8786). The same list comes out. Needs the extra deepstorm3d[cluster].",
    ),
]
Flip = Annotated[
    Literal["none", "horizontal", "vertical", "both"],
    typer.Option("--flip", help="Mirror the frames: left-right, up-down or both, as the model expects them."),
]
Transpose = Annotated[
    bool, typer.Option("--transpose", help="Exchange rows and columns of the frames, before --flip.")
]
Subtract = Annotated[
    Literal["none", "minimum", "median"],
    typer.Option(
        "--subtract",
        help="Take away each pixel's minimum or median over --window frames, if the model learned such frames.",
    ),
]
Window = Annotated[
    int, typer.Option("--window", metavar="FRAMES", min=2, help="Frames over which --subtract looks.")
]
Defects = Annotated[
    str,
    typer.Option(
        "--defects",
        metavar="auto|none|FILE.npy",
        help="Defective pixels get no weight. auto: detected, as sharper than light through the "
        "objective can be; "
        "none: all pixels are taken as they are; a file (height, width), nonzero at defective pixels.",
    ),
]
Partial = Annotated[
    bool, typer.Option("--partial", help="Of a movie that was cut off, take the frames that are whole.")
]
Follow = Annotated[
    float | None,
    typer.Option(
        "--follow",
        metavar="SECONDS",
        min=0.0,
        help="The movie is still being recorded: wait for new frames, and end when none comes for this time.",
    ),
]
