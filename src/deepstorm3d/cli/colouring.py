"""The command for several colours: dyes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .console import result, say, say_warning, show_table, table
from .options import CameraPixel, ListFile, ListOut, Overwrite

if TYPE_CHECKING:
    from ..analysis.dyes import DyesFound

__all__ = ["dyes"]


def dyes(
    locs: ListFile,
    out: ListOut,
    dye: Annotated[
        list[str] | None,
        typer.Option(
            "--dye",
            metavar="NAME=SHARE",
            help="A dye and the share of its light in the second channel, 0 to 1; once for each dye. Dyes are "
            "numbered from the smallest share.",
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
    """Tell dyes apart by the share of their light in the second channel; molecules of none are told too."""
    from ..analysis.dyes import DyeRule
    from ..jobs.dyes import dyes_of_table

    if (dye is None) == (count is None):
        raise InputError(
            "give each dye as --dye NAME=SHARE, or --dyes N for dyes of unknown shares: one of both"
        )
    rule = DyeRule(_named(dye) if dye is not None else count or 0, sure)
    found = dyes_of_table(locs, out, rule, picture=picture, pixel_nm=pixel_nm, overwrite=overwrite)
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
