"""Options that several commands share, and how their texts become numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError

if TYPE_CHECKING:
    from ..frames.pixel_faults import DefectChoice

__all__ = [
    "Assignments",
    "Background",
    "CameraPixel",
    "Device",
    "FromModel",
    "ListFile",
    "ListOut",
    "MaskFile",
    "ModelName",
    "MoviePixel",
    "Overwrite",
    "Photons",
    "SceneName",
    "camera_changes",
    "chosen_device",
    "defect_choice",
    "frame_range",
    "micrometres",
    "nanometres",
    "region",
]

Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="A.B=C", help="Change one key of the experiment, e.g. training.steps=2000; repeatable."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist. (default: refuse)")]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="cpu|cuda|mps",
        help="Where to compute; on mps (Apple) the network alone. (default: cuda if there is a GPU, else cpu)",
    ),
]
Photons = Annotated[
    float | None,
    typer.Option(
        "--photons", metavar="P", help="Photons of a molecule in a frame. (default: the scene's median)"
    ),
]
Background = Annotated[
    float | None,
    typer.Option(
        "--background", metavar="B", help="Background, photons per pixel. (default: the scene's mean)"
    ),
]
SceneName = Annotated[
    str | None,
    typer.Option("--scene", metavar="NAME", help="Scene of the experiment to use. (default: the first)"),
]
FromModel = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="NAME|FILE",
        help="Begin with the weights of a built-in model ('deepstorm3d models' lists them) or a model file, "
        "where they fit. (default: random weights)",
    ),
]
MaskFile = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        metavar="FILE",
        help="Phase mask in radians (.npy, .mat, .tif), if the model file contains only its hash.",
    ),
]
ListFile = Annotated[
    Path, typer.Argument(metavar="LOCS", help="List of localizations (.hdf5, .h5, .csv, .mat).")
]
ListOut = Annotated[
    Path,
    typer.Option("--out", metavar="FILE", help="List to write: .hdf5 (Picasso), .csv (ThunderSTORM), .h5."),
]
CameraPixel = Annotated[
    float | None,
    typer.Option(
        "--pixel-nm",
        metavar="NM",
        help="Size of a camera pixel in the sample, nm, if the list does not contain it (it must agree "
        "with one that does).",
    ),
]
MoviePixel = Annotated[
    float | None,
    typer.Option(
        "--pixel-nm",
        metavar="NM",
        help="Size of a camera pixel in the sample, nm, in place of the file's; it must agree with the "
        "model or the experiment. (default: the file's, if it has one)",
    ),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME|PATH",
        help="A built-in model ('deepstorm3d models' lists them) or a model file.",
    ),
]


def micrometres(nm: float | None) -> float | None:
    """Nanometres as µm."""
    return None if nm is None else nm / 1000


def chosen_device(text: str | None) -> str:
    """`devices.chosen_device`, with torch imported only now."""
    from ..devices import chosen_device

    return chosen_device(text)


def camera_changes(assignments: Sequence[str] | None) -> dict[str, object]:
    """What ``--camera KEY=VALUE`` says, value by key, read as YAML."""
    import yaml

    changes: dict[str, object] = {}
    for assignment in assignments or ():
        key, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"--camera {assignment}: write key=value, for example baseline=100")
        try:
            changes[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"--camera {assignment}: the value cannot be read: {error}") from error
    return changes


def defect_choice(text: str) -> DefectChoice:
    """What ``--defects`` says: auto, none or a file."""
    return text if text in ("auto", "none") else Path(text)  # pyright: ignore[reportReturnType]


def frame_range(text: str | None) -> tuple[int | None, int | None]:
    """``A:B`` as first frame and the one after the last, counted from 0; either may be left out."""
    if text is None:
        return None, None
    first, colon, last = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return int(first) if first.strip() else None, int(last) if last.strip() else None
    except ValueError:
        raise InputError(
            f"--frames {text}: write A:B, first frame and the one after the last, counted from 0, "
            "e.g. 0:100 or 500:"
        ) from None


def region(text: str | None) -> tuple[int, int, int, int] | None:
    """``X0,Y0,X1,Y1`` in camera pixels; the first column and row are in, the last are not."""
    if text is None:
        return None
    try:
        x0, y0, x1, y1 = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--roi {text}: write X0,Y0,X1,Y1 in camera pixels, e.g. 0,0,128,128") from None
    return x0, y0, x1, y1


def nanometres(text: str | None) -> tuple[float, float, float] | None:
    """``X,Y,Z`` in nm as µm."""
    if text is None:
        return None
    try:
        x, y, z = (float(part) / 1000 for part in text.split(","))
    except ValueError:
        raise InputError(f"--drift-nm {text}: write X,Y,Z in nm, e.g. 300,300,200") from None
    return x, y, z
