"""The page of a report: its sections in order, put into the template."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ... import __version__
from ...errors import InputError
from ...io.parts import claim_name, explain_write_errors, write_text_atomically
from ...localizer.modelfile import ModelFile
from ..reading import read_localizations
from .measures import drift_sections, resolution_section
from .overlays import overlay_section
from .parts import Section
from .sections import (
    conditions_section,
    glance_section,
    origin_section,
    picture_section,
    quality_section,
    steps_section,
)

__all__ = ["write_report"]


@dataclass(frozen=True)
class _Entry:
    """A section with the name that links to it."""

    anchor: str
    section: Section


def write_report(
    source: Path,
    out: Path,
    *,
    movie: Path | None = None,
    model: ModelFile | None = None,
    mask: Path | None = None,
    camera: Sequence[str] = (),
    overlays: int = 3,
    resolution: bool = True,
    extra: Sequence[Section] = (),
    pixel_nm: float | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write one page with its pictures inside, which loads nothing; returns the titles of its sections.

    source: list that localize wrote, or one derived from it; another program's list has no conditions to show.
    movie, model: to draw some frames beside their regenerated images;  mask, camera: as in `load_pipeline`, the
    camera is otherwise the one that the list records;  overlays: how many frames;  resolution: measure it,
    which takes seconds to a minute;  extra: further sections, which stand after those that judge the list;
    pixel_nm: camera pixel in the sample, for a list that does not name it.
    Raises InputError where only one of movie and model is given, they do not fit the list, or the page cannot
    be written.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"a report is an HTML page, not '{out.suffix}': give a name such as report.html")
    claim_name(out, overwrite=overwrite)
    if (movie is None) != (model is None):
        raise InputError(
            "frames beside their regenerated images need both the movie (--movie) and the model (--model)"
        )
    table, header = read_localizations(source, pixel_nm)
    sections = [
        glance_section(table, header),
        conditions_section(header),
        picture_section(source, table),
        quality_section(table, header),
        *drift_sections(source, header),
        *([resolution_section(source, pixel_nm)] if resolution else []),
        *extra,
        steps_section(header),
    ]
    if movie is not None and model is not None:
        sections.append(overlay_section(table, header, movie, model, mask=mask, camera=camera, count=overlays))
    sections.append(origin_section(source, header))
    with explain_write_errors(out, "Free some space or choose another folder."):
        write_text_atomically(out, _page(source.name, sections))
    return [section.title for section in sections]


def _page(name: str, sections: Sequence[Section]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("deepstorm3d.jobs.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    entries = [_Entry(re.sub(r"\W+", "-", section.title.lower()).strip("-"), section) for section in sections]
    return pages.get_template("report.html.j2").render(
        name=name,
        entries=entries,
        program=f"deepstorm3d {__version__}",
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )
