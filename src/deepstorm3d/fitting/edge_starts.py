"""Other places where a molecule at an edge of the field may be: starts on both sides of it, each fitted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..field import Field
from ..maxima import highest_around
from ..optics.assembly import Assembly
from ..optics.psf import PSF
from .background import SplineBackground
from .likelihood import Likelihood
from .refine import Bounds, Effort, Refined, refine
from .rivals import outdone
from .state import JointState
from .windows import Windows

__all__ = ["ALL_EDGES", "EdgeStarts", "Edges", "Places", "edges_of"]

Edges = tuple[bool, bool, bool, bool]
"""Which sides of a frame are edges of the whole field: left, top, right, bottom."""
ALL_EDGES: Edges = (True, True, True, True)

_INSIDE_UM = 0.6  # a molecule less far inside an edge is at it, µm
_FARTHEST_UM = 0.35  # what is farther beyond it could be of any brightness, and is no other place, µm
# Distances beyond the edge at which a molecule starts, µm, each at the most promising depths.
_BEYOND_UM = (-0.2, 0.0, 0.2)
_DEPTHS = 2  # largest number of depths at each distance
_SHARE = 0.8  # a start explains at least this share of what the molecule's own place does
_ITERATIONS = 15  # largest number of steps of a start's fit in its window …
_SETTLED = 0.2  # … which stops when a step lowers the deviance by less than this
# A fit in a window may have a deviance higher by this: the background there is that of the own place.
_MARGIN = 10.0
_SAME_UM = 0.04  # places nearer than this, in depth than twice this, are one


@dataclass(frozen=True)
class Places:
    """K other places of molecules of a list.

    row: (K,) int64, the molecule;  xyz: (K, 3) µm;  photons: (K,);  blur_px: (K,) or None;
    deviance: (K,) float64, of the frame with the molecule there, less that with the molecule as it is.
    """

    row: Tensor
    xyz: Tensor
    photons: Tensor
    blur_px: Tensor | None
    deviance: Tensor

    @classmethod
    def of(cls, state: JointState, rows: Tensor, row: Tensor, deviance: Tensor) -> Places:
        """Where the molecules `rows` (K,) of a state are, as places of the molecules `row` of a list."""
        blur = None if state.blur_px is None else state.blur_px[rows]
        return cls(row, state.xyz[rows], state.photons[rows], blur, deviance)

    def __len__(self) -> int:
        return len(self.row)

    def select(self, keep: Tensor) -> Places:
        """Some of them, an index or a mask."""
        blur = None if self.blur_px is None else self.blur_px[keep]
        return Places(self.row[keep], self.xyz[keep], self.photons[keep], blur, self.deviance[keep])

    def joined(self, other: Places) -> Places:
        """These and others."""
        blur = None
        if self.blur_px is not None and other.blur_px is not None:
            blur = torch.cat([self.blur_px, other.blur_px])
        row, xyz = torch.cat([self.row, other.row]), torch.cat([self.xyz, other.xyz])
        photons = torch.cat([self.photons, other.photons])
        return Places(row, xyz, photons, blur, torch.cat([self.deviance, other.deviance]))

    @property
    def promise(self) -> Tensor:
        """How promising each is, (K,): the larger, the lower its deviance; no two are equal."""
        return -self.deviance.argsort(stable=True).argsort().double()

    def distinct(self, state: JointState) -> Places:
        """Those that are not where the molecule is, and of several at one place the best."""
        scale = state.xyz.new_tensor([1.0, 1.0, 0.5])
        far = ((self.xyz - state.xyz[self.row]) * scale).norm(dim=1) > _SAME_UM
        some = self.select(far)
        reach = torch.full_like(some.photons, _SAME_UM)
        return some.select(~outdone(some.xyz * scale, some.row, some.promise, reach))


@dataclass(frozen=True)
class EdgeStarts:
    """Fits each molecule at an edge from other starts, in a window with all else unchanged.

    psf: its patch is the window;  bounds: allowed range of the unknowns;  z: depths of the starts, µm;
    spacing_px: of the knots of the background, which bends where a spot is missed;
    edges: which sides of the frames are edges of the field.
    """

    psf: PSF
    bounds: Bounds
    z: Tensor
    spacing_px: float
    edges: Edges = ALL_EDGES

    def __call__(self, state: JointState, image: Tensor, likelihood: Likelihood) -> Places:
        """Other places that explain the frames about as well, deviances estimated.

        image: (B, H, W) photons expected for the state.
        """
        beyond = self._beyond(state.xyz, likelihood)
        row, edge = (beyond > -_INSIDE_UM).nonzero().unbind(1)
        if not len(row):
            return Places.of(state, row, row, row.double())
        windows = Windows.around(state.xyz[row], state.frame[row], likelihood, self.psf, image)
        blur = None if state.blur_px is None else state.blur_px[row]
        unit = self._drawn(windows, state.xyz[row, None], blur)
        own = unit[:, 0] * state.photons[row, None, None]
        windows = windows.without(own)
        grid = self._grid(state.xyz[row], edge, beyond[row, edge])
        images = torch.cat([self._drawn(windows, grid.flatten(1, 2), blur), unit], 1)
        gain, photons = _light(images, windows.likelihood, own)
        start, place = _highest(gain[:, :-1].view(grid.shape[:3]), _SHARE * gain[:, -1])
        if not len(start):
            return Places.of(state, start, start, start.double())
        # The molecules' own places first: what their windows leave is the measure for the others.
        first, measure = start.unique(return_inverse=True)
        each = torch.cat([first, start])
        xyz = torch.cat([state.xyz[row[first]], grid.flatten(1, 2)[start, place]])
        light = torch.cat([state.photons[row[first]], photons[start, place]])
        fitted = self._fitted(windows.select(each), xyz, light, None if blur is None else blur[each])
        above = fitted.deviance[len(first) :] - fitted.deviance[measure]
        others = torch.arange(len(first), len(each), device=row.device)
        found = Places.of(fitted.state, others, row[start], above)
        seen = self._beyond(found.xyz, likelihood).amax(1) < _FARTHEST_UM
        return found.select(seen & (found.deviance < _MARGIN)).distinct(state)

    def _fitted(self, windows: Windows, xyz: Tensor, photons: Tensor, blur_px: Tensor | None) -> Refined:
        """The fit of one molecule and a change of the background in each window: K of all of them."""
        count, side = len(xyz), self.psf.patch_px
        surface = SplineBackground.shared((side, side), self.spacing_px, xyz)
        start = JointState(
            xyz=xyz,
            photons=photons.clamp(min=self.bounds.photons),
            frame=torch.arange(count, device=xyz.device),
            coefficients=xyz.new_zeros(count, *surface.shape),
            blur_px=blur_px,
            begin_px=windows.corner,
        )
        return refine(self.psf, start, windows.likelihood, surface, self.bounds, Effort(_ITERATIONS, _SETTLED))

    def _beyond(self, xyz: Tensor, likelihood: Likelihood) -> Tensor:
        """How far places (N, 3) are beyond each edge, (N, 4) µm: negative inside, −inf where there is none."""
        height, width = likelihood.frames.shape[1:]
        place = xyz[:, :2] / self.psf.pixel_um
        beyond = torch.cat([-0.5 - place, place - (place.new_tensor([width, height]) - 0.5)], 1)
        none = torch.tensor([not edge for edge in self.edges], device=place.device)
        return (beyond * self.psf.pixel_um).masked_fill(none, -torch.inf)

    def _grid(self, xyz: Tensor, edge: Tensor, beyond: Tensor) -> Tensor:
        """Distances beyond the edge and depths for molecules (K, 3) µm: (K, E, Z, 3) µm."""
        away = xyz.new_tensor(_BEYOND_UM) - beyond[:, None]
        across = torch.arange(3, device=edge.device) == (edge % 2)[:, None]
        step = across * torch.where(edge < 2, -1.0, 1.0).to(xyz)[:, None]
        grid = (xyz[:, None] + away[:, :, None] * step[:, None])[:, :, None].repeat(1, 1, len(self.z), 1)
        grid[..., 2] = self.z.to(xyz)
        return grid

    def _drawn(self, windows: Windows, xyz: Tensor, blur: Tensor | None) -> Tensor:
        """Images of one photon at places (K, P, 3) µm in K windows: (K, P, h, w)."""
        count, places = xyz.shape[:2]
        patches = self.psf(xyz.flatten(0, 1), None if blur is None else blur.repeat_interleave(places))
        corner = patches.corner - windows.corner.repeat_interleave(places, 0)
        size = (patches.values.shape[1], patches.values.shape[2])
        here = torch.arange(count * places, device=xyz.device)
        placed = Assembly(corner, here, size, (count * places, *windows.likelihood.frames.shape[1:]))
        return placed.add(placed.inside(patches.values)).view(count, places, *placed.shape[1:])


def edges_of(part: Field, whole: Field) -> Edges:
    """Which sides of a part of a field are edges of the whole."""
    rows, columns = part.pixels_of(whole)
    return columns.start == 0, rows.start == 0, columns.stop == whole.width, rows.stop == whole.height


def _light(images: Tensor, likelihood: Likelihood, own: Tensor) -> tuple[Tensor, Tensor]:
    """Decrease of the deviance, and photons, of a molecule with each of the images and a level: (K, P) each.

    images: (K, P, h, w) of one photon in K windows without the molecule;  own: (K, h, w), its light.
    """
    weight = likelihood.information(own).flatten(1)
    rest = (likelihood.score(own) / likelihood.information(own).clamp(min=1e-12) + own).flatten(1)
    flat = images.flatten(2)
    total = weight.sum(1).clamp(min=1e-12)
    seen = (flat @ weight[:, :, None])[..., 0]
    pull = (flat @ (weight * rest)[:, :, None])[..., 0] - seen * ((weight * rest).sum(1) / total)[:, None]
    stiff = (flat.square() @ weight[:, :, None])[..., 0] - seen.square() / total[:, None]
    photons = pull.clamp(min=0) / stiff.clamp(min=1e-12)
    return pull.clamp(min=0) * photons, photons


def _highest(gain: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """The highest maxima of gains (K, E, Z) along the depths: which of the K, and the place among E·Z.

    least: (K,), what each must exceed.
    """
    distances, depths = gain.shape[1:]
    each = gain.flatten(0, 1)
    high = each > least.repeat_interleave(distances)[:, None]
    peaks = torch.where((each >= highest_around(each, 1)) & high, each, 0.0)
    best, depth = peaks.sort(dim=1, descending=True, stable=True)
    line, number = (best[:, :_DEPTHS] > 0).nonzero().unbind(1)
    return line // distances, line % distances * depths + depth[line, number]
