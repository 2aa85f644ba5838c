"""Evaluate: a list of localizations against the truth, in figures with intervals, and in a picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ..analysis.evaluation import TOLERANCE_NM, Evaluation, evaluate_list
from ..emitters import Emitters, Localizations
from ..errors import InputError, MissingPixelSize
from ..extent import frame_extent
from ..io.parts import claim_name, write_text
from ..io.tables import TableHeader, read_truth_list
from ..plot.panels import save_figure
from ..plot.truth_scatter import comparison
from .reading_lists import read_localizations

__all__ = ["evaluate_table"]


def evaluate_table(
    locs: Path,
    truth: Path,
    *,
    tolerance_nm: float = TOLERANCE_NM,
    challenge: bool = False,
    min_photons: float = 0.0,
    pixel_nm: float | None = None,
    json_out: Path | None = None,
    plot: Path | None = None,
    register: bool = False,
    overwrite: bool = False,
) -> Evaluation:
    """Match a list with the truth frame by frame and score it, with 95 % intervals over frames.

    tolerance_nm: radius of the ball within which a detection is a hit;  challenge: match as the SMLM
    challenge 2016 does instead (250 nm lateral, 500 nm axial, an outer 450 nm left out);
    min_photons: truth dimmer than this is neither hit nor miss;  pixel_nm: camera pixel in the sample, for
    lists that do not name it;  json_out, plot: files for the figures and for a picture;  register: shift the
    list onto the truth first, as one body in x, y and z; the conditions say by how much.
    """
    for path in (json_out, plot):
        if path is not None:
            claim_name(path, overwrite=overwrite)
    found, header = _read_found(locs, truth, pixel_nm)
    true, true_header = read_truth_list(truth, pixel_um=header.pixel_um)
    evaluation = evaluate_list(
        found,
        true,
        tolerance_nm=tolerance_nm,
        challenge=challenge,
        min_photons=min_photons,
        register=register,
        field_um=frame_extent(_shape(header, true), header.pixel_um),
    )
    evaluation = replace(
        evaluation,
        conditions={"locs": str(locs), "truth": str(truth), **evaluation.conditions},
        notes=[*header.notes, *true_header.notes, *evaluation.notes],
    )
    if json_out is not None:
        write_text(json_out, json.dumps(evaluation.to_mapping(), indent=2) + "\n")
    if plot is not None:
        x, y, z = (value / 1000 for value in evaluation.conditions.get("shift_nm", (0.0, 0.0, 0.0)))
        figure = comparison(true, found.shift(xyz=(x, y, z)), evaluation.matches, title=locs.name)
        save_figure(figure, plot)
    return evaluation


def _read_found(locs: Path, truth: Path, pixel_nm: float | None) -> tuple[Localizations, TableHeader]:
    """The list; a pixel size that its file does not name is taken from the truth's file."""
    try:
        return read_localizations(locs, pixel_nm)
    except MissingPixelSize:
        if not truth.is_file():
            raise
        try:
            _, header = read_localizations(truth)
        except InputError:
            header = None
        if header is None:
            raise
    return read_localizations(locs, header.pixel_nm)


def _shape(header: TableHeader, truth: Emitters) -> tuple[int, int]:
    """Size of a frame, at least what the truth reaches: a CSV does not tell it."""
    if len(truth) == 0:
        return header.shape
    x, y, _ = (truth.xyz.amax(dim=0) / header.pixel_um).tolist()
    return max(header.shape[0], round(y) + 1), max(header.shape[1], round(x) + 1)
