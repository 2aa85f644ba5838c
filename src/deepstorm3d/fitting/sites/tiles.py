"""A window of frames fitted in overlapping tiles, so that no matrix grows with the field.

The places of all sites of a window are one system of equations, and so are photons and background of a frame.
Where there are too many of them, or the field is large, it is halved, again and again. A tile is fitted with
the molecules of a margin around it, and with the light of those farther out as in the list of single frames;
each site is taken from the tile in whose core its first row lies (`joined`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from ...chip import Region
from ...emitters import Localizations
from ...field import Field
from ..background import SplineBackground
from ..likelihood import Likelihood
from ..linear import expected_image
from ..state import JointState
from .fit import SiteFit, SitesOfFrames
from .joined import FittedWindow, Part, joined
from .kept import KeptSites
from .start import Carried, linked, order_of

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
) -> FittedWindow:
    """The sites of B consecutive frames.

    fit: of frames of any size;  found: rows, their frames counted from 0, positions in the field;  kept: sites
    of the frames before;  begin: number of the first frame in the movie;  field: what the frames show; None:
    they are never cut into tiles, and neither are those of several channels.
    """
    carried = kept.carried(torch.arange(len(kept)), begin) if len(kept) else None
    if field is None or not isinstance(fit, SiteFit):
        return joined([_whole(fit, found, likelihood, carried)], len(kept))
    margin = -(-(fit.single.core.patch_px // 2 + 1) // _GRID_PX) * _GRID_PX
    cores = list(_cores(field, margin, _places(found, carried, fit.dark)))
    if len(cores) == 1:
        return joined([_whole(_of_field(fit, field), found, likelihood, carried)], len(kept))
    window = _Window(fit, found, likelihood, kept, begin, field)
    return joined([window.fitted(core, margin) for core in cores], len(kept))


def _places(found: Localizations, carried: Carried | None, dark: int) -> Tensor:
    """x and y of each site that the window begins with, roughly: (S, 2) µm."""
    site = linked(found, carried, dark)
    before = torch.zeros(0, 2).double() if carried is None else carried.place[:, :2]
    first = torch.full((max(len(before), int(site.max()) + 1 if len(site) else 0),), len(found))
    first = first.scatter_reduce(0, site, torch.arange(len(found)), "amin")[len(before) :]
    return torch.cat([before, found.xyz[first, :2].double()])


def _of_field(fit: SiteFit, field: Field) -> SiteFit:
    return replace(fit, single=fit.single.in_field(field))


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

    fit: SiteFit
    found: Localizations
    likelihood: Likelihood
    kept: KeptSites
    begin: int
    field: Field

    def fitted(self, core: Region, margin: int) -> Part:
        """The sites whose first row, or place in the frames before, lies in a core."""
        outer = _widened(core, margin, self.field)
        pixel_um = self.field.pixel_um
        corner = torch.tensor([outer[0], outer[1], 0.0], dtype=torch.float64) * pixel_um
        carried = _inside(self._pixels(self.kept.place), outer, self.field).nonzero()[:, 0]
        here = _inside(self._pixels(self.found.xyz), outer, self.field)
        listed = here.nonzero()[:, 0]
        found = _moved(self.found.select(listed), -corner)
        order = order_of(found)
        found, listed = found.select(order), listed[order]
        fit = _of_field(self.fit, self.field.part(outer))
        before = self.kept.carried(carried, self.begin, corner) if len(carried) else None
        whole = fit.after_others(found, self._light(fit, outer, margin, ~here, corner), before)
        sites, place = whole.sites, whole.sites.place.clone()
        place[:, :3] += corner
        number = torch.full((len(sites),), -1)
        number[: len(carried)] = carried
        origin = torch.full_like(sites.origin, -1)
        old = sites.origin >= 0
        origin[old] = listed[sites.origin[old]]
        return Part(
            rows=_moved(whole.found.localizations, corner),
            site=sites.site,
            origin=origin,
            near=self._near(core, sites.site, origin, place),
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

    def _light(self, fit: SiteFit, outer: Region, margin: int, others: Tensor, corner: Tensor) -> Likelihood:
        """The likelihood of the pixels of a tile, which knows the light of the molecules around it."""
        x0, y0, x1, y1 = outer
        rows, columns, light = slice(y0, y1), slice(x0, x1), self.likelihood
        frames = light.frames[:, rows, columns].contiguous()
        weight = None if light.weight is None else light.weight[:, rows, columns].contiguous()
        near = others & _inside(self._pixels(self.found.xyz), _widened(outer, margin, self.field), self.field)
        around = _moved(self.found.select(near), -corner)
        bounds, shape = fit.single.bounds, (len(frames), y1 - y0, x1 - x0)
        blur = around.photons.new_full((len(around),), sum(bounds.blur_px) / 2)
        z = around.xyz[:, 2:].clamp(*bounds.z_um)
        state = JointState(
            xyz=torch.cat([around.xyz[:, :2], z], 1).to(frames),
            photons=around.photons.to(frames),
            frame=around.frame,
            coefficients=frames.new_zeros(len(frames), 1, 1),
            blur_px=blur.to(frames) if fit.single.fit_blur else None,
        )
        surface = SplineBackground(shape[1:], float("inf"), frames)
        known = expected_image(fit.single.core, state, surface, shape)
        return Likelihood(frames, light.noise.part(rows, columns), weight, known)

    def _owned(
        self, core: Region, whole: SitesOfFrames, found: Localizations, corner: Tensor, carried: Tensor
    ) -> Tensor:
        """Which sites of a tile are its own, (S,) bool; the same in all tiles that tie its rows alike.

        Where they do not, `joined` gives each row once.

        found: the rows that the tile began with.
        """
        sites, far = whole.sites, len(found)
        origin = torch.where(sites.origin >= 0, sites.origin, far)
        first = torch.full((len(sites),), far).scatter_reduce(0, sites.site, origin, "amin")
        place = sites.place[:, :3].clone()
        place[first < far] = found.xyz[first[first < far]].double()
        place += corner
        place[: len(carried)] = self.kept.place[carried, :3]
        return _inside(self._pixels(place), core, self.field)


def _moved(found: Localizations, by: Tensor) -> Localizations:
    x, y, z = by.tolist()
    return found.shift(xyz=(x, y, z))
