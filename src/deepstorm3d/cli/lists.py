"""Commands that take a list of localizations: evaluate, convert."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import result, say, say_warning, show_table, table
from .options import CameraPixel, ListFile, Overwrite
from .progress import REMARKS

if TYPE_CHECKING:
    from ..analysis.evaluation import Evaluation

__all__ = ["convert", "evaluate"]


def evaluate(
    locs: ListFile,
    truth: Annotated[
        Path,
        typer.Option("--truth", metavar="FILE", help="True emitters: ThunderSTORM CSV (nm, frames from 1)."),
    ],
    tolerance_nm: Annotated[
        float | None,
        typer.Option(
            "--tolerance-nm", metavar="NM", help="A hit lies within this distance in 3D, nm. (default: 150)"
        ),
    ] = None,
    challenge: Annotated[
        bool,
        typer.Option(
            "--challenge",
            help="Match as in the SMLM challenge 2016: within 250 nm laterally and 500 nm axially, without "
            "the outer 450 nm of the field.",
        ),
    ] = False,
    min_photons: Annotated[
        float,
        typer.Option(
            "--min-photons",
            metavar="P",
            min=0.0,
            help="True emitters with fewer photons than this count neither as found nor as missed.",
        ),
    ] = 0.0,
    pixel_nm: CameraPixel = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers to this file.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="Draw truth (open) and detections (filled) in 3D (.png, .pdf, .svg)."
        ),
    ] = None,
    register: Annotated[
        bool,
        typer.Option(
            "--register", help="First shift the whole list in x, y and z onto the truth; the shift is reported."
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Score a list against the truth: Jaccard, RMSE, bias, efficiency, with 95 % intervals over frames."""
    from ..analysis.evaluation import TOLERANCE_NM, MatchRule
    from ..errors import InputError
    from ..jobs.evaluate import evaluate_table
    from ..jobs.figure_files import FigureFiles

    if challenge and tolerance_nm is not None:
        raise InputError("--challenge fixes the tolerances; leave out --tolerance-nm")
    evaluation = evaluate_table(
        locs,
        truth,
        MatchRule(TOLERANCE_NM if tolerance_nm is None else tolerance_nm, challenge, min_photons),
        register=register,
        pixel_nm=pixel_nm,
        files=FigureFiles(json, plot, overwrite),
    )
    _print_evaluation(evaluation)
    for path in (json, plot):
        if path is not None:
            say(f"wrote {path}")


def _print_evaluation(evaluation: Evaluation) -> None:
    from ..analysis.metrics import FIGURES

    scored, values = evaluation.result, evaluation.result.score.to_mapping()
    shown = table("figure", "value", f"{100 * scored.confidence:g} % interval")
    for key, label, digits in FIGURES:
        value, interval = values[key], scored.intervals[key]
        shown.add_row(
            label,
            "–" if value is None else f"{value:.{digits}f}",
            "–" if interval is None else f"{interval[0]:.{digits}f} to {interval[1]:.{digits}f}",
        )
    show_table(shown)
    score = scored.score
    result(
        f"{score.tp} hits, {score.fp} false, {score.fn} missed; "
        f"{evaluation.truth_rows} true emitters in {evaluation.truth_frames} frames"
    )
    result(f"matching: {evaluation.conditions['matching']}")
    if "shift_nm" in evaluation.conditions:
        x, y, z = evaluation.conditions["shift_nm"]
        result(f"registered: the list was shifted by {x:g}, {y:g}, {z:g} nm in x, y, z before matching")
    if evaluation.by_molecule is not None:
        whole = evaluation.by_molecule.score
        result(
            f"molecules over all their frames: Jaccard {whole.jaccard:.3f}; {whole.tp} hits, {whole.fp} false, "
            f"{whole.fn} missed"
        )
    if evaluation.dyes is not None:
        result(f"dyes: {evaluation.dyes}")
    if score.ignored_truth or score.ignored_found:
        result(f"not counted: {score.ignored_truth} true emitters, {score.ignored_found} localizations")
    for note in evaluation.notes:
        say_warning(note)


def convert(
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="List to read (.hdf5, .h5, .csv, .mat); recognized by content."),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="List to write: .hdf5 Picasso, .csv ThunderSTORM, .h5 smappy.")
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="picasso, thunderstorm, smap, smappy, decode or challenge. (default: by the ending of OUT)",
        ),
    ] = None,
    pixel_nm: CameraPixel = None,
    overwrite: Overwrite = False,
) -> None:
    """Convert a list to another program's format, with its origin, axes, units and frame numbers."""
    from ..jobs.convert import convert_table

    rows = convert_table(source, out, to=to, pixel_nm=pixel_nm, overwrite=overwrite, watch=REMARKS)
    result(f"{out}: {rows} localizations")
