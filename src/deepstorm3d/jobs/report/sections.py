"""The sections that every report has: at a glance, conditions, picture, quality, steps, how it was made."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import __version__
from ...analysis.fit_quality import judge_list
from ...analysis.quality import Distribution, ListQuality
from ...analysis.stated_sigma import failed_fits_note
from ...emitters import Localizations, SigmaSource
from ...errors import InputError
from ...experiment.experiment import Experiment
from ...io.tables.header import TableHeader
from ...plot.list_quality import quality_figure
from ...plot.panels import figure_png
from ...plot.rendered_views import views_figure
from ...rendering.drawable import drawable
from ...spec import spec_from_mapping, spec_rows
from ..render import AS_USUAL
from .parts import Facts, Figure, Section

__all__ = [
    "conditions_section",
    "glance_section",
    "origin_section",
    "picture_section",
    "quality_section",
    "steps_section",
]

_NO_ROWS = "The list holds no localization."
_SIGMA: Mapping[SigmaSource, str] = {
    "none": "The list has no σ.",
    "network": "σ: as the network gives them.",
    "crlb": "σ: Cramér-Rao bound of one molecule alone; in a crowd the true error is larger.",
    "fit": "σ: of the joint fit.",
}
# How the record of `localize` calls its options, where that needs a word more.
_NAMES = {
    "frames": "frames localized (first, one after the last)",
    "roi": "region (x0, y0, x1, y1 px)",
    "threshold": "least probability of a proposal",
    "method": "proposals from",
    "refined": "joint fit",
}


def glance_section(table: Localizations, header: TableHeader, quality: ListQuality) -> Section:
    """The figures that a reader looks for first; quality: of the table."""
    height, width = header.shape
    tiles = [
        ("molecules" if table.detections is not None else "localizations", f"{len(table):,}"),
        ("frames" if not header.guessed else "frames (to the last row)", f"{header.frames:,}"),
        ("per frame", f"{quality.per_frame:.3g}"),
        (
            "field" if not header.guessed else "field (to the last row)",
            f"{width * header.pixel_um:.3g} × {height * header.pixel_um:.3g} µm",
        ),
    ]
    if "photons" in quality.columns:
        tiles.append(("median photons", f"{quality.columns['photons'].median:,.0f}"))
    names = ("sigma_x_nm", "sigma_y_nm", "sigma_z_nm")
    if all(name in quality.columns for name in names):
        medians = " · ".join(f"{quality.columns[name].median:.1f}" for name in names)
        tiles.append(("median σ of x · y · z", f"{medians} nm"))
    if "fit_quality" in quality.columns:
        tiles.append(("median deviance per pixel", f"{quality.columns['fit_quality'].median:.2f}"))
    words = [_SIGMA[table.sigma_source]] if len(table) else [_NO_ROWS]
    if table.molecule is not None and len(table):
        number = len(table.molecule.unique())
        tiles.insert(1, ("molecules", f"{number:,}"))
        words.append(
            f"Molecules were fitted over several frames, {len(table) / number:.2f} each on average: the rows "
            "of one share a position, and σ is that of all its frames together."
        )
    assessment = judge_list(table)
    if assessment.kind in ("too quiet", "misfit"):
        words.append(f"Warning: {assessment.text}.")
    if failed := failed_fits_note(table):
        words.append(f"Warning: {failed}.")
    return Section("At a glance", tiles=tiles, paragraphs=[*words, *header.notes])


def _recorded(value: str, header: TableHeader) -> str:
    return f"not recorded; the rows reach to {value}" if header.guessed else value


def conditions_section(header: TableHeader) -> Section:
    """What was recorded through what, and how it was localized."""
    made = header.provenance
    height, width = header.shape
    recording = [
        ("movie", str(made.get("movie", "not recorded"))),
        ("frames", _recorded(f"{header.frames:,}", header)),
        ("frame", _recorded(f"{width} × {height} px", header)),
        ("pixel in the sample", f"{header.pixel_nm:g} nm"),
    ]
    tables = [Facts("Recording", recording)]
    elsewhere = ("command", "steps", "camera", "cameras", "experiment", "experiments", "movie", "transform")
    options = [(_NAMES.get(name, name), _words(v)) for name, v in made.items() if name not in elsewhere]
    if options:
        tables.append(Facts("Localization", options))
    tables += _setup(made)
    # A list of several channels records an experiment for each.
    cameras = dict(enumerate(made.get("cameras") or (), 1))
    for number, experiment in enumerate(made.get("experiments") or (), 1):
        camera = {"camera": cameras[number]} if number in cameras else {}
        alone = {"experiment": experiment, **camera}
        tables += [replace(part, title=f"{part.title}, channel {number}") for part in _setup(alone)]
    words = [] if made else ["The file does not say how the list was made: another program wrote it."]
    return Section("Conditions", paragraphs=words, tables=tables)


def _setup(made: Mapping[str, Any]) -> list[Facts]:
    """Microscope, mask, image model and camera, with units where this version knows them."""
    mapping = made.get("experiment")
    if not isinstance(mapping, Mapping):
        return []
    # The camera of the movie at hand stands for the one that the model was trained for.
    mapping = {**mapping, "camera": made.get("camera", mapping.get("camera"))}
    titles = {"microscope": "Microscope", "mask": "Phase mask", "psf": "Image model", "camera": "Camera"}
    try:
        experiment = spec_from_mapping(Experiment, mapping)
    except InputError:  # of another version of the program
        parts = {name: mapping.get(name) for name in titles}
        plain = {name: part for name, part in parts.items() if isinstance(part, Mapping)}
        return [Facts(titles[name], [(k, _words(v)) for k, v in part.items()]) for name, part in plain.items()]
    if not experiment.psf.needs_mask:
        # There is a mask in the experiment, and it had no part in the image.
        del titles["mask"]
    return [Facts(title, spec_rows(getattr(experiment, name))) for name, title in titles.items()]


def picture_section(table: Localizations, name: str) -> Section:
    """The super-resolved image; name: of the list."""
    if not len(table):
        return Section("Picture", paragraphs=[f"{_NO_ROWS} There is nothing to draw."])
    near, notes = drawable(table)
    rendering = AS_USUAL.views_of(near)
    png = figure_png(views_figure(rendering, title=name))
    caption = "The localizations: hue is depth, brightness their density; from above, and from two sides."
    return Section("Picture", paragraphs=notes, figures=[Figure(caption, png)])


def quality_section(quality: ListQuality) -> Section:
    """Histograms and curves, and their percentiles in numbers."""
    if not quality.rows:
        return Section("Quality", paragraphs=[f"{_NO_ROWS} There is nothing to count."])
    png = figure_png(quality_figure(quality))
    caption = (
        "What was measured, how precisely, how deep, how crowded the frames were, and over time; each "
        "histogram spans 99 % of the values."
    )
    return Section("Quality", tables=[_percentiles(quality)], figures=[Figure(caption, png)])


def _percentiles(quality: ListQuality) -> Facts:
    shown: dict[str, Distribution] = dict(quality.columns)
    if quality.density is not None:
        shown["neighbours"] = quality.density
    rows = [[name, values.unit, *map(_number, values.quantiles)] for name, values in shown.items()]
    return Facts("Percentiles", rows, ("column", "unit", "5 %", "25 %", "median", "75 %", "95 %"))


def steps_section(header: TableHeader) -> Section:
    """What was done to the list after it was localized."""
    steps = header.provenance.get("steps", [])
    if not steps:
        return Section("Steps", paragraphs=["None: the rows are as they were localized."])
    rows = []
    for number, step in enumerate(steps, 1):
        settings = {name: value for name, value in step.items() if name not in ("step", "program")}
        words = "; ".join(f"{name}: {_words(value)}" for name, value in settings.items() if value is not None)
        rows.append((str(number), str(step.get("step", "")), words, str(step.get("program", ""))))
    return Section("Steps", tables=[Facts("", rows, ("", "step", "settings", "program"))])


def origin_section(source: Path, header: TableHeader) -> Section:
    """The command, the versions, and the whole record of the file."""
    command = header.provenance.get("command")
    line = shlex.join(map(str, command)) if isinstance(command, list) else str(command or "")
    words = ["The command that localized the movie:"] if line else ["The list does not record its command."]
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = [
        ("list", source.name),
        ("SHA-256 of the list", digest),
        ("SHA-256 of the model", _words(header.provenance.get("model_sha256", "not recorded"))),
        ("localized with", str(header.provenance.get("program", "not recorded"))),
        ("reported with", f"deepstorm3d {__version__}"),
        ("Python", platform.python_version()),
        ("PyTorch", torch.__version__),
        ("NumPy", np.__version__),
    ]
    record = json.dumps(dict(header.provenance), indent=2, ensure_ascii=False, default=str)
    return Section("How it was made", paragraphs=words, code=line, tables=[Facts("", rows)], record=record)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _words(value: Any) -> str:
    """A value of a record for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(part)}" for name, part in value.items()) or "none"
    return "none" if value is None else str(value)
