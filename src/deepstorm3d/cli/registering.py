"""The command for two channels: register."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import InputError
from .console import result, say, say_warning, show_table, table
from .options import CameraPixel, ListFile, Overwrite
from .progress import ScreenWatcher

if TYPE_CHECKING:
    from ..calibration.registration.registration import Registration

__all__ = ["register"]


def register(
    locs: ListFile,
    second: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SECOND]",
            help="List of the second channel; not with --split, --apply and --undo.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Transform to write (.yaml; NAME_channel_reg.yaml: for Picasso), or with --apply and --undo "
            "the list.",
        ),
    ] = None,
    split: Annotated[
        Literal["left-right", "top-bottom"] | None,
        typer.Option(
            "--split", help="LOCS has both channels, in the halves of one camera; the first is named first."
        ),
    ] = None,
    mirror: Annotated[
        bool | None,
        typer.Option(
            "--mirror/--no-mirror",
            help="The second channel shows the first as a mirror does, or does not. (default: found out)",
        ),
    ] = None,
    beads: Annotated[
        bool | None,
        typer.Option(
            "--beads/--molecules",
            help="The lists are of beads that stay where they are, so frames need not belong together; or of "
            "molecules. (default: found out)",
        ),
    ] = None,
    degree: Annotated[
        int | None,
        typer.Option(
            "--degree",
            metavar="N",
            min=1,
            max=3,
            help="1: affine; 2, 3: polynomial. (default: what predicts pairs of other places best)",
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", metavar="IMAGE", help="Draw residuals, distortion and depth (.png, .pdf, .svg)."
        ),
    ] = None,
    apply: Annotated[
        Path | None,
        typer.Option(
            "--apply",
            metavar="TRANSFORM",
            help="Take LOCS, of the first channel, to the second; nothing is found.",
        ),
    ] = None,
    undo: Annotated[
        Path | None,
        typer.Option(
            "--undo", metavar="TRANSFORM", help="Take LOCS, of the second channel, back to the first."
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="WxH",
            help="Pixels of the whole frame, for lists that do not hold them (every CSV).",
        ),
    ] = None,
    pixel_nm: CameraPixel = None,
    overwrite: Overwrite = False,
) -> None:
    """Find where molecules of one channel lie in the other, from a list of each; or take a list across."""
    from ..calibration.registration.registration import RegistrationRule
    from ..jobs.register import Unsaid, move_list, register_files

    if out is None:
        raise InputError("register needs --out: the transform to write, or with --apply and --undo the list")
    if sum(each is not None for each in (second, split, apply, undo)) != 1:
        raise InputError(
            "give the list of the second channel, or --split if LOCS has both channels, or --apply or --undo "
            "to take LOCS to the other channel: one of these"
        )
    if size is not None and split is None and second is None:
        raise InputError("--size is that of the frames in which a transform is found")
    given = apply or undo
    if given is not None:
        if any(each is not None for each in (mirror, beads, degree, picture)):
            raise InputError("--mirror, --beads, --degree and --picture belong to finding a transform")
        moved = move_list(locs, out, given, undo=undo is not None, pixel_nm=pixel_nm, overwrite=overwrite)
        for warning in moved.warnings:
            say_warning(warning)
        result(f"{out}: {moved.rows} localizations, taken to the {'first' if undo else 'second'} channel")
        return
    other = second if second is not None else split
    assert other is not None
    with ScreenWatcher("steps") as watch:
        found = register_files(
            (locs, other),  # pyright: ignore[reportArgumentType]
            out,
            RegistrationRule(degree, mirror, beads),
            picture=picture,
            unsaid=Unsaid(pixel_nm, None if size is None else _frame_size(size)),
            overwrite=overwrite,
            watch=watch,
        )
    _print(out, found)
    for path in (out, picture):
        if path is not None:
            say(f"wrote {path}")
    for warning in found.warnings:
        say_warning(warning)


def _frame_size(text: str) -> tuple[int, int]:
    """Rows and columns of ``WxH``."""
    found = re.fullmatch(r"(\d+)\s*[x×,]\s*(\d+)", text.strip().lower())
    if found is None:
        raise InputError(f"--size {text}: write columns and rows as 512x256")
    return int(found[2]), int(found[1])


def _print(out: Path, found: Registration) -> None:
    transform, (x, y) = found.transform, found.residual_nm
    shown = table("degree", "residual of held-out pairs (nm)", "")
    for degree, residual in found.by_degree_nm.items():
        shown.add_row(str(degree), f"{residual:.1f}", "taken" if degree == transform.degree else "")
    show_table(shown)
    mirror = ", mirrored" if transform.mirrored else ""
    result(
        f"{out}: turned by {transform.rotation_degrees:.3f}°, {transform.magnification:.5f} times as large"
        f"{mirror}, degree {transform.degree}"
    )
    what = "beads" if found.beads else "rows"
    result(
        f"{found.pairs} pairs of {found.rows[0]} and {found.rows[1]} {what} ({found.by_chance:.1f} by chance); "
        f"{100 * found.support.share:.0f} % of the field among them"
    )
    stated = found.expected_nm
    told = f"; their σ say {stated[0]:.1f} · {stated[1]:.1f} nm" if min(stated) > 0 else ""
    result(
        f"residual of a pair {x:.1f} · {y:.1f} nm in x · y (rms, held out){told}; the transform itself is "
        f"known to {found.error_nm:.1f} nm"
    )
    if found.depth is not None:
        depth = found.depth
        result(
            f"depth offset {1000 * depth.median_um:.1f} ± {1000 * depth.sigma_um:.1f} nm, second less first "
            f"(scatter {1000 * depth.scatter_um:.1f} nm)"
        )
