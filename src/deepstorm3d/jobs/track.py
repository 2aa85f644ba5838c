"""Track: rows of moving molecules become trajectories, and trajectories tell how the molecules diffuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..analysis.trajectories import TrackRule, Trajectories, track_list
from ..errors import InputError
from ..io.tables import claim_list
from ..plot.panels import claim_picture, save_figure
from ..plot.trajectories import tracks_figure
from ..rendering.drawable import drawable
from ..watch import SILENT, Watcher
from .reading_lists import read_localizations, write_derived

__all__ = ["track_table"]


def track_table(
    source: Path,
    out: Path,
    rule: TrackRule | None = None,
    *,
    picture: Path | None = None,
    pixel_nm: float | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> Trajectories:
    """Link the rows of a list to trajectories (`track_list`), write them, and draw them where asked to.

    picture: drawn there;  pixel_nm: camera pixel in the sample, for a source that does not name it.
    Raises InputError as `track_list`, and for an output that cannot be written.
    """
    claim_list(out, overwrite=overwrite)
    if picture is not None:
        claim_picture(picture, overwrite=overwrite)
    rule = TrackRule() if rule is None else rule
    table, header = read_localizations(source, pixel_nm)
    try:
        found = track_list(table, rule, watch=watch)
    except InputError as error:
        raise InputError(f"{source}: {error.what}", error.remedy) from error
    found = replace(found, warnings=[*header.notes, *found.warnings])
    if picture is not None:
        shown, notes = drawable(found.localizations)
        found = replace(found, warnings=[*found.warnings, *notes])
        title = f"{found.tracks} trajectories of {source.name}"
        figure = tracks_figure(
            shown, found.displacements, found.diffusion, interval=rule.timing.interval, title=title
        )
        save_figure(figure, picture)
    settings = {
        "source": source.name,
        "range_um": None if found.reach is None else [found.reach.lateral_um, found.reach.axial_um],
        "gap": rule.gap,
        "least": rule.least,
        "interval_s": rule.timing.interval,
        "exposure_s": rule.timing.exposure,
        "rows": [found.rows, found.kept],
        "tracks": found.tracks,
        "linker": "trackpy",
    }
    write_derived(out, found.localizations, header, "track", settings, overwrite=overwrite)
    return found
