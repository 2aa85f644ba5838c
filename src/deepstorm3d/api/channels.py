"""Two channels in memory: the transform between them, and dyes told apart, from arrays or files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..analysis.dyes import DyeRule, DyesFound, find_dyes
from ..calibration.registration.registration import (
    ChannelList,
    Registration,
    RegistrationRule,
    register_lists,
    smallest_field,
)
from ..channels.camera_halves import Side
from ..emitters import Localizations
from ..errors import InputError
from ..field import Field
from ..front_door import doubt, public
from ..io.tables import TableHeader
from ..jobs.register import field_of_list, split_list, whole_frame
from .reading import List, opened

__all__ = ["dyes", "register", "split_channels"]

_MOST_PIXEL_UM = 10.0  # larger ones are in nm
_MOST_OUTSIDE = 0.1  # share of rows outside of the frames beyond which these are not the list's


@public
def dyes(
    found: List, dyes: Mapping[str, float] | int, *, sure: float = 0.0, pixel_um: float | None = None
) -> DyesFound:
    """Tell dyes apart by the share of their light that the second channel sees.

    The shares of all molecules are described by a mixture of the dyes, each with a scatter of its own beyond
    the molecules' σ, and of molecules that are none of them. Rows of one molecule (column `molecule`) get one
    answer.

    Parameters
    ----------
    found : Localizations or path
        With the columns `share` and `sigma_share`.
    dyes : mapping or int
        The share of each dye in the second channel, 0 to 1, by its name: from a sample of one dye each, or from
        the filters. Or the number of dyes, whose shares are then found from the list.
    sure : float
        Molecules whose dye is less probable than this get none; 0: each gets the likeliest.
    pixel_um : float
        Camera pixel in the sample, for a file that does not name its pixel size.

    Returns
    -------
    DyesFound
        ``.localizations`` with columns `dye` (from 1 in the order of ``.names``, from the smallest share; 0:
        none) and `dye_probability`; ``.mixture.shares``; ``.molecules``, how many of none and of each;
        ``.misassigned``, the part of the given dyes that is expected to be wrong.

    Raises
    ------
    InputError
        For a list without shares, or fewer molecules than unknown shares can be found from.

    Warns
    -----
    DoubtfulResult
        Where dyes can hardly be told apart, many molecules are none's, the molecules show other shares than
        those given, a dye has hardly any molecule, or rows have no share.

    Examples
    --------
    >>> import torch, deepstorm3d as ds
    >>> from dataclasses import replace
    >>> rows = ds.Localizations.proposals(torch.rand(4, 3), torch.arange(4), torch.ones(4))
    >>> share = torch.tensor([0.31, 0.29, 0.72, 0.68])
    >>> rows = replace(rows, share=share, sigma_share=torch.full((4,), 0.02))
    >>> ds.dyes(rows, {"red": 0.3, "far red": 0.7}).localizations.dye.tolist()
    [1, 1, 2, 2]
    """
    result = find_dyes(opened(found, pixel_um)[0], DyeRule(dyes, sure))
    doubt(result.warnings)
    return result


@public
def register(
    first: List,
    second: List,
    *,
    degree: int | None = None,
    mirror: bool | None = None,
    beads: bool | None = None,
    pixel_um: float | None = None,
    shape: tuple[int, int] | None = None,
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
        Camera pixel in the sample, for lists in memory and files that do not name their pixel size.
    shape : tuple
        Height and width of the frames, px, for lists in memory and files that do not hold them; without it they
        are taken to end where the rows do.

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
        Where the second channel is mirrored, where the field or the pairs do not bear the transform, where the
        depth offset is not one number, and where the frames' size is a guess.
    """
    rule = RegistrationRule(degree, mirror, beads)
    (one, guess), (two, guess_there) = (
        _channel(found, *opened(found, pixel_um), shape, pixel_um) for found in (first, second)
    )
    found = register_lists(one, two, rule)
    doubt([*dict.fromkeys([*guess, *guess_there]), *found.warnings])
    return found


@public
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
        Height and width of the frames in pixels; needed for a list in memory, and a file that does not say it.
    pixel_um : float
        Camera pixel in the sample; needed likewise.

    Returns
    -------
    tuple of Localizations
        Of the first and of the second half; the latter in its own µm, from the centre of its first pixel. A
        mirrored half stays mirrored: `register` sees that.

    Raises
    ------
    InputError
        Where a half has no rows, or the frames are not known.
    """
    table, header = opened(found, pixel_um)
    if header is not None and not isinstance(found, Localizations):
        shape, pixel_um = whole_frame(Path(found), header, shape), float(header.pixel_um)
    if shape is None or pixel_um is None:
        raise InputError(
            "a list in memory does not know its frames", "give shape (height, width) and `pixel_um`"
        )
    first, second = split_list(table, side, shape, pixel_um)
    return first.table, second.table


def _channel(
    found: List,
    table: Localizations,
    header: TableHeader | None,
    shape: tuple[int, int] | None,
    pixel_um: float | None,
) -> tuple[ChannelList, list[str]]:
    """The list of a channel with its frames, and a note where they are a guess."""
    if header is not None and not isinstance(found, Localizations):
        field, guess = field_of_list(Path(found), header, shape)
        return ChannelList(table, field, Path(found).name), guess
    return _in_memory(table, shape, pixel_um)


def _in_memory(
    table: Localizations, shape: tuple[int, int] | None, pixel_um: float | None
) -> tuple[ChannelList, list[str]]:
    """The list of a channel that is no file, with its frames, and a note where they are a guess."""
    if pixel_um is None and shape is not None:
        raise InputError(
            "frames of so many pixels are given (`shape`), but not how large these are", "give `pixel_um`"
        )
    if pixel_um is None:
        return ChannelList(table), [
            "a list in memory does not know its frames: they are taken to end where its rows do, with pixels "
            "of 100 nm; give `pixel_um` and `shape`"
        ]
    if not 0 < pixel_um <= _MOST_PIXEL_UM:
        raise InputError(
            f"a camera's pixel of {pixel_um:g} µm in the sample cannot be (`pixel_um`)", "110 nm are 0.11"
        )
    reached = smallest_field(table, pixel_um)
    if shape is None:
        return ChannelList(table, reached), [
            "a list in memory does not know its frames: they are taken to end where its rows do, at "
            f"{reached.width} x {reached.height} px; give their size (`shape`)"
        ]
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"frames have a height and a width in pixels, not {shape} (`shape`)")
    height, width = shape
    field = Field(height, width, pixel_um)
    # Some may be seen from beyond the edge.
    outside = 1 - float(field.inside(table.xyz).float().mean()) if len(table) else 0.0
    if outside > _MOST_OUTSIDE:
        raise InputError(
            f"{outside:.0%} of the rows lie outside of frames of {width} x {height} px (`shape`): they reach "
            f"to {reached.width} x {reached.height} px",
            "columns come first here; is `pixel_um` the camera's pixel in the sample, in µm?",
        )
    return ChannelList(table, field), []
