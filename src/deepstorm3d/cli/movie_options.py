"""Options of the commands that look at real frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "CameraValues",
    "Cluster",
    "Frames",
    "ListOut",
    "MovieFile",
    "Preview",
    "Proposer",
    "Refine",
    "Region",
    "Threshold",
]

MovieFile = Annotated[
    Path, typer.Argument(metavar="MOVIE", help="TIFF file, or a folder of numbered single frames.")
]
ListOut = Annotated[
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
        "read_noise=1.6 (e-); repeatable.",
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
        help="Only look: overlays of N frames, and whether the model fits the data, in FILE.preview/.",
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
