"""The table of the panel "Limits": bounds of each mask for the molecule of the conditions."""

from __future__ import annotations

from html import escape

from ...experiment.limits import LimitReport, MaskLimits
from .curves import mask_colour

__all__ = ["conditions_line", "summary_table"]


def summary_table(report: LimitReport | None) -> str:
    """The summary of a report as HTML, a column a mask; bounds for other photons and backgrounds left out."""
    if report is None:
        return ""
    heads = "".join(_head(number, mask) for number, mask in enumerate(report.masks))
    rows, before = [], "depth"
    for line in report.summary():
        if line.against in ("photons", "background"):
            continue
        cells = "".join(f"<td>{' · '.join(f'{value:.1f}' for value in sigma)}</td>" for sigma in line.sigma_nm)
        kind = " class='ds-rule'" if line.against != before else ""
        before = line.against
        # The number of molecules is left out: densities are what other frames share.
        label = line.label.partition(", ")[2] if line.against == "density" else line.label
        rows.append(f"<tr{kind}><th>{escape(label)}</th>{cells}</tr>")
    head = f"<tr><th>σ of x · y · z (nm)</th>{heads}</tr>"
    return f"<table class='ds-table'><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _head(number: int, mask: MaskLimits) -> str:
    name = escape(mask.name.removesuffix(" (the experiment's)"))
    return f"<th><span class='ds-swatch' style='background:{mask_colour(number)}'></span> {name}</th>"


def conditions_line(report: LimitReport) -> str:
    """For which molecules, light and noise the bounds are."""
    height, width = report.frame_px
    background = f"background {report.background:g} photons per pixel"
    if not report.background:
        background = "no background: the noise is that of the molecules' own light and of the camera"
    return (
        f"{report.photons:,.0f} photons, blur {report.blur_px:g} px; {background}; {report.noise}. Many "
        f"molecules: at random places in {width} × {height} px, all estimated together."
    )
