"""Super-resolved pictures of a list: from three sides, as a section, or next to an image of the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..emitters import Localizations
from ..errors import InputError
from ..extent import frame_extent
from ..front_door import doubt
from ..rendering.canvas import Method
from ..rendering.drawable import drawable, picture_pixel_nm
from ..rendering.sections import AXES, Axis, Box, Interval
from ..rendering.view import Colour, Look
from ..rendering.views import render_depth, render_section
from .rendered_views import Widefield, beside_figure, section_figure, views_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["beside", "rendering", "section"]


def rendering(
    found: Localizations,
    *,
    pixel_nm: float | None = None,
    colour: Colour = "depth",
    method: Method | None = None,
    box: Box | None = None,
    title: str = "",
) -> Figure:
    """Draw a list as a super-resolved image: from above (x–y) and from two sides (x–z, y–z).

    Hue is depth, brightness the density of localizations. A few rows that lie far beyond all others are not
    drawn, and a warning is given.

    Parameters
    ----------
    found : Localizations
        N rows; positions in µm, y down, z into the sample.
    pixel_nm : float, optional
        Rendered pixel, nm; default: 10 nm, or more if single molecules of a wide field would be too small to
        see.
    colour : {"depth", "dye", "molecule", "none"}
        Meaning of hue; "none" draws in grey.
    method : Method, optional
        `Gaussians()` draws each localization as wide as its σ; default: a histogram.
    box : Box, optional
        The part of the sample that is drawn, ``Box(x=(2.0, 5.0))`` in µm; default: everything.
    title : str
        Above all panels, before the number of localizations.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Raises
    ------
    InputError
        For an image that would be too large, or a list without the σ that the method needs.

    Examples
    --------
    >>> import torch
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.emitters import Localizations
    >>> xyz = torch.rand(1000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([4.0, 3.0, 1.0])
    >>> found = Localizations.proposals(xyz, torch.arange(1000), torch.ones(1000))
    >>> figure = plot.rendering(found, pixel_nm=20)
    >>> figure.get_suptitle()
    'Super-resolved image: 1,000 localizations, 20 nm pixels'
    """
    shown = _drawn(found, box, method)
    pixel = picture_pixel_nm(shown) if pixel_nm is None else pixel_nm
    return views_figure(
        render_depth(shown, method=method, pixel_nm=pixel, box=box, look=Look(colour)), title=title
    )


def section(
    found: Localizations,
    across: Axis = "z",
    *,
    between_um: Interval,
    pixel_nm: float | None = None,
    colour: Colour = "depth",
    method: Method | None = None,
    title: str = "",
) -> Figure:
    """Draw the localizations between two planes, seen along the axis across them.

    Parameters
    ----------
    found : Localizations
        N rows; positions in µm.
    across : {"z", "x", "y"}
        Axis perpendicular to the planes: z gives a picture x–y, y gives x–z, x gives y–z.
    between_um : tuple
        Positions of the two planes on that axis, µm.
    pixel_nm, colour, method, title
        As in `rendering`.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Raises
    ------
    InputError
        As `rendering`, and for planes in nm, far from all rows.

    Warns
    -----
    DoubtfulResult
        Where no row lies between the planes.

    Examples
    --------
    >>> import torch
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.emitters import Localizations
    >>> xyz = torch.rand(1000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([4.0, 3.0, 1.0])
    >>> found = Localizations.proposals(xyz, torch.arange(1000), torch.ones(1000))
    >>> plot.section(found, "z", between_um=(0.4, 0.6)).get_suptitle().splitlines()[1]
    'Section x–y, z = 0.4 to 0.6 µm'
    """
    box = Box().section(across, between_um)
    if len(found):
        _refuse_empty(found, across, box)
    shown = _drawn(found, box, method)
    pixel = picture_pixel_nm(shown) if pixel_nm is None else pixel_nm
    return section_figure(
        render_section(shown, across, method=method, pixel_nm=pixel, box=box, look=Look(colour)), title=title
    )


def beside(
    found: Localizations,
    image: Tensor | NDArray[Any],
    *,
    pixel_um: float,
    pixel_nm: float | None = None,
    colour: Colour = "depth",
    method: Method | None = None,
    title: str = "",
) -> Figure:
    """Draw an image of the camera and, next to it, the list from above, of the same field.

    Parameters
    ----------
    found : Localizations
        N rows, in the coordinates of the image: x = y = 0 is the centre of its first pixel.
    image : (H, W) tensor or array
        For instance the mean of the movie's frames; any unit.
    pixel_um : float
        Camera pixel of the image in the sample, µm.
    pixel_nm, colour, method, title
        As in `rendering`.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig`` writes it.

    Raises
    ------
    InputError
        As `rendering`, and where the image does not have rows and columns.

    Examples
    --------
    >>> import torch
    >>> from deepstorm3d import plot
    >>> from deepstorm3d.emitters import Localizations
    >>> xyz = 3 * torch.rand(1000, 3, generator=torch.Generator().manual_seed(0))
    >>> found = Localizations.proposals(xyz, torch.arange(1000), torch.ones(1000))
    >>> figure = plot.beside(found, torch.rand(32, 40), pixel_um=0.1)
    >>> figure.axes[0].get_title()
    'Camera, 100 nm pixels\\n'
    """
    light = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    if light.ndim != 2:
        raise InputError(f"an image has rows and columns, got an array of shape {light.shape}")
    shown = _drawn(found, None, method)
    pixel = picture_pixel_nm(shown) if pixel_nm is None else pixel_nm
    edges = frame_extent((light.shape[0], light.shape[1]), pixel_um)
    rendered = render_depth(shown, method=method, pixel_nm=pixel, field_um=edges, look=Look(colour))
    widefield = Widefield(light.astype(np.float32), edges, f"Camera, {1000 * pixel_um:g} nm pixels\n")
    return beside_figure(rendered, widefield, title=title)


def _drawn(found: Localizations, box: Box | None, method: Method | None) -> Localizations:
    """The rows that are drawn; warns about the others."""
    if method is not None and not hasattr(method, "needs_sigma"):
        raise InputError(
            f"a method is drawn by rows, not by the word '{method}'",
            "leave it out for a histogram, or give deepstorm3d.rendering.gaussians.Gaussians()",
        )
    shown, notes = drawable(found, box, by_sigma=method is not None and method.needs_sigma)
    doubt(notes)
    return shown


def _refuse_empty(found: Localizations, across: Axis, box: Box) -> None:
    """Raise InputError for a section in nm; warn where no row lies in it."""
    xyz = found.xyz.detach().cpu().double().numpy()
    box.refuse_wide(xyz)
    if not box.inside(xyz).any():
        values = xyz[:, AXES.index(across)]
        reach = f"{across} goes from {values.min():.2f} to {values.max():.2f} µm"
        doubt([f"no row of the list lies in the section: {reach}"])
