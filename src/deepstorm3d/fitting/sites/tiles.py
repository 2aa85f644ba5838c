"""A window of frames fitted in overlapping tiles, so that no matrix grows with the field.

The places of all sites of a window are one system of equations, and so are photons and background of a frame.
Where there are too many of them, or the field is large, it is halved, again and again. A tile is fitted with
the molecules of a margin around it, and with the light of those farther out as in the list of single frames;
each site is taken from the tile in whose core its first row lies (`joined`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ...chip import Region
from ...emitters import Localizations
from ...field import Field
from ...watch import SILENT, Watcher, advance
from ..refine import Bounds
from .fit import SitesOfFrames
from .joined import FittedWindow, Part, joined
from .kept import KeptSites
from .parts import corner_of
from .start import Carried, linked, order_of, rows_a_frame

__all__ = ["WindowFit", "fit_window"]

_MOST_SITES = 1000
"""Sites of a tile, with its margin, above which it is halved: 4,000 unknowns, a matrix of 130 MB."""
# Longest side of a core, px: the background of each frame is one system of equations too.
_LONGEST_PX = 256
# Shortest side of a core, px: smaller tiles would be mostly margin.
_SHORTEST_PX = 48
_GRID_PX = 8  # margins are multiples of it


class WindowFit(Protocol):
    """Fits the molecules of consecutive frames, of one channel (`SiteFit`) or of several."""

    @property
    def dark(self) -> int:
        """Frames in which a molecule may be missing."""
        ...

    @property
    def bounds(self) -> Bounds:
        """Range of the places."""
        ...

    @property
    def reach_px(self) -> int:
        """Pixels from a molecule to where its spot ends."""
        ...

    def of_rows(self, rows: float) -> WindowFit:
        """The fit of frames with so many rows each in the whole field, on average."""
        ...

    def of_field(self, field: Field) -> WindowFit:
        """The fit of frames that show all of the field."""
        ...

    def tile(
        self, field: Field, region: Region, likelihood: Any, others: Localizations
    ) -> tuple[WindowFit, Any]:
        """The fit of a region of the field, and the likelihood of its pixels with the light of other rows."""
        ...

    def after_others(self, found: Localizations, likelihood: Any, carried: Carried | None) -> SitesOfFrames:
        """The sites of B frames, with sites that shone in the frames before.

        found: rows of frames 0 … B−1;  likelihood: of the frames, as the fit takes it.
        """
        ...


def fit_window(
    fit: WindowFit,
    found: Localizations,
    likelihood: Any,
    kept: KeptSites,
    begin: int,
    field: Field | None,
    watch: Watcher = SILENT,
) -> FittedWindow:
    """The sites of B consecutive frames.

    fit: of frames of any size;  found: rows, their frames counted from 0, positions in the field;  kept: sites
    of the frames before;  begin: number of the first frame in the movie;  field: what the frames show, of
    several channels those of the first; None: they are never cut into tiles;  watch: told the tiles done; it
    can end the work (Interrupted).
    """
    fit = fit.of_rows(rows_a_frame(found, len(likelihood)))
    margin = -(-fit.reach_px // _GRID_PX) * _GRID_PX
    cores = [] if field is None else list(_cores(field, margin, _places(found, kept.rows(begin), fit.dark)))
    if field is None or len(cores) == 1:
        whole = fit if field is None else fit.of_field(field)
        carried = kept.carried(torch.arange(len(kept)), begin) if len(kept) else None
        return joined([_whole(whole, found, likelihood, carried)], len(kept))
    window = _Window(fit, found, likelihood, kept, begin, field)
    parts = list[Part]()
    for core in cores:
        advance(watch, len(parts), len(cores))
        parts.append(window.fitted(core, margin))
    return joined(parts, len(kept))


def _places(found: Localizations, earlier: Localizations, dark: int) -> Tensor:
    """x and y of each site that the window begins with, roughly: (S, 2) µm.  earlier: the carried ones."""
    site, before = linked(found, earlier if len(earlier) else None, dark), earlier.xyz[:, :2]
    first = torch.full((max(len(before), int(site.max()) + 1 if len(site) else 0),), len(found))
    first = first.scatter_reduce(0, site, torch.arange(len(found)), "amin")[len(before) :]
    return torch.cat([before, found.xyz[first, :2].double()])


def _cores(field: Field, margin: int, places: Tensor) -> Iterator[Region]:
    """Cores that cover the field, halved until each is small and has few enough sites with its margin."""
    pixels = places / field.pixel_um + 0.5
    waiting: list[Region] = [(0, 0, field.width, field.height)]
    while waiting:
        core = waiting.pop(0)
        x0, y0, x1, y1 = core
        width, height = x1 - x0, y1 - y0
        many = int(_inside(pixels, _widened(core, margin, field), field).sum()) > _MOST_SITES
        halved = max(width, height) > _LONGEST_PX or (many and max(width, height) >= 2 * _SHORTEST_PX)
        if not halved:
            yield core
        elif width >= height:
            middle = x0 + width // 2
            waiting[:0] = [(x0, y0, middle, y1), (middle, y0, x1, y1)]
        else:
            middle = y0 + height // 2
            waiting[:0] = [(x0, y0, x1, middle), (x0, middle, x1, y1)]


def _widened(region: Region, margin: int, field: Field) -> Region:
    x0, y0, x1, y1 = region
    return (
        max(0, x0 - margin),
        max(0, y0 - margin),
        min(field.width, x1 + margin),
        min(field.height, y1 + margin),
    )


def _inside(pixels: Tensor, region: Region, field: Field) -> Tensor:
    """Whether positions (N, 2), px from the corner of the first pixel, are in a region: (N,) bool.

    A region at an edge of the field also has what lies beyond it.
    """
    inside = torch.ones(len(pixels), dtype=torch.bool)
    for axis, size in enumerate((field.width, field.height)):
        low, high = region[axis], region[axis + 2]
        if low > 0:
            inside &= pixels[:, axis] >= low
        if high < size:
            inside &= pixels[:, axis] < high
    return inside


def _whole(fit: WindowFit, found: Localizations, likelihood: Any, carried: Carried | None) -> Part:
    """All sites of the frames at once."""
    whole = fit.after_others(found, likelihood, carried)
    sites, rows = whole.sites, whole.found.localizations
    number, own = torch.full((len(sites),), -1), torch.ones(len(sites), dtype=torch.bool)
    if carried is not None:
        number[: len(carried.place)] = torch.arange(len(carried.place))
    near = torch.ones(len(rows), dtype=torch.bool)
    return Part(rows, whole.site, whole.origin, near, sites.place, number, own, whole.covariance)


@dataclass(frozen=True)
class _Window:
    """A window to be fitted in tiles; arguments as those of `fit_window`."""

    fit: WindowFit
    found: Localizations
    likelihood: Any
    kept: KeptSites
    begin: int
    field: Field

    def fitted(self, core: Region, margin: int) -> Part:
        """The sites whose first row, or place in the frames before, lies in a core."""
        outer = _widened(core, margin, self.field)
        corner = corner_of(outer, self.field.pixel_um)
        carried = _inside(self._pixels(self.kept.place), outer, self.field).nonzero()[:, 0]
        here = _inside(self._pixels(self.found.xyz), outer, self.field)
        listed = here.nonzero()[:, 0]
        found = _moved(self.found.select(listed), -corner)
        order = order_of(found)
        found, listed = found.select(order), listed[order]
        fit, light = self.fit.tile(self.field, outer, self.likelihood, self.found.select(~here))
        before = self.kept.carried(carried, self.begin, corner) if len(carried) else None
        whole = fit.after_others(found, light, before)
        sites, place = whole.sites, whole.sites.place.clone()
        place[:, :3] += corner
        number = torch.full((len(sites),), -1)
        number[: len(carried)] = carried
        origin = torch.full_like(whole.origin, -1)
        old = whole.origin >= 0
        origin[old] = listed[whole.origin[old]]
        return Part(
            rows=_moved(whole.found.localizations, corner),
            site=whole.site,
            origin=origin,
            near=self._near(core, whole.site, origin, place),
            place=place,
            carried=number,
            own=self._owned(core, whole, found, corner, carried),
            covariance=whole.covariance,
        )

    def _near(self, core: Region, site: Tensor, origin: Tensor, place: Tensor) -> Tensor:
        """Which looks (N,) have their row of the list in a core; those of sites without any: their place, or
        almost."""
        old = origin >= 0
        near = torch.zeros_like(old)
        near[old] = _inside(self._pixels(self.found.xyz[origin[old]]), core, self.field)
        unlisted = torch.bincount(site[old], minlength=len(place)) == 0
        edge = _inside(self._pixels(place), _widened(core, 1, self.field), self.field)
        return near | (unlisted & edge)[site]

    def _pixels(self, place: Tensor) -> Tensor:
        return place[:, :2].double() / self.field.pixel_um + 0.5

    def _owned(
        self, core: Region, whole: SitesOfFrames, found: Localizations, corner: Tensor, carried: Tensor
    ) -> Tensor:
        """Which sites of a tile are its own, (S,) bool; the same in all tiles that tie its rows alike.

        Where they do not, `joined` gives each row once.

        found: the rows that the tile began with.
        """
        sites, far = whole.sites, len(found)
        origin = torch.where(whole.origin >= 0, whole.origin, far)
        first = torch.full((len(sites),), far).scatter_reduce(0, whole.site, origin, "amin")
        place = sites.place[:, :3].clone()
        place[first < far] = found.xyz[first[first < far]].double()
        place += corner
        place[: len(carried)] = self.kept.place[carried, :3]
        return _inside(self._pixels(place), core, self.field)


def _moved(found: Localizations, by: Tensor) -> Localizations:
    x, y, z = by.tolist()
    return found.shift(xyz=(x, y, z))
