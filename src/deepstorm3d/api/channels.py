"""Two channels in memory: the transform between them, from arrays or files."""

from __future__ import annotations

import warnings
from pathlib import Path

from ..calibration.registration.registration import (
    ChannelList,
    Registration,
    RegistrationRule,
    register_lists,
)
from ..channels.camera_halves import Side
from ..emitters import Localizations
from ..errors import DoubtfulResult
from ..field import Field
from ..io.tables import read_list
from ..jobs.register import split_list
from .lists import List

__all__ = ["register", "split_channels"]


def register(
    first: List,
    second: List,
    *,
    degree: int | None = None,
    mirror: bool | None = None,
    beads: bool | None = None,
    pixel_um: float | None = None,
) -> Registration:
    """Find where the molecules of one channel lie in the other, from a list of each.

    No start is needed. Rows of the same frame are candidates for partners; of all rotations, scales, shifts and
    mirrors the one is taken that pairs more rows than chance can. A polynomial is then fitted to the pairs,
    weighted with the σ of both rows; its degree is the one that predicts pairs of other places best. Beads,
    which stay where they are, are averaged first, and their frames need not belong together.

    Parameters
    ----------
    first, second : Localizations or path
        Of the same recording frame by frame, or of beads that both channels see.
    degree : int
        Of the transform, 1 (affine), 2 or 3; None: by cross-validation.
    mirror : bool
        Whether the second channel shows the first as a mirror does; None: found out.
    beads : bool
        Whether the lists are of beads; None: found out.
    pixel_um : float
        Camera pixel in the sample, for files that do not name their pixel size.

    Returns
    -------
    Registration
        ``.transform``, ``.residual_nm`` (cross-validated), ``.depth``, ``.apply(list)`` and ``.undo(list)``;
        ``write_transform("t.yaml", registration.channels)`` keeps it.

    Raises
    ------
    InputError
        Where there are too few rows or pairs, no common frame, or no agreement better than chance.

    Warns
    -----
    DoubtfulResult
        Where the second channel is mirrored, where the field or the pairs do not bear the transform, and where
        the depth offset is not one number.
    """
    rule = RegistrationRule(degree, mirror, beads)
    found = register_lists(_channel(first, pixel_um), _channel(second, pixel_um), rule)
    for text in found.warnings:
        warnings.warn(text, DoubtfulResult, stacklevel=2)
    return found


def split_channels(
    found: List, side: Side, *, shape: tuple[int, int] | None = None, pixel_um: float | None = None
) -> tuple[Localizations, Localizations]:
    """The lists of both channels, from one of a camera that shows them beside or above each other.

    Parameters
    ----------
    found : Localizations or path
    side : "left-right" or "top-bottom"
        The first channel is left, or at the top.
    shape : tuple of int
        Height and width of the frames in pixels; needed for a list in memory.
    pixel_um : float
        Camera pixel in the sample; needed for a list in memory.

    Returns
    -------
    tuple of Localizations
        Of the first and of the second half; the latter in its own µm, from the centre of its first pixel. A
        mirrored half stays mirrored: `register` sees that.

    Raises
    ------
    InputError
        Where a half has no rows.
    """
    if isinstance(found, Localizations):
        if shape is None or pixel_um is None:
            raise ValueError("give shape (height, width) and pixel_um: a list in memory does not know them")
        table, size, pixel = found, shape, pixel_um
    else:
        table, header = read_list(Path(found), pixel_um=pixel_um)
        size, pixel = header.shape, float(header.pixel_um)
    first, second = split_list(table, side, size, pixel)
    return first.table, second.table


def _channel(found: List, pixel_um: float | None) -> ChannelList:
    if isinstance(found, Localizations):
        return ChannelList(found)
    table, header = read_list(Path(found), pixel_um=pixel_um)
    return ChannelList(table, Field(*header.shape, float(header.pixel_um)), Path(found).name)
