"""The page of a report: its sections in order, put into the template."""

from __future__ import annotations

import base64
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from ... import __version__
from ...analysis.quality import list_quality
from ...errors import InputError
from ...io.parts import claim_name, write_text
from ...watch import SILENT, Watcher, warn
from ..reading_lists import read_localizations
from .channels import channel_sections, molecule_sections
from .measures import drift_sections, resolution_section
from .overlays import TITLE as OVERLAYS
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
    watch: Watcher = SILENT,
) -> list[str]:
    """Write one page with its pictures inside, which loads nothing; returns the titles of its sections.

    source: list that localize wrote, or one derived from it; another program's list has no conditions to show.
    overlays: frames to draw beside their regenerated images;  resolution: measure it, which takes seconds to a
    minute;  pixel_nm: camera pixel in the sample, for a list that does not name it;  watch: told what was
    seen while reading, and of sections that could not be made: these say so in the page, and the others stand.
    Raises InputError where movie or model of the overlays do not fit the list, or the page cannot be written.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"a report is an HTML page, not '{out.suffix}'", "give a name such as report.html")
    claim_name(out, overwrite=overwrite)
    table, header = read_localizations(source, pixel_nm, watch=watch)
    # Two sections tell of it.
    quality = cache(lambda: list_quality(table, header.frames))
    makers: dict[str, Callable[[], Section | list[Section]]] = {
        "At a glance": lambda: glance_section(table, header, quality()),
        "Conditions": lambda: conditions_section(header),
        "Picture": lambda: picture_section(table, source.name),
        "Quality": lambda: quality_section(quality()),
        "Channels": lambda: channel_sections(table, header),
        "Molecules over their frames": lambda: molecule_sections(table),
        "Drift": lambda: drift_sections(source, header),
        "Resolution": lambda: resolution_section(table, source.name) if resolution else [],
        "Steps": lambda: steps_section(header),
        OVERLAYS: lambda: overlay_section(table, header, overlays, source) if overlays else [],
        "How it was made": lambda: origin_section(source, header),
    }
    sections = [part for title, make in makers.items() for part in _made(title, make, watch)]
    write_text(out, _page(source.name, sections))
    return [section.title for section in sections]


def _made(title: str, make: Callable[[], Section | list[Section]], watch: Watcher) -> list[Section]:
    """The sections of one maker; one that fails says so, and takes nothing else with it."""
    try:
        made = make()
        return made if isinstance(made, list) else [made]
    except InputError as error:
        if title == OVERLAYS:  # the user gave another movie or model
            raise
        return [Section(title, paragraphs=[str(error)])]
    except Exception as error:
        words = f"the section {title} could not be made ({type(error).__name__}: {error})"
        warn(watch, f"{words}: a fault of the program; please report it with the record in the page")
        told = (
            f"{words[0].upper()}{words[1:]}: a fault of the program, not of the list; please report the record."
        )
        return [Section(title, paragraphs=[told], record="".join(traceback.format_exception(error)))]


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
