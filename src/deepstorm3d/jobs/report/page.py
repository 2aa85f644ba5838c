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
from ..lists.reading import read_localizations
from .measures import drift_sections, resolution_section
from .overlays import Overlays, overlay_section
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
    overlays: Overlays | None = None,
    resolution: bool = True,
    pixel_nm: float | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write one page with its pictures inside, which loads nothing; returns the titles of its sections.

    source: list that localize wrote, or one derived from it; another program's list has no conditions to show.
    overlays: frames to draw beside their regenerated images;  resolution: measure it, which takes seconds to a
    minute;  pixel_nm: camera pixel in the sample, for a list that does not name it.
    Raises InputError where movie or model of the overlays do not fit the list, or the page cannot be written.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"a report is an HTML page, not '{out.suffix}': give a name such as report.html")
    claim_name(out, overwrite=overwrite)
    table, header = read_localizations(source, pixel_nm)
    sections = [
        glance_section(table, header),
        conditions_section(header),
        picture_section(table, source.name),
        quality_section(table, header),
        *drift_sections(source, header),
        *([resolution_section(table, source.name)] if resolution else []),
        steps_section(header),
        *([overlay_section(table, header, overlays)] if overlays else []),
        origin_section(source, header),
    ]
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
