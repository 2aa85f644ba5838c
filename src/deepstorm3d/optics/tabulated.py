"""A tabulated point spread function: splines in three dimensions, for fast simulations and fits."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InputError
from ..field import Field
from .field_aberrations import FieldGrid
from .psf import Images, Patches, device_of, patch_corner
from .spline_bands import SplineBands
from .spline_taps import DEGREE, MoreBlur, quintic, with_blur

__all__ = ["EXTRA_PLANES", "TabulatedPSF"]

_MARGIN_PX = 3  # margin around the patch for the spline's support, camera pixels
_CHUNK = {"cpu": 128, "cuda": 2048}  # emitters computed at once, for a processor's cache and a GPU's memory
EXTRA_PLANES = 8
"""Number of planes tabulated beyond each end of the depth range. The spline assumes a mirror image at the ends
of the table, which is wrong for a PSF; this error falls by a factor 0.27 per plane."""


class TabulatedPSF(nn.Module):
    """Any PSF, tabulated over z at its smallest blur and interpolated by B-splines (Unser 1999).

    source: the PSF to tabulate, or one for each position of a field;  z_range: µm;  z_step: µm between planes;
    blur_range: smallest and largest Gaussian σ, camera pixels. The table has the smallest; the rest of an
    emitter's blur is a filter of the lateral spline (`MoreBlur`).
    oversampling: table samples per camera pixel, 1 or 2. Largest error for the Tetrapod of the telomere
    set-up, as a fraction of the peak: with 1, 0.2 % at a blur of 1 px, 0.4 % for 0.675 to 1.375 px, 0.8 % at
    0.65 px; with 2, 0.01 % for 0.3 to 1 px. The resulting bias of a fit is below 0.5 nm in all these cases.
    dtype: precision of the table;
    field: if the PSF changes across the field of view, the field positions of the sources; images are
    interpolated between them (derivatives neglect this change, a thousandth of the slope in x and y).

    Attribute `chunk`: emitters computed at once, None: as many as the device likes; it may be set on an object.
    The depth is interpolated by cubic, the image by quintic splines. Outside z_range or blur_range the image at
    the nearest end is used. The table is on the device of the source. The patch is narrower than the source's
    by `margin_px` on each side.
    """

    margin_px = _MARGIN_PX
    chunk: int | None = None
    _table: Tensor

    def __init__(
        self,
        source: Images | Sequence[Images],
        z_range: tuple[float, float],
        *,
        z_step: float = 0.05,
        blur_range: tuple[float, float] = (1.0, 1.0),
        oversampling: int = 1,
        dtype: torch.dtype = torch.float32,
        field: FieldGrid | None = None,
    ) -> None:
        super().__init__()
        sources = source if isinstance(source, Sequence) else [source]
        if len(sources) != (1 if field is None else len(field.places)):
            raise ValueError(f"{len(sources)} sources for {1 if field is None else len(field.places)} places")
        self.field, source = field, sources[0]
        self._origin_px: Tensor | None = None
        # What is computed once from the table, shared with the copies of `in_field`.
        self.derived: dict[str, object] = {}
        if oversampling not in (1, 2):
            raise ValueError(f"oversampling must be 1 or 2, got {oversampling}")
        _check_ranges(z_range, blur_range)
        self._pixel_um, self._patch_px = source.pixel_um, source.patch_px - 2 * _MARGIN_PX
        if self._patch_px < 5:
            raise ValueError(
                f"the source's patch of {source.patch_px} px leaves no table; use {5 + 2 * _MARGIN_PX} or more"
            )
        self.z_range, self.blur_range, self.oversampling = z_range, blur_range, oversampling
        self.planes = max(3, math.ceil((z_range[1] - z_range[0]) / z_step)) + 1
        self.z_step = (z_range[1] - z_range[0]) / (self.planes - 1)
        self.more_blur = MoreBlur(*blur_range)
        # Samples that the spline reaches on each side of an emitter in the patch's centre pixel.
        self._half = 3 + oversampling * self.more_blur.reach_px
        blur = blur_range[0 if self.more_blur.reach_px else 1]
        table = torch.stack([self._coefficients(each, blur) for each in sources])
        # Shape (positions · (planes + 2·extra), samples²): each row is a plane of spline coefficients.
        self.register_buffer("_table", table.flatten(2).flatten(0, 1).to(dtype).contiguous(), persistent=False)
        self._side = table.shape[-1]
        self._bands = SplineBands(self._patch_px, oversampling, self.more_blur).to(table.device)

    @property
    def pixel_um(self) -> float:
        """Camera pixel in the sample, µm."""
        return self._pixel_um

    @property
    def patch_px(self) -> int:
        """Side of the patches, camera pixels."""
        return self._patch_px

    def in_field(self, field: Field | Sequence[Field]) -> TabulatedPSF:
        """The PSF for positions measured from the first pixel of a part of the whole field.

        field: the part that the frames show, or one part for each of the molecules to be computed.
        The result shares the table. If the PSF is the same everywhere, it is this PSF.
        """
        if self.field is None:
            return self
        parts = [field] if isinstance(field, Field) else field
        there = copy.copy(self)
        there._origin_px = torch.tensor([part.origin_px for part in parts], device=self._table.device)
        return there

    @property
    def stack_step_um(self) -> float:
        """By how much deeper a table begins than the one before it in `stacked`: all its planes, µm."""
        return (self.planes + 2 * EXTRA_PLANES) * self.z_step

    def stacked(self, others: Sequence[TabulatedPSF]) -> TabulatedPSF:
        """One table of several PSFs, each `stack_step_um` deeper than the one before: all are fitted as one.

        A molecule of the k-th other PSF at depth z is then at z + k · `stack_step_um`. Between two PSFs lie
        the planes beyond their ends, over which no molecule moves by chance.
        Raises ValueError for tables of other depths, blurs, pixels or patches, or that change over a field.
        """
        tables = (self, *others)
        shapes = {
            (each._table.shape, each.z_range, each.blur_range, each.pixel_um, each.oversampling)
            for each in tables
        }
        if len(shapes) > 1 or self.field is not None:
            raise ValueError(
                "only tables of the same depths, blurs, pixels and patches, all over a field, stack"
            )
        whole = copy.copy(self)
        # The copy shares the dict of its buffers: without one of its own this table would change, too.
        whole._buffers = {**self._buffers, "_table": torch.cat([each._table for each in tables])}
        whole.derived = {}
        whole.planes = len(tables) * (self.planes + 2 * EXTRA_PLANES) - 2 * EXTRA_PLANES
        whole.z_range = (self.z_range[0], self.z_range[0] + (whole.planes - 1) * self.z_step)
        return whole

    def planes_array(self) -> Tensor:
        """Spline coefficients (positions · planes, side, side) float32."""
        return self._table.float().view(-1, self._side, self._side)

    @torch.no_grad()
    def _coefficients(self, source: Images, blur_px: float) -> Tensor:
        """Spline coefficients of the source at one blur: (planes + 2·extra, side, side) float64."""
        from scipy.ndimage import spline_filter1d

        s, planes = self.oversampling, self.planes + 2 * EXTRA_PLANES
        number = torch.arange(-EXTRA_PLANES, planes - EXTRA_PLANES, dtype=torch.float64)
        z = (self.z_range[0] + self.z_step * number).to(device_of(source))
        side = source.patch_px
        samples = z.new_zeros(planes, side, s, side, s)
        blur = torch.full_like(z, blur_px)
        for row in range(s):
            for column in range(s):
                # Moving the emitter by −a/s pixel samples its image at u + a/s.
                xyz = torch.stack([torch.full_like(z, -column / s), torch.full_like(z, -row / s), z], 1)
                xyz[:, :2] *= source.pixel_um
                patches = source(xyz, blur)
                middle = patches.corner + source.patch_px // 2
                if bool(middle.any()):
                    # A half-pixel shift can move the patch to the neighbouring pixel: this is undone.
                    moved = torch.roll(patches.values, tuple((middle[0]).flip(0).tolist()), (1, 2))
                    patches = patches._replace(values=moved)
                samples[:, :, row, :, column] = patches.values
        fine = samples.reshape(planes, side * s, side * s).cpu().numpy()
        for axis, order in ((0, 3), (1, DEGREE), (2, DEGREE)):
            fine = spline_filter1d(fine, order=order, axis=axis, mode="mirror")
        # Keep as many samples around the patch as the blurred spline reaches; beyond the source, its edge.
        first = _MARGIN_PX * s - self._half
        last = _MARGIN_PX * s + s * (self._patch_px - 1) + self._half + 1
        wanted = np.arange(first, last).clip(0, side * s - 1)
        return torch.from_numpy(fine[:, wanted[:, None], wanted]).to(z.device)

    def forward(self, xyz: Tensor, blur_px: Tensor | None = None) -> Patches:
        """xyz: (N, 3) µm;  blur_px: (N,) px, or None for the middle of the range;  returns N patches."""
        corner, offset = patch_corner(xyz, self._pixel_um, self._patch_px)
        blur, (first, share) = self._blur(xyz, blur_px), self._between(xyz[:, 2])
        if xyz.is_cuda:
            rows, weights = self._rows(xyz, first, self._bands.between_planes(share)[0])
            parts = [self._product(*chunk) for chunk in self._chunks(rows, weights, offset, blur)]
        else:
            # On a processor, sums of shifted planes take less time than products with matrices.
            distance = share[:, None] - torch.arange(-1, 3, device=share.device)
            rows, weights = self._rows(xyz, first, _spline(distance))
            taps = self._taps(offset, blur)
            parts = [self._sum(*chunk) for chunk in self._chunks(rows, weights, taps)]
        values = (parts[0] if len(parts) == 1 else torch.cat(parts)).to(xyz.dtype)
        return Patches(values, corner, values.sum((-2, -1)))

    def derivatives(
        self, xyz: Tensor, blur_px: Tensor | None = None, *, in_blur: bool = False
    ) -> tuple[Patches, Tensor]:
        """The patches and their derivatives with respect to x, y, z: (N, 3, h, w), per µm, exact for a spline.

        in_blur: add the derivative with respect to the blur, per px (0 if the table has a single blur).
        """
        corner, offset = patch_corner(xyz, self._pixel_um, self._patch_px)
        first, share = self._between(xyz[:, 2])
        weights, slopes = self._bands.between_planes(share)
        inside = (xyz[:, 2] >= self.z_range[0]) & (xyz[:, 2] <= self.z_range[1])
        rows, weights, slopes = self._rows(xyz, first, weights, slopes / self.z_step * inside[:, None])
        columns = (rows, weights, slopes, offset, self._blur(xyz, blur_px))
        parts = [self._slopes(*chunk, in_blur=in_blur) for chunk in self._chunks(*columns)]
        values, gradients = (
            (each[0] if len(each) == 1 else torch.cat(each)).to(xyz.dtype) for each in zip(*parts, strict=True)
        )
        return Patches(values, corner, values.sum((-2, -1))), gradients

    def _chunks(self, *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Columns of emitters, some at a time."""
        chunk = self.chunk or (_CHUNK["cuda"] if columns[0].is_cuda else _CHUNK["cpu"])
        return zip(*(column.split(chunk) for column in columns), strict=True)

    def _between(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The plane before each depth (N,), and the share of the way to the next: (N,) each."""
        position = ((z - self.z_range[0]) / self.z_step).clamp(0, self.planes - 1)
        first = position.detach().floor().clamp(max=self.planes - 2)
        return first.long(), position - first

    def _rows(self, xyz: Tensor, first: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        """Rows of the table around the planes `first` (N,) at all positions of the field, and their weights."""
        rows = first[:, None] + torch.arange(EXTRA_PLANES - 1, EXTRA_PLANES + 3, device=first.device)
        share = self.position_weights(xyz)
        if share is None:
            return rows, *weights
        begin = torch.arange(share.shape[1], device=rows.device) * (len(self._table) // share.shape[1])
        rows = (rows[:, None] + begin[:, None]).flatten(1)
        return rows, *((share[:, :, None] * each[:, None]).flatten(1) for each in weights)

    def position_weights(self, xyz: Tensor) -> Tensor | None:
        """Weights (N, P) of the field positions of the table; None if there is only one."""
        return None if self.field is None else self.field.weights(xyz, self._origin_px)

    def _blur(self, xyz: Tensor, blur_px: Tensor | None) -> Tensor:
        """Blur of each emitter: (N,) px."""
        return torch.full_like(xyz[:, 2], self.own_blur_px) if blur_px is None else blur_px

    @property
    def own_blur_px(self) -> float:
        """Blur of emitters without one of their own: the middle of the range (of the variances), px."""
        low, high = self.blur_range
        return math.sqrt((low**2 + high**2) / 2)

    def _taps(self, offset: Tensor, blur_px: Tensor) -> Tensor:
        """Weights (N, 2, T) of the table samples around each emitter, along x and y.

        The same samples around each pixel are used for every pixel of the patch: the spline becomes one short
        filter for each emitter and axis.
        """
        around = torch.arange(-3, 4, dtype=offset.dtype, device=offset.device)
        taps = quintic(-offset[:, :, None] * self.oversampling - around)
        if not self.more_blur.reach_px:
            return taps
        return with_blur(taps, self.more_blur.filters(blur_px)[0].to(taps), self.oversampling)

    def _mix(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Weighted sums of table rows: (n, side, side); an embedding bag gathers and adds in one pass."""
        planes = functional.embedding_bag(
            rows, self._table, per_sample_weights=weights.to(self._table.dtype), mode="sum"
        )
        return planes.view(-1, self._side, self._side)

    def _sum(self, rows: Tensor, weights: Tensor, taps: Tensor) -> Tensor:
        """Images (n, h, w) as sums of shifted planes;  taps: (n, 2, T) weights for x and y."""
        planes, s = self._mix(rows, weights), self.oversampling
        taps = taps.to(planes.dtype)
        width = taps.shape[-1]
        stop = s * (self._patch_px - 1) + 1
        x, y = taps[:, 0, :, None, None], taps[:, 1, :, None, None]  # (n, T, 1, 1)
        # The sum is in place, because new memory for each tap takes longer than the arithmetic.
        across = planes[:, :stop:s] * y[:, 0]
        for k in range(1, width):
            across.addcmul_(planes[:, k : k + stop : s], y[:, k])
        out = across[:, :, :stop:s] * x[:, 0]
        for k in range(1, width):
            out.addcmul_(across[:, :, k : k + stop : s], x[:, k])
        return out

    def _product(self, rows: Tensor, weights: Tensor, offset: Tensor, blur_px: Tensor) -> Tensor:
        """Images (n, h, w) as products of planes with the matrices of their splines."""
        planes = self._mix(rows, weights)
        x, y = self._bands.at_pixels(offset, blur_px, dtype=planes.dtype)[:, :, 0].unbind(1)
        return y @ (planes @ x.mT)

    def _slopes(
        self, rows: Tensor, weights: Tensor, slopes: Tensor, offset: Tensor, blur_px: Tensor, *, in_blur: bool
    ) -> tuple[Tensor, Tensor]:
        """Images (n, h, w), and their derivatives (n, 3 or 4, h, w)."""
        side = self._patch_px
        planes, steep = self._mix(rows, weights), self._mix(rows, slopes)
        bands = self._bands.at_pixels(offset, blur_px, slopes=2 if in_blur else 1, dtype=planes.dtype)
        x, y = bands[:, 0], bands[:, 1]
        # First along x: the images, their slopes in x (and blur), then the slopes of the planes in z.
        across = torch.cat([planes @ x.flatten(1, 2).mT, steep @ x[:, 0].mT], 2)
        along = (y[:, 0] @ across).unflatten(2, (-1, side)).movedim(2, 1)
        beside = (y[:, 1:].flatten(1, 2) @ across[:, :, :side]).unflatten(1, (-1, side))
        found = [along[:, 1] / self._pixel_um, beside[:, 0] / self._pixel_um, along[:, -1]]
        if in_blur:
            found.append(along[:, 2] + beside[:, 1])
        return along[:, 0].contiguous(), torch.stack(found, 1)


def _spline(distance: Tensor) -> Tensor:
    """Cubic B-spline at a distance in samples: 2/3 − d² + |d|³/2 inside 1, (2 − |d|)³/6 inside 2."""
    d = distance.abs()
    return torch.where(d < 1, 2 / 3 - d * d + d**3 / 2, (2 - d).clamp(min=0) ** 3 / 6)


def _check_ranges(z_range: tuple[float, float], blur_range: tuple[float, float]) -> None:
    """Raise InputError for depths that are no range, and for blurs that are none, each by itself."""
    low, high = z_range
    if low == high:
        raise InputError(
            f"the depths are the single plane {low:g} µm, and a PSF is tabulated over a range of depths",
            f"give a range as wide as the sample, 10 nm for a thin one: {low:g} to {low + 0.01:g} µm",
        )
    if not low < high:
        raise InputError(f"the range of depths {low:g} to {high:g} µm must be given as low, high")
    if not 0 <= blur_range[0] <= blur_range[1]:
        raise InputError(
            f"the range of blurs {blur_range[0]:g} to {blur_range[1]:g} px must be given as low, high, from 0"
        )
