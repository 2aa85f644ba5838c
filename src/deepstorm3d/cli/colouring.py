"""The command for several colours: dyes, by shares of light in two channels or by the PSFs in one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .console import result, say, say_warning, show_table, table
from .movie_options import CameraValues, Frames
from .options import CameraPixel, ListOut, MaskFile, Overwrite, camera_changes, frame_range, micrometres
from .progress import ScreenWatcher

if TYPE_CHECKING:
    from ..analysis.dye_ratios import DyesByImage
    from ..analysis.dyes import DyesFound

__all__ = ["dyes"]


def dyes(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="LOCS|MOVIE", help="List of two channels with the column share; with --model: a movie."
        ),
    ],
    out: ListOut,
    dye: Annotated[
        list[str] | None,
        typer.Option(
            "--dye",
            metavar="NAME=SHARE|NM",
            help="A dye and the share of its light in the second channel, 0 to 1; with --model: its emission "
            "wavelength, nm. Once for each dye; they are numbered from the smallest value.",
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--dyes",
            metavar="N",
            min=1,
            max=4,
            help="Number of dyes of unknown shares, which are found from the list.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME|PATH",
            help="Localize the MOVIE with this model, and tell the dyes apart by the PSF of each wavelength "
            "through its mask. (dyes: those of --dye, or the model's own)",
        ),
    ] = None,
    mask: MaskFile = None,
    camera: CameraValues = None,
    frames: Frames = None,
    sure: Annotated[
        float,
        typer.Option(
            "--sure",
            metavar="P",
            help="Molecules whose dye is less probable than this get none, 0 to 1. (0: each gets the "
            "likeliest)",
        ),
    ] = 0.0,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="IMAGE", help="Draw the shares and the dyes (.png, .pdf, .svg)."),
    ] = None,
    pixel_nm: CameraPixel = None,
    overwrite: Overwrite = False,
) -> None:
    """Tell dyes apart by the share of their light in a second channel, or by their PSFs in one channel.

    Molecules that are none of the dyes are told too.
    """
    if model is not None:
        if count is not None or picture is not None:
            raise InputError("--dyes and --picture are for lists with shares", "leave them out with --model")
        from ..jobs.dyes_of_movie import MovieDyes, dyes_of_movie
        from ..jobs.localize import ListFile
        from ..localizing.catalogue import find_model
        from ..localizing.excerpt import Excerpt

        with ScreenWatcher("frames") as watch:
            seen = dyes_of_movie(
                Excerpt(source, frames=frame_range(frames), pixel_um=micrometres(pixel_nm)),
                find_model(model),
                MovieDyes(None if dye is None else _wavelengths(dye), sure),
                ListFile(out, overwrite=overwrite, command=tuple(sys.argv)),
                mask=mask,
                camera=camera_changes(camera) or None,
                watch=watch,
            )
        _print_seen(out, seen)
        return
    for given, name in ((mask, "--mask"), (camera, "--camera"), (frames, "--frames")):
        if given is not None:
            raise InputError(f"{name} is for movies", "name the model of the movie, --model")
    from ..analysis.dyes import DyeRule
    from ..jobs.dyes import dyes_of_table

    if (dye is None) == (count is None):
        raise InputError(
            "give each dye as --dye NAME=SHARE, or --dyes N for dyes of unknown shares: one of both"
        )
    rule = DyeRule(_named(dye) if dye is not None else count or 0, sure)
    found = dyes_of_table(source, out, rule, picture=picture, pixel_nm=pixel_nm, overwrite=overwrite)
    _print(out, found)
    if picture is not None:
        say(f"wrote {picture}")
    for warning in found.warnings:
        say_warning(warning)


def _named(given: list[str]) -> dict[str, float]:
    """Shares by name, from NAME=SHARE."""
    shares: dict[str, float] = {}
    for each in given:
        name, equals, share = each.rpartition("=")
        if name.strip() in shares:
            raise InputError(f"--dye {name.strip()} is given twice", "give each dye a name of its own")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise InputError(
                f"--dye {each} is not NAME=SHARE", "for example --dye red=0.2: a fifth in the second channel"
            )
    return shares


def _wavelengths(given: list[str]) -> dict[str, float]:
    """Wavelengths (µm) by name, from NAME=NM."""
    named = _named(given)
    for name, value in named.items():
        if value < 1:
            raise InputError(
                f"--dye {name}={value:g}: with --model it is the emission wavelength in nm", "such as 670"
            )
    return {name: value / 1000 for name, value in named.items()}


def _print_seen(out: Path, found: DyesByImage) -> None:
    shown = table("", "dye", "of all molecules", "molecules")
    for number, name in enumerate(found.names, 1):
        shown.add_row(str(number), name, f"{100 * found.weights[number]:.1f} %", f"{found.molecules[number]:,}")
    shown.add_row("0", "none, or in doubt", f"{100 * found.weights[0]:.1f} %", f"{found.molecules[0]:,}")
    show_table(shown)
    for warning in found.warnings:
        say_warning(warning)
    result(f"{out}: of the given dyes {100 * found.misassigned:.2f} % are expected to be wrong")


def _print(out: Path, found: DyesFound) -> None:
    shown = table("", "dye", "share", "scatter beyond σ", "molecules")
    mixture = found.mixture
    for number, name in enumerate(found.names):
        share, spread = mixture.shares[number], mixture.spreads[number]
        shown.add_row(
            str(number + 1), name, f"{share:.3f}", f"{spread:.3f}", f"{found.molecules[number + 1]:,}"
        )
    shown.add_row("0", "none, or in doubt", "", "", f"{found.molecules[0]:,}")
    show_table(shown)
    result(f"{out}: of the given dyes {100 * found.misassigned:.2f} % are expected to be wrong")
