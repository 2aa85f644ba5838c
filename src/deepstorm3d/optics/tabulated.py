"""A tabulated point spread function: cubic splines in three dimensions, for fast simulations and fits."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InputError
from ..field import Field
from .blur import sampled_variance
from .field_aberrations import FieldGrid
from .lagrange import lagrange
from .psf import Images, Patches, device_of, patch_corner

__all__ = ["TabulatedPSF"]

_MARGIN_PX = 3  # margin around the patch for the spline's support, camera pixels
# Number of planes tabulated beyond each end of the depth range. The spline assumes a mirror image at the ends
# of the table, which is wrong for a PSF; this error falls by a factor 0.27 per plane.
_EXTRA_PLANES = 8


class TabulatedPSF(nn.Module):
    """Any PSF, tabulated over z and blur and interpolated by cubic B-splines (Unser 1999).

    source: the PSF to tabulate, or one for each position of a field;  z_range: µm;  z_step: µm between planes;
    blur_range: smallest and largest Gaussian σ, camera pixels (one level if equal, else three, or five
    if the range is wide or begins below 0.7 px). Between the levels it interpolates by a polynomial in the
    variance of the blur, on which images depend smoothly (diffusion equation).
    oversampling: table samples per camera pixel, 1 or 2. Largest error for the Tetrapod of the telomere
    set-up, as a fraction of the peak: at blur 1 px 0.9 % with 1 and 0.1 % with 2; over 0.75 to 1.25 px 1.4 %
    and 0.9 %; at 0.7 px 2.2 % with 1. The resulting bias of a fit is below 1.1 nm in all these cases.
    dtype: precision of the table;
    field: if the PSF changes across the field of view, the field positions of the sources; images are
    interpolated between them (derivatives neglect this change, a thousandth of the slope in x and y).

    Attribute `chunk`: emitters computed at once; it may be set on an object.
    Outside z_range or blur_range the image at the nearest end is used. The table is on the device of the
    source. The patch is narrower than the source's by `margin_px` on each side.
    """

    margin_px = _MARGIN_PX
    chunk: int = 128
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
        if oversampling not in (1, 2):
            raise ValueError(f"oversampling must be 1 or 2, got {oversampling}")
        if not z_range[0] < z_range[1] or not 0 <= blur_range[0] <= blur_range[1]:
            raise InputError(f"z range {z_range} µm and blur range {blur_range} px must be given as low, high")
        self._pixel_um, self._patch_px = source.pixel_um, source.patch_px - 2 * _MARGIN_PX
        if self._patch_px < 5:
            raise ValueError(
                f"the source's patch of {source.patch_px} px leaves no table; use {5 + 2 * _MARGIN_PX} or more"
            )
        self.z_range, self.blur_range, self.oversampling = z_range, blur_range, oversampling
        self._planes = max(3, math.ceil((z_range[1] - z_range[0]) / z_step)) + 1
        self._z_step = (z_range[1] - z_range[0]) / (self._planes - 1)
        blurs = _blur_levels(*blur_range)
        table = torch.stack([self._coefficients(each, blur) for each in sources for blur in blurs.tolist()])
        # Shape (positions · levels · (planes + 2·extra), samples²): each row is a plane of spline coefficients.
        self.register_buffer("_table", table.flatten(2).flatten(0, 1).to(dtype).contiguous(), persistent=False)
        self._side = table.shape[-1]
        self._variances = sampled_variance(blurs).tolist()

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

    @torch.no_grad()
    def _coefficients(self, source: Images, blur_px: float) -> Tensor:
        """Spline coefficients of the source at one blur: (planes + 2·extra, side, side) float64."""
        from scipy.ndimage import spline_filter1d

        s, planes = self.oversampling, self._planes + 2 * _EXTRA_PLANES
        number = torch.arange(-_EXTRA_PLANES, planes - _EXTRA_PLANES, dtype=torch.float64)
        z = (self.z_range[0] + self._z_step * number).to(device_of(source))
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
        for axis in (0, 1, 2):
            fine = spline_filter1d(fine, order=3, axis=axis, mode="mirror")
        return torch.from_numpy(fine).to(z.device)

    def forward(self, xyz: Tensor, blur_px: Tensor | None = None) -> Patches:
        """xyz: (N, 3) µm;  blur_px: (N,) px, or None for the middle of the range;  returns N patches."""
        corner, offset = patch_corner(xyz, self._pixel_um, self._patch_px)
        rows, weights, _ = self._axial(xyz[:, 2], blur_px)
        rows, weights = self._across(xyz, rows, weights)
        taps = _spline(self._distance(offset))
        chunks = zip(*(column.split(self.chunk) for column in (rows, weights, taps)), strict=True)
        parts = [self._lateral(self._mix(row, weight), tap) for row, weight, tap in chunks]
        values = (parts[0] if len(parts) == 1 else torch.cat(parts)).to(xyz.dtype)
        return Patches(values, corner, values.sum((-2, -1)))

    def derivatives(
        self, xyz: Tensor, blur_px: Tensor | None = None, *, in_blur: bool = False
    ) -> tuple[Patches, Tensor]:
        """The patches and their derivatives with respect to x, y, z: (N, 3, h, w), per µm, exact for a spline.

        in_blur: add the derivative with respect to the blur, per px (0 if the table has a single blur).
        """
        corner, offset = patch_corner(xyz, self._pixel_um, self._patch_px)
        rows, weights, slopes = self._axial(xyz[:, 2], blur_px)
        distance = self._distance(offset)
        taps, dtaps = _spline(distance), _spline_slope(distance) * (-self.oversampling / self._pixel_um)
        changes = [slopes, self._blur_slopes(xyz[:, 2], blur_px)] if in_blur else [slopes]
        rows, weights, *changes = self._across(xyz, rows, weights, *changes)
        columns = (rows, weights, taps, dtaps, torch.stack(changes, 1))
        values, gradients = [], []
        for row, weight, tap, dtap, change in zip(*(c.split(self.chunk) for c in columns), strict=True):
            plane = self._mix(row, weight)
            values.append(self._lateral(plane, tap))
            along = [
                self._lateral(plane, torch.stack([dtap[:, 0], tap[:, 1]], 1)),
                self._lateral(plane, torch.stack([tap[:, 0], dtap[:, 1]], 1)),
            ]
            along += [self._lateral(self._mix(row, slope), tap) for slope in change.unbind(1)]
            gradients.append(torch.stack(along, 1))
        joined, jacobian = torch.cat(values).to(xyz.dtype), torch.cat(gradients).to(xyz.dtype)
        return Patches(joined, corner, joined.sum((-2, -1))), jacobian

    def _axial(self, z: Tensor, blur_px: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of the table for each emitter, their weights, and d weights / dz: (N, 4·levels) each."""
        position = ((z - self.z_range[0]) / self._z_step).clamp(0, self._planes - 1)
        first = position.detach().floor().clamp(max=self._planes - 2)
        inside = (z >= self.z_range[0]) & (z <= self.z_range[1])
        distance = (position - first)[:, None] - torch.arange(-1, 3, device=z.device)
        weights, slopes = _spline(distance), _spline_slope(distance) / self._z_step * inside[:, None]
        rows = first.long()[:, None] + torch.arange(_EXTRA_PLANES - 1, _EXTRA_PLANES + 3, device=z.device)
        if len(self._variances) == 1:
            return rows, weights, slopes
        levels = self._levels(z, blur_px)
        count = self._planes + 2 * _EXTRA_PLANES
        rows = torch.cat([rows + level * count for level in range(levels.shape[1])], 1)
        mix = levels[:, :, None]
        return rows, (mix * weights[:, None]).flatten(1), (mix * slopes[:, None]).flatten(1)

    def _across(self, xyz: Tensor, rows: Tensor, *weights: Tensor) -> list[Tensor]:
        """Extend rows and weights (N, R) from one field position to all of them (N, P·R)."""
        if self.field is None:
            return [rows, *weights]
        share = self.field.weights(xyz, self._origin_px)[:, :, None]
        first = torch.arange(share.shape[1], device=rows.device) * (len(self._table) // share.shape[1])
        rows = (rows[:, None] + first[:, None]).flatten(1)
        return [rows, *((share * weight[:, None]).flatten(1) for weight in weights)]

    def _levels(self, z: Tensor, blur_px: Tensor | None) -> Tensor:
        """Lagrange weights of the blur levels, a polynomial in the blur's variance: (N, levels)."""
        nodes = self._variances
        if blur_px is None:
            variance = torch.full_like(z, nodes[len(nodes) // 2])
        else:
            variance = sampled_variance(blur_px.to(z.dtype)).clamp(nodes[0], nodes[-1])
        return lagrange(variance, nodes)

    def _blur_slopes(self, z: Tensor, blur_px: Tensor | None) -> Tensor:
        """d weights / d blur of the rows from `_axial`, per px: (N, 4·levels)."""
        low, high = self.blur_range
        if len(self._variances) == 1:
            return z.new_zeros(len(z), 4)
        blur = torch.full_like(z, (low + high) / 2) if blur_px is None else blur_px
        # The weights are a low polynomial of a smooth function: the central difference is exact to 1e-6.
        step = 1e-3
        blur = blur.double().clamp(low + step, high - step)
        slope = (self._levels(z.double(), blur + step) - self._levels(z.double(), blur - step)) / (2 * step)
        position = ((z - self.z_range[0]) / self._z_step).clamp(0, self._planes - 1)
        first = position.floor().clamp(max=self._planes - 2)
        weights = _spline((position - first)[:, None] - torch.arange(-1, 3, device=z.device))
        return (slope.to(z.dtype)[:, :, None] * weights[:, None]).flatten(1)

    def _mix(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Weighted sums of table rows: (n, side, side); an embedding bag gathers and adds in one pass."""
        planes = functional.embedding_bag(
            rows, self._table, per_sample_weights=weights.to(self._table.dtype), mode="sum"
        )
        return planes.view(-1, self._side, self._side)

    def _distance(self, offset: Tensor) -> Tensor:
        """Distances from a pixel's centre to the table samples around it, in samples: (n, 2, 5).

        The emitter is at most half a pixel from the patch's centre, so the same five samples are used for
        every pixel of the patch: the spline becomes one short filter for each emitter and axis.
        """
        around = torch.arange(-2, 3, dtype=offset.dtype, device=offset.device)
        return -offset[:, :, None] * self.oversampling - around

    def _lateral(self, planes: Tensor, taps: Tensor) -> Tensor:
        """Evaluate the lateral spline at the pixel centres.

        planes: (n, side, side) coefficients;  taps: (n, 2, T) weights for x and y;  returns (n, h, w).
        """
        s, patch = self.oversampling, self._patch_px
        taps = taps.to(planes.dtype)
        width = taps.shape[-1]
        begin = _MARGIN_PX * s - width // 2
        stop = s * (patch - 1) + 1
        x, y = taps[:, 0, :, None, None], taps[:, 1, :, None, None]  # (n, T, 1, 1)
        # The sum is in place, because new memory for each tap takes longer than the arithmetic.
        rows = planes[:, begin : begin + stop : s] * y[:, 0]
        for k in range(1, width):
            rows.addcmul_(planes[:, begin + k : begin + k + stop : s], y[:, k])
        out = rows[:, :, begin : begin + stop : s] * x[:, 0]
        for k in range(1, width):
            out.addcmul_(rows[:, :, begin + k : begin + k + stop : s], x[:, k])
        return out


def _blur_levels(low: float, high: float) -> Tensor:
    """The σ (px) to tabulate, evenly spaced in variance: 3, or 5 if 3 would give errors of 3 % of the peak."""
    fine = torch.linspace(low, high, 401, dtype=torch.float64)
    variance = sampled_variance(fine)
    span = (variance[-1] - variance[0]).item()
    if span < 1e-4:
        return fine[-1:]
    count = 3 if span <= 1.05 and low >= 0.7 else 5
    targets = torch.linspace(0, 1, count, dtype=torch.float64) * span + variance[0]
    return fine[torch.searchsorted(variance, targets).clamp(max=400)]


def _spline(distance: Tensor) -> Tensor:
    """Cubic B-spline at a distance in samples: 2/3 − d² + |d|³/2 inside 1, (2 − |d|)³/6 inside 2."""
    d = distance.abs()
    return torch.where(d < 1, 2 / 3 - d * d + d**3 / 2, (2 - d).clamp(min=0) ** 3 / 6)


def _spline_slope(distance: Tensor) -> Tensor:
    """Derivative of the cubic B-spline."""
    d = distance.abs()
    steep = torch.where(d < 1, 1.5 * d * d - 2 * d, -((2 - d).clamp(min=0) ** 2) / 2)
    return steep * distance.sign()
