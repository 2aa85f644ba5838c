"""What a set-up allows, mask by mask: the bounds as a table and as a picture."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from .. import plot
from ..experiment.limits import LimitReport
from ..io.parts import write_text
from ..plot.panels import save_figure

__all__ = ["draw_report", "write_report"]


def draw_report(report: LimitReport, out: Path) -> None:
    """Draw the four panels of a report; the ending names the format."""
    save_figure(plot.limit(report), out)


def write_report(report: LimitReport, path: Path) -> None:
    """Write every bound as a CSV table, nm."""
    rows = list(report.rows())
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
