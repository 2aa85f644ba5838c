"""A row of the page: a mask, and its PSF through depth with the depths written under it."""

from __future__ import annotations

from nicegui import ui

from ..parts.props import with_props
from .pictures import MaskPicture

__all__ = ["mask_strip", "phase_bar"]

# Length of the white bar, µm.
_BAR_UM = 1.0


def mask_strip(picture: MaskPicture, mask_address: str, psf_address: str, *, height: int = 70) -> None:
    """Draw the row.

    mask_address, psf_address: of the two pictures;  height: of each, screen px, less where the row is narrow.
    """
    with ui.element("div").classes("ds-strip"):
        if picture.phase is not None:
            rows, columns = picture.phase.shape
            told = f"phase of the mask, −π to π, {columns} × {rows} mask px"
            _image(mask_address, told, 1).style(f"flex: 0 1 {height}px")
        # Both shrink by the same share, so that they keep one height.
        planes = len(picture.z_um)
        with ui.element("div").classes("ds-strip-planes").style(f"flex: 0 1 {planes * height}px"):
            told = "PSF through depth; the square root of the light, each in its own scale"
            share = 100 * _BAR_UM / (picture.width_um * planes)
            with ui.element("div").classes("ds-strip-shown"):
                _image(psf_address, told, planes).style("width: 100%")
                bar = ui.element("div").classes("ds-strip-bar").style(f"width: {share:.3f}%")
                bar.tooltip(f"{_BAR_UM:g} µm")
            with ui.element("div").classes("ds-strip-depths"):
                for number, z in enumerate(picture.z_um):
                    unit = " µm" if number == 0 else ""
                    ui.label(f"{'z ' if number == 0 else ''}{z:.2f}{unit}")


def phase_bar() -> None:
    """The colours of the phase with their ends, and what the white bar is."""
    with ui.element("div").classes("ds-bar ds-row"):
        ui.label("phase −π").classes("ds-faint")
        ui.element("div").classes("ds-phase-colours")
        ui.label("π").classes("ds-faint")
        ui.label(f"white bar: {_BAR_UM:g} µm").classes("ds-faint")


def _image(address: str, told: str, squares: int) -> ui.element:
    """A picture of so many squares side by side."""
    image = with_props(ui.element("img"), src=address, alt=told)
    return image.classes("ds-strip-image").style(f"aspect-ratio: {squares}").tooltip(told)
