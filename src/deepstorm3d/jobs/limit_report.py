"""What a set-up allows, mask by mask: the bounds as a table and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..io.parts import write_text
from ..plot.limit import AXIS_NAMES, MaskLimits, limit_figure

__all__ = ["LimitReport", "draw_report", "write_report"]


@dataclass(frozen=True)
class LimitReport:
    """Bounds of each mask, side by side, and the conditions they hold for.

    photons, background, blur_px: of a molecule, where they are not varied;  noise: of the camera, in words;
    z_um: range of depths;
    frame_px, margin_px: the frame of many molecules, and its border free of them.
    """

    experiment: str
    photons: float
    background: float
    blur_px: float
    noise: str
    z_um: tuple[float, float]
    frame_px: tuple[int, int]
    margin_px: float
    masks: tuple[MaskLimits, ...]

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row for each bound, all its conditions in it; empty where the bound is over all depths."""
        one: dict[str, Any] = {
            "z_um": "",
            "photons": self.photons,
            "background": self.background,
            "emitters": 1,
            "density_per_um2": "",
        }
        for mask in self.masks:
            tables = [
                ("depth", "one molecule", "z_um", mask.depth),
                ("photons", "rms over depth", "photons", mask.photons),
                ("background", "rms over depth", "background", mask.background),
                ("density", "median of all", "density_per_um2", mask.median),
                ("density", "rms of all", "density_per_um2", mask.rms),
            ]
            for against, statistic, key, bounds in tables:
                for index, (value, sigma) in enumerate(zip(bounds.at, bounds.sigma_nm, strict=True)):
                    place = {key: round(float(value), 6)}
                    if against == "density":
                        place["emitters"] = int(mask.emitters[index])
                    figures = {
                        f"sigma_{a}_nm": round(float(s), 4) for a, s in zip(AXIS_NAMES, sigma, strict=True)
                    }
                    yield {"mask": mask.name, "against": against, "bound": statistic, **one, **place, **figures}


def draw_report(report: LimitReport, out: Path) -> None:
    """Draw the four panels of a report; the ending names the format."""
    limit_figure(
        report.masks,
        out,
        photons=report.photons,
        background=report.background,
        title=f"{report.experiment}, {report.noise}",
    )


def write_report(report: LimitReport, path: Path) -> None:
    """Write every bound as a CSV table, nm."""
    rows = list(report.rows())
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
