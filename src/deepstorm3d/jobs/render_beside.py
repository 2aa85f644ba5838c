"""Render beside: the super-resolved picture next to a diffraction-limited one, simulated or measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..emitters import Localizations
from ..errors import InputError, MissingPixelSize
from ..extent import frame_extent
from ..frames.image_shift import Registration, register
from ..io.movies import open_movie
from ..io.movies.pixel_size import check_pixel
from ..io.tables import TableHeader, read_header
from ..plot.panels import claim_picture, save_figure
from ..plot.rendered_views import Widefield, beside_figure
from ..rendering.canvas import Canvas, Image
from ..rendering.gaussians import Gaussians
from ..rendering.sections import Box, cloud_of
from ..rendering.views import DepthRendering
from ..watch import SILENT, Watcher
from .render import AS_USUAL, Drawing, is_data, list_in_box

__all__ = ["Beside", "MeasuredImage", "StandardPSF", "render_beside"]

# σ of the Gaussian nearest to the focal spot of a circular pupil, in λ/NA. Zhang, Zerubia and Olivo-Marin,
# Appl. Opt. 46:1819 (2007): 0.21 for the widefield microscope in its paraxial form.
_SIGMA = 0.21
# Where neither list nor file names the camera's pixel.
_USUAL_PIXEL_UM = 0.1
_BLOCK = 64


@dataclass(frozen=True)
class StandardPSF:
    """PSF of a microscope without a mask: a Gaussian of σ = 0.21 λ/NA, every depth in focus.

    na, wavelength_nm: numerical aperture and wavelength of the light; None: as the list's own record of the
    microscope says.
    """

    na: float | None = None
    wavelength_nm: float | None = None

    def sigma_um(self, provenance: Mapping[str, Any]) -> float:
        """σ in the sample, µm; provenance: of the list.  Raises InputError for an unknown microscope."""
        microscope = (provenance.get("experiment") or {}).get("microscope") or {}
        aperture = microscope.get("na") if self.na is None else self.na
        wavelength = microscope.get("wavelength") if self.wavelength_nm is None else self.wavelength_nm / 1000
        if aperture is None or wavelength is None:
            raise InputError(
                "the list does not say through which microscope it was recorded",
                "give its numerical aperture and the wavelength of the light (`na=1.45` `wavelength_nm=670`)",
            )
        if not (0 < aperture < 2 and 0.2 < wavelength < 2):
            raise InputError(
                f"a numerical aperture of {aperture:g} and a wavelength of {1000 * wavelength:g} nm belong to "
                "no microscope",
                "check `na` and `wavelength_nm`",
            )
        return _SIGMA * wavelength / aperture


@dataclass(frozen=True)
class MeasuredImage:
    """A second acquisition of the field, without a mask.

    path: TIFF; the mean of its frames is drawn;  pixel_nm: camera pixel in the sample, whatever the file says;
    None: as the file says.
    """

    path: Path
    pixel_nm: float | None = None

    def mean(self) -> tuple[Image, float]:
        """Mean of the frames (h, w), and the pixel in µm.

        Raises InputError for an unknown pixel size, and for pixels that are not square.
        """
        with open_movie(self.path) as movie:
            pixel = movie.pixel_um if self.pixel_nm is None else self.pixel_nm / 1000
            if self.pixel_nm is None and pixel is not None:
                square = "give an image with square pixels"
                argument = "`MeasuredImage.pixel_nm`"
                check_pixel(movie, pixel, "taken for square ones of", square, argument=argument)
            if pixel is None or not pixel > 0:
                raise MissingPixelSize(
                    f"{self.path} does not name its pixel size", "give it (`MeasuredImage.pixel_nm`)"
                )
            frames, height, width = movie.shape
            total = np.zeros((height, width))
            for start in range(0, frames, _BLOCK):
                total += movie.read(start, min(start + _BLOCK, frames)).sum(axis=0, dtype=float)
        return (total / frames).astype(np.float32), pixel


@dataclass(frozen=True)
class Beside:
    """What was drawn: the rendering, the σ in µm of the standard PSF, and how a measured image was registered.

    registration: of the file against the list drawn with that σ, in pixels of `pixel_um`; None for a simulated
    image.
    """

    rendering: DepthRendering
    sigma_um: float
    pixel_um: float
    registration: Registration | None


def render_beside(
    source: Path,
    out: Path,
    measured: MeasuredImage | None = None,
    drawing: Drawing = AS_USUAL,
    *,
    standard: StandardPSF | None = None,
    overwrite: bool = False,
    watch: Watcher = SILENT,
) -> Beside:
    """Draw a diffraction-limited image and, beside it, the list from above.

    measured: a second acquisition of the field, shifted onto the list by cross-correlation; None: the list
    drawn through the standard PSF, each localization of equal light, on the camera's pixels;
    standard: that PSF; None: of the microscope in the list's own record.
    Raises InputError as `render_table` does, for an unknown microscope, and where the registration is not
    distinct.
    """
    if is_data(out):
        raise InputError(f"{out}: two images side by side are a picture", "write .png, .pdf or .svg")
    claim_picture(out, overwrite=overwrite)
    box = drawing.box
    table, header = list_in_box(source, drawing, watch=watch), _header(source)
    sigma = (standard or StandardPSF()).sigma_um(header.provenance if header else {})
    rendering = drawing.views_of(table)
    if measured is None:
        pixel = header.pixel_um if header else _USUAL_PIXEL_UM
        canvas = Canvas.over(rendering.xy.edges_um, pixel)
        registration, widefield = None, _simulated(table, box, canvas, sigma)
    else:
        light, pixel = measured.mean()
        registration, widefield = _registered(light, pixel, table, box, sigma, measured.path.name)
    save_figure(beside_figure(rendering, widefield, title=source.name), out)
    return Beside(rendering, sigma, pixel, registration)


def _header(source: Path) -> TableHeader | None:
    """What the file says of the recording; nothing of a CSV, or where it does not name its pixel."""
    try:
        return read_header(source) if source.suffix.lower() in (".hdf5", ".h5", ".mat") else None
    except MissingPixelSize:
        return None


def _simulated(table: Localizations, box: Box, canvas: Canvas, sigma_um: float) -> Widefield:
    return Widefield(
        _blurred(table, box, canvas, sigma_um),
        canvas.edges_um,
        "Standard microscope: simulated from the list, not measured\n"
        f"Gaussian PSF, σ = 0.21 λ/NA = {1000 * sigma_um:.0f} nm, every depth in focus",
    )


def _registered(
    light: Image, pixel_um: float, table: Localizations, box: Box, sigma_um: float, name: str
) -> tuple[Registration, Widefield]:
    height, width = light.shape
    edges = frame_extent((height, width), pixel_um)
    expected = _blurred(table, box, Canvas.over(edges, pixel_um), sigma_um)
    found = register(light.astype(float), expected.astype(float), peak_px=max(2.0, 4 * sigma_um / pixel_um))
    down, right = (pixel_um * shift for shift in found.shift_px)
    left, top, far, bottom = edges
    return found, Widefield(
        light,
        (left + right, top + down, far + right, bottom + down),
        f"Measured: {name}\nmoved by {1000 * right:.0f} nm in x, {1000 * down:.0f} nm in y; correlation "
        f"{found.correlation:.2f}",
    )


def _blurred(table: Localizations, box: Box, canvas: Canvas, sigma_um: float) -> Image:
    method = Gaussians(blur_um=sigma_um)
    points = cloud_of(table, method, box).blocks(("y", "x"), np.ones((1, 1), np.float32))
    return method.draw(canvas, points, 1)[0]
